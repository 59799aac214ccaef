"""What must agree before two scores may be compared: the protocol and its hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.problems import Problem
from fastinv.problems.base import OBSERVATION_SEED

PROTOCOL_VERSION = 1
# Seeds of the ground truth and of the independent one that the floor row sets against it.
TRUTH_SEED = 1
FLOOR_SEED = 2
DEFAULT_KERNEL = "paper"


@dataclass(frozen=True)
class Protocol:
    """Everything that a score depends on besides the model.

    Attributes:
        problem: the problem's name.
        kernel: the MMD kernel.
        observations: number of observations y*.
        observations_checksum: see `observations_checksum`.
        samples: posterior samples per observation, the model's and the ground truth's alike.
        counts: how the model was allowed to treat a count coordinate; None where the problem has none.
        estimator: the MMD estimate behind Err_post.
        truth_seed: seed of the ground-truth samples.
        observation_seed: seed of the observations.
        version: raised whenever the meaning of a score changes.
    """

    problem: str
    kernel: str
    observations: int
    observations_checksum: str
    samples: int
    counts: str | None
    estimator: str = "squared MMD, biased"
    truth_seed: int = TRUTH_SEED
    observation_seed: int = OBSERVATION_SEED
    version: int = PROTOCOL_VERSION

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change whenever any attribute does."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_protocol(
    problem: Problem, *, kernel: str = DEFAULT_KERNEL, observations: int, samples: int, counts: str
) -> Protocol:
    """The protocol of a benchmark on the first `observations` of a problem's published observations.

    Examples:
        >>> import fastinv
        >>> problem = fastinv.problem("kinematics")
        >>> a = make_protocol(problem, observations=20, samples=200, counts="rounded")
        >>> b = make_protocol(problem, observations=20, samples=200, counts="factorised")
        >>> a.hash == b.hash  # kinematics has no counts to treat
        True
    """
    return Protocol(
        problem=problem.name,
        kernel=kernel,
        observations=observations,
        observations_checksum=observations_checksum(problem.observations(observations)),
        samples=samples,
        counts=None if problem.count_index is None else counts,
    )


def observations_checksum(y_star: NDArray[np.float64]) -> str:
    """SHA-256 (first 16 digits) of observations rounded to nine decimals.

    Rounding keeps the checksum the same on machines whose sine differs in the last bit.
    """
    rounded = np.round(np.asarray(y_star, dtype="<f8"), 9) + 0.0  # + 0.0 turns -0.0 into 0.0
    return hashlib.sha256(repr(rounded.shape).encode() + rounded.tobytes()).hexdigest()[:16]
