"""The records of a run as Python sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

STAGES = ("train", "score", "time")
# The floor row (ground truth against an independent ground truth) is filed as a model of this name, seed 0.
FLOOR = "floor"
# What a timing is of: `PosteriorModel.sample` as a user calls it; with IN_MODE and a mode's name after it,
# the drawing alone in that execution mode.
DRAW, IN_MODE = "draw 1000 for one y*", ", mode "


class StageKey(NamedTuple):
    """What one row of table `stage` is about."""

    problem: str
    model: str
    seed: int
    stage: str


@dataclass(frozen=True)
class Stage:
    """State of one stage.

    Attributes:
        key: problem, model, seed and stage.
        status: "running", "done" or "failed".
        seconds: wall time spent; 0 while running.
        error: one line, for a failed stage.
        log: file with the whole error, relative to the run's folder.
    """

    key: StageKey
    status: str
    seconds: float
    error: str | None = None
    log: str | None = None


@dataclass(frozen=True)
class ModelFacts:
    """What a table says of a model besides its scores.

    Attributes:
        title: the model's name as a heading.
        family: its family.
        parameters: number of trainable parameters.
        latent_dim: dimension of z, None where there is no latent.
        maximum_likelihood: whether it is trained by maximum likelihood.
        supervised: whether its loss is supervised on y.
        addition: whether it is this project's addition to the paper's ten.
    """

    title: str
    family: str
    parameters: int
    latent_dim: int | None
    maximum_likelihood: bool
    supervised: bool
    addition: bool


@dataclass(frozen=True)
class TimingRow:
    """One measured latency: quartiles in milliseconds over `repeats` calls of `what`."""

    what: str
    median_ms: float
    q25_ms: float
    q75_ms: float
    repeats: int


@dataclass(frozen=True)
class StageResult:
    """All that a finished stage leaves; committed in one transaction.

    Attributes:
        seconds: wall time.
        scores: per-observation values by metric, each of shape (B,); NaN is stored as NULL.
        curves: training curves by name, a list of (step, value).
        timings: measured latencies.
        samples_sha256: of the samples that were scored, 64 hexadecimal digits; None where there were none.
    """

    seconds: float
    scores: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    timings: Sequence[TimingRow] = ()
    samples_sha256: str | None = None
