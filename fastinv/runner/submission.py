"""Scoring samples that were made elsewhere, exactly as our own models' are scored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastinv.presets import Preset
from fastinv.problems import Problem
from fastinv.runner import stages
from fastinv.runner.events import OnEvent
from fastinv.runner.settings import BenchSettings, check_kernel
from fastinv.runner.truth import FloatArray, Reference
from fastinv.scoring import Protocol
from fastinv.scoring.files import SampleFile
from fastinv.store import FLOOR, StageKey

# A submission under this treatment has counts that are whole numbers; how it came by them is its own affair.
WHOLE, CONTINUOUS = "rounded", "continuous"


@dataclass(frozen=True)
class Submission:
    """Per-observation scores of samples from elsewhere, and of the floor beside them, by metric."""

    protocol: Protocol
    scores: dict[str, FloatArray]
    floor: dict[str, FloatArray]


def score_submission(
    problem: Problem,
    file: SampleFile,
    *,
    kernel: str = "paper",
    counts: str | None = None,
    cache: Path | None = None,
    on_event: OnEvent = lambda event: None,
) -> Submission:
    """Score samples for the first B of a problem's published observations.

    Args:
        problem: what the samples are for.
        file: the samples, checked by `fastinv.scoring.files.read_samples`.
        kernel: MMD kernel.
        counts: treatment of counts behind the samples; found out from the values if None.
        cache: folder of the ground-truth cache, None for none.
        on_event: told of the progress.

    Raises:
        ValueError: an unknown kernel, or counts that are not whole where they should be.
    """
    check_kernel(kernel)
    if counts in ("factorised", WHOLE) and not file.whole_counts:
        raise ValueError(f"counts cannot be {counts!r}: there are values that are not whole numbers")
    observations, n, _ = file.samples.shape
    settings = BenchSettings(
        problems=(problem.name,),
        preset=Preset("submission", 0, 0, 0, 0, observations, n),
        seeds=(0,),
        counts=counts or (WHOLE if file.whole_counts else CONTINUOUS),
        kernel=kernel,
        device="cpu",
    )
    reference = Reference(problem, settings, cache, lambda what, share: None)
    independent = reference.draw_independent()

    def scores_of(samples: FloatArray, name: str) -> dict[str, FloatArray]:
        key = StageKey(problem.name, name, 0, "score")
        result = stages.score(reference, key, lambda block: samples[block], {}, on_event)
        return dict(result.scores)

    floor = scores_of(independent, FLOOR)
    return Submission(reference.protocol, scores_of(file.samples, "submission"), floor)
