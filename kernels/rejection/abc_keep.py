"""The two ways of accepting: the first n within a tolerance, or the k nearest of all."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection.abc_search import BruteForce, Finder, Grid, Hits, Targets, simulate_and_find
from fastinv.kernels.rejection.abc_sources import Source

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]

# The buffer of an observation in `nearest` mode: enough that compaction is rare.
BUFFER_FACTOR, BUFFER_MORE = 2, 64
DONE = -1


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

    def settle(self) -> tuple[Numbers, FloatArray, Numbers]:
        """Numbers (B, n) and distances (B, n) of what was accepted, and how many there are, (B,)."""


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

    def settle(self) -> tuple[Numbers, FloatArray, Numbers]:
        return self.number, self._distance, self.found


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


class Nearest:
    """The k nearest of all simulations, in bounded memory: about 2k numbers and distances per observation.

    Args:
        source: of simulations.
        targets: the observations.
        k: samples per observation.
        compiled: whether Numba is to search.
    """

    finished = 0

    def __init__(self, source: Source, targets: Targets, k: int, compiled: bool) -> None:
        batch = len(targets.centres)
        capacity = BUFFER_FACTOR * k + BUFFER_MORE
        self.number = np.zeros((batch, capacity), dtype=np.int64)
        self.found = np.zeros(batch, dtype=np.int64)
        self._distance = np.empty((batch, capacity))
        self._radius = np.full(batch, np.inf)
        self._source, self._targets, self._k, self._compiled = source, targets, k, compiled
        # Two distances may each be off by the error.
        self._slack = 2.0 * targets.error

    def finder(self) -> Finder:
        active = np.ones(len(self.found), dtype=bool)
        if self._compiled and np.isfinite(self._radius).all():
            dtype = np.float32 if self._targets.error else np.float64
            return Grid(self._targets, self._radius, active, dtype)
        return BruteForce(self._targets, self._radius.copy(), active)

    def look(self, finder: Finder, first: int, count: int) -> Hits:
        need = np.full(len(self.found), count)
        return simulate_and_find(self._source, finder, need, np.inf, first, count)

    def absorb(self, hits: Hits) -> None:
        observation, number, distance = hits.observation, hits.number, hits.distance
        absorb: Any = _absorb_nearest
        if self._compiled:
            from fastinv.kernels.rejection.numba_cpu import abc_grid

            absorb = abc_grid.absorb_nearest
        begin = 0
        while begin != DONE:
            begin = absorb(
                begin,
                self._k,
                self._slack,
                observation,
                number,
                distance,
                self.found,
                self._radius,
                self.number,
                self._distance,
            )
            if begin != DONE:
                self._settle_one(int(observation[begin]))

    def _settle_one(self, i: int) -> None:
        """Keep the k nearest by exact distance, ties in proposal order."""
        kept = slice(0, self.found[i])
        number, distance = self.number[i, kept], self._distance[i, kept]
        if self._targets.error and len(number):
            _, y = self._source.draw(number)
            assert y is not None
            distance = self._targets.distance(y, np.full(len(number), i))
        order = np.lexsort((number, distance))[: self._k]
        self.found[i] = len(order)
        self.number[i, : len(order)], self._distance[i, : len(order)] = number[order], distance[order]

    def settle(self) -> tuple[Numbers, FloatArray, Numbers]:
        for i in range(len(self.found)):
            self._settle_one(i)
        distance = self._distance[:, : self._k].copy()
        distance[np.arange(self._k) >= self.found[:, None]] = np.nan
        return self.number[:, : self._k], distance, self.found


def _absorb_nearest(
    begin: int,
    k: int,
    slack: float,
    observation: NDArray[np.int32],
    number: Numbers,
    distance: FloatArray,
    found: Numbers,
    radius: FloatArray,
    kept_number: Numbers,
    kept_distance: FloatArray,
) -> int:
    """As the compiled one, with the k nearest taken at once: `slack` is zero here."""
    for i in np.unique(observation):
        mine = observation == i
        all_numbers = np.concatenate([kept_number[i, : found[i]], number[mine]])
        all_distances = np.concatenate([kept_distance[i, : found[i]], distance[mine]])
        order = np.lexsort((all_numbers, all_distances))[:k]
        found[i] = len(order)
        kept_number[i, : len(order)] = all_numbers[order]
        kept_distance[i, : len(order)] = all_distances[order]
        if found[i] == k:
            radius[i] = all_distances[order[-1]]
    return DONE
