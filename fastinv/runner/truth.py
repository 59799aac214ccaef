"""What all models of one problem are scored against."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels import SelfTerm
from fastinv.posteriors import ground_truth
from fastinv.problems import Problem
from fastinv.problems.base import OBSERVATION_SEED
from fastinv.runner.settings import BenchSettings
from fastinv.scoring import FLOOR_SEED, TRUTH_SEED, Protocol, make_protocol, truth_self_term

FloatArray = NDArray[np.float64]
OnShare = Callable[[str, float], None]

# Pairs of samples that are scored in one call: short enough for a prompt answer to Ctrl-C.
PAIRS_PER_BLOCK = 20_000_000


class Reference:
    """Observations, ground truth and its own kernel terms, each made when first asked for.

    Args:
        problem: the problem.
        settings: numbers of observations and samples, and the kernel.
        cache: folder of the ground-truth cache, None for none.
        on_share: called with (what, share done) while something slow is made.
    """

    def __init__(
        self, problem: Problem, settings: BenchSettings, cache: Path | None, on_share: OnShare
    ) -> None:
        self.problem, self.settings = problem, settings
        self._cache, self._on_share = cache, on_share
        self._self_terms: dict[int, SelfTerm | None] = {}

    @cached_property
    def protocol(self) -> Protocol:
        """What the scores will depend on besides the model."""
        s = self.settings
        return make_protocol(
            self.problem,
            kernel=s.kernel,
            observations=s.preset.observations,
            samples=s.preset.samples,
            counts=s.counts,
        )

    @cached_property
    def y_star(self) -> FloatArray:
        """The published observations, shape (B, d_y)."""
        return self.problem.observations(self.settings.preset.observations)

    @cached_property
    def x_star(self) -> FloatArray:
        """The parameters that the observations came from, shape (B, d_x)."""
        return self.problem.sample_prior(self.settings.preset.observations, seed=OBSERVATION_SEED)

    @cached_property
    def truth(self) -> FloatArray:
        """Ground-truth samples, shape (B, n, d_x)."""
        return self.draw(TRUTH_SEED, "ground truth")

    def draw_independent(self) -> FloatArray:
        """A second ground truth, independent of the first."""
        return self.draw(FLOOR_SEED, "second ground truth")

    def draw(self, seed: int, what: str) -> FloatArray:
        """Ground-truth samples of a seed."""
        return ground_truth(
            self.problem,
            self.y_star,
            self.settings.preset.samples,
            seed,
            folder=self._cache,
            on_progress=lambda done, total: self._on_share(what, done / total),
        )

    def blocks(self) -> Iterator[slice]:
        """Blocks of observations to be scored together; they depend on the number of samples alone."""
        size = max(1, min(50, PAIRS_PER_BLOCK // self.settings.preset.samples**2))
        total = self.settings.preset.observations
        for start in range(0, total, size):
            yield slice(start, min(start + size, total))

    def self_term(self, block: slice) -> SelfTerm | None:
        """The truth's own kernel term in a block, computed once and shared by all models."""
        if block.start not in self._self_terms:
            self._self_terms[block.start] = truth_self_term(self.truth[block], self.settings.kernel)
        return self._self_terms[block.start]


def block_seed(seed: int, model: str, block: slice) -> int:
    """Seed of a model's samples in a block: a pure function of its arguments, in [0, 2**63)."""
    text = f"{seed}/{model}/{block.start}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1
