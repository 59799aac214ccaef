"""What becomes of simulations; the first n within a tolerance. The k nearest are in abc_nearest.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection.abc_search import BruteForce, Finder, Grid, Hits, Targets, simulate_and_find
from fastinv.kernels.rejection.abc_settle import Settled, settle
from fastinv.kernels.rejection.abc_sources import Source

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]


class Keeper(Protocol):
    """What becomes of simulations.

    Attributes:
        number: of each kept simulation, shape (B, capacity).
        found: how many are kept, shape (B,).
    """

    number: Numbers
    found: Numbers

    @property
    def finished(self) -> int:
        """Observations that need no more simulations."""

    def finder(self) -> Finder:
        """How to look simulations up until the next call of this method."""

    def look(self, finder: Finder, first: int, count: int) -> Hits:
        """Simulate and look up; may run in several threads at once."""

    def absorb(self, hits: Hits) -> None:
        """Take the hits of a chunk; chunks come in proposal order."""

    def settle(self, pool: ThreadPoolExecutor | None) -> Settled:
        """What was accepted; `pool` draws it."""

    def uncertain(self, settled: Settled) -> NDArray[np.intp]:
        """Observations whose search must be repeated, by a keeper that takes no chances."""


class FirstWithin:
    """The first n simulations whose distance is below the tolerance.

    Args:
        source: of simulations.
        targets: the observations.
        n: samples per observation.
        tolerance: in scaled units.
        compiled: whether Numba is to search.
    """

    def __init__(self, source: Source, targets: Targets, n: int, tolerance: float, compiled: bool) -> None:
        batch = len(targets.centres)
        self.number = np.zeros((batch, n), dtype=np.int64)
        self.found = np.zeros(batch, dtype=np.int64)
        self._distance = np.full((batch, n), np.nan)
        self._source, self._targets, self._tolerance, self._compiled = source, targets, tolerance, compiled
        self._radius = np.full(batch, tolerance + targets.error)
        self._last: tuple[int, Finder] | None = None

    @property
    def finished(self) -> int:
        return int((self.found == self.number.shape[1]).sum())

    def finder(self) -> Finder:
        finished = self.finished
        if self._last is None or self._last[0] != finished:
            active = self.found < self.number.shape[1]
            dtype = np.float32 if self._targets.error else np.float64
            finder: Finder = (
                Grid(self._targets, self._radius, active, dtype)
                if self._compiled
                else BruteForce(self._targets, self._radius, active)
            )
            self._last = finished, finder
        return self._last[1]

    def look(self, finder: Finder, first: int, count: int) -> Hits:
        need = self.number.shape[1] - self.found
        sure = self._tolerance - self._targets.error
        return self._decide(simulate_and_find(self._source, finder, need, sure, first, count))

    def _decide(self, hits: Hits) -> Hits:
        """Settle what is within rounding of the tolerance by the exact distance."""
        near = np.abs(hits.distance - self._tolerance) <= self._targets.error
        if not self._targets.error or not near.any():
            return hits
        _, y = self._source.draw(hits.number[near])
        assert y is not None
        keep = np.ones(len(near), dtype=bool)
        keep[near] = self._targets.distance(y, hits.observation[near]) < self._tolerance
        return hits._replace(
            observation=hits.observation[keep], number=hits.number[keep], distance=hits.distance[keep]
        )

    def absorb(self, hits: Hits) -> None:
        absorb = _absorb_first
        if self._compiled:
            from fastinv.kernels.rejection.numba_cpu import abc_grid

            absorb = abc_grid.absorb_first
        absorb(hits.observation, hits.number, hits.distance, self.found, self.number, self._distance)

    def settle(self, pool: ThreadPoolExecutor | None) -> Settled:
        n = self.number.shape[1]
        stored = self.number, self._distance, self.found
        return settle(self._source, self._targets, *stored, n, nearest=False, pool=pool)

    def uncertain(self, settled: Settled) -> NDArray[np.intp]:
        return np.empty(0, dtype=np.intp)


def _absorb_first(
    observation: NDArray[np.int32],
    number: Numbers,
    distance: FloatArray,
    found: Numbers,
    kept_number: Numbers,
    kept_distance: FloatArray,
) -> None:
    for i in np.unique(observation):
        mine = np.flatnonzero(observation == i)[: kept_number.shape[1] - found[i]]
        place = slice(found[i], found[i] + len(mine))
        kept_number[i, place], kept_distance[i, place] = number[mine], distance[mine]
        found[i] += len(mine)
