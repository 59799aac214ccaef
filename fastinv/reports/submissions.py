"""Scores of samples that were made elsewhere, as an entry and as a table's row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

import fastinv
from fastinv.reports.entry import SCORES, Entry, summary_object
from fastinv.reports.results import ProblemResult, Row
from fastinv.scoring import Protocol, summarise
from fastinv.store import FLOOR

Scores = Mapping[str, NDArray[np.float64]]


def make_entry(
    name: str,
    protocol: Protocol,
    scores: Scores,
    samples_sha256: str,
    *,
    url: str | None = None,
    parameters: int | None = None,
    inference_ms: float | None = None,
) -> Entry:
    """The leaderboard entry of a model's scores.

    Args:
        name: of the model.
        protocol: under which it was scored.
        scores: per-observation scores by metric.
        samples_sha256: of the file that was scored.
        url: where the model is described.
        parameters: number of trainable parameters.
        inference_ms: milliseconds to draw 1000 samples for one y*.

    Raises:
        EntryError: a claim that is not what it should be.
    """
    return Entry(
        name=name,
        problem=protocol.problem,
        protocol=asdict(protocol),
        protocol_hash=protocol.hash,
        scores={metric: summary_object(summarise(scores[metric])) for metric in SCORES},
        samples_sha256=samples_sha256,
        url=url,
        parameters=parameters,
        inference_ms=inference_ms,
    )


def submission_result(entry: Entry, protocol: Protocol, scores: Scores, floor: Scores) -> ProblemResult:
    """The result that tables and exports show of a submission, with the floor beside it."""
    row = Row(
        name=entry.name,
        status="ok",
        scores={metric: summarise(values) for metric, values in scores.items()},
        inference_ms=entry.inference_ms,
    )
    return ProblemResult(
        problem=protocol.problem,
        preset="submission",
        seeds=(0,),
        counts=protocol.counts or "continuous",
        has_counts=protocol.counts is not None,
        kernel=protocol.kernel,
        observations=protocol.observations,
        samples=protocol.samples,
        protocol=protocol.hash,
        clamped=False,
        floor=Row(FLOOR, "ok", scores={metric: summarise(values) for metric, values in floor.items()}),
        rows=(row,),
        provenance={"version": fastinv.__version__, "samples_sha256": entry.samples_sha256},
    )
