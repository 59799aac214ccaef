"""Scores as leaderboard entries, and those of samples from elsewhere as a table's row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

import fastinv
from fastinv.reports.entry import SCORES, Entry, summary_object
from fastinv.reports.results import ProblemResult, Row, load_results
from fastinv.scoring import Protocol, summarise
from fastinv.store import FLOOR, RunReader, StoreError

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


def run_entries(run: RunReader, *, url: str | None = None) -> list[Entry]:
    """The entries of a run's finished models, each over all training seeds of the run.

    A model's name is followed by the preset's, which says how large it is and how long it was trained. Rows
    that are not models (the floor, baselines) and those that are not finished have no entry.

    Args:
        run: the run.
        url: where it is described.

    Raises:
        EntryError: `url` is not one.
        StoreError: the run cannot be read, or was scored by a version that kept no checksum of samples.
    """
    entries = []
    for result in load_results(run):
        protocol = run.protocol(result.problem)
        for row in result.rows:
            if protocol is None or row.status != "ok" or row.facts is None or row.baseline:
                continue
            entries.append(
                Entry(
                    name=_title(row.facts.title, result),
                    problem=result.problem,
                    protocol=protocol[1],
                    protocol_hash=protocol[0],
                    scores=_summaries(row),
                    samples_sha256=_digest_of(run, result.problem, row.name, result.seeds),
                    url=url,
                    parameters=row.facts.parameters,
                    inference_ms=row.inference_ms,
                )
            )
    return entries


def _title(title: str, result: ProblemResult) -> str:
    seeds = f", {len(result.seeds)} seeds" if len(result.seeds) > 1 else ""
    return f"{title} ({result.preset}{seeds})"


def _summaries(row: Row) -> dict[str, dict[str, float | None]]:
    if missing := [metric for metric in SCORES if metric not in row.scores]:
        raise StoreError(f"the file is damaged: {row.name} has no score {missing[0]!r}")
    return {metric: summary_object(row.scores[metric]) for metric in SCORES}


def _digest_of(run: RunReader, problem: str, model: str, seeds: Sequence[int]) -> str:
    """One checksum for the samples of all seeds: that of the only one, or of theirs in order."""
    digests = [run.samples_sha256(problem, model, seed) for seed in seeds]
    known = [digest for digest in digests if digest is not None]
    if len(known) < len(digests):
        raise StoreError(
            f"run {run.folder.name!r} keeps no checksum of the samples of {model}; "
            f"score it anew with --redo {model}"
        )
    return known[0] if len(known) == 1 else hashlib.sha256("".join(known).encode()).hexdigest()
