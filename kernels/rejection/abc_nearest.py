"""The k nearest of N simulations, with a radius per observation that is foreseen and then checked.

Keeping the k nearest of the t simulations so far takes k log(N / k) updates of a buffer. But of the k nearest
of all N, only about k t / N are among the first t, whatever the distribution of distances: simulations are
exchangeable, so their number is hypergeometric. A buffer of k t / N and a generous margin hence loses one of
the k nearest with a probability below 1e-9, and a thousand observations see little more than k updates each.
Whether something was lost shows in the end: everything dropped was beyond the radius, so all is well where
the k-th nearest that was kept is within it. An observation of which that is not so is searched again with a
buffer of the k nearest at all times: the margin decides how long a call takes, never what it returns.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection.abc_search import BruteForce, Finder, Grid, Hits, Targets, simulate_and_find
from fastinv.kernels.rejection.abc_settle import Settled, settle
from fastinv.kernels.rejection.abc_sources import Source

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]

# The buffer of an observation: enough that compaction is rare.
BUFFER_FACTOR, BUFFER_MORE = 2, 64
# How many of the k nearest are foreseen at most among the first t: mean, so many standard deviations, and
# some for the skewness of small means.
MARGIN_SIGMAS, MARGIN_MORE = 6.0, 8.0
# A buffer is tightened between rounds when it holds so many times what it must.
LOOSE = 1.25


def rank_to_keep(k: int, seen: int, total: int) -> int:
    """How many of the nearest among `seen` simulations may be among the k nearest of `total`."""
    share = seen / total
    mean = k * share
    margin = MARGIN_SIGMAS * math.sqrt(mean * (1.0 - share)) + MARGIN_MORE
    return min(k, math.ceil(mean + margin))


class Nearest:
    """The k nearest of all simulations, in bounded memory: about 2k numbers and distances per observation.

    Args:
        source: of simulations.
        targets: the observations.
        k: samples per observation.
        total: simulations that will be made.
        compiled: whether Numba is to search.
        foresee: whether radii are foreseen; else the k nearest so far are kept at all times.
    """

    finished = 0

    def __init__(
        self, source: Source, targets: Targets, k: int, total: int, *, compiled: bool, foresee: bool
    ) -> None:
        batch = len(targets.centres)
        capacity = BUFFER_FACTOR * k + BUFFER_MORE
        self.number = np.zeros((batch, capacity), dtype=np.int64)
        self.found = np.zeros(batch, dtype=np.int64)
        self._distance = np.empty((batch, capacity))
        self._radius = np.full(batch, np.inf)
        self._source, self._targets, self._k, self._total = source, targets, k, total
        self._compiled, self._foresee = compiled, foresee
        self._seen = 0

    @property
    def _rank(self) -> int:
        return rank_to_keep(self._k, self._seen, self._total) if self._foresee else self._k

    @property
    def _buffers(self) -> tuple[Numbers, FloatArray, Numbers, FloatArray]:
        return self.found, self._radius, self.number, self._distance

    def _tighten(self, rank: int, loose: float) -> None:
        if self._compiled:
            from fastinv.kernels.rejection.numba_cpu import abc_nearest

            abc_nearest.tighten(rank, self._k, loose, *self._buffers)

    def finder(self) -> Finder:
        self._tighten(self._rank, LOOSE)
        active = np.ones(len(self.found), dtype=bool)
        # What is found is decided by its exact distance: rounding and screening must not hide anything.
        radius = self._radius * (1.0 + 1e-12) + max(self._targets.error, 1e-150)
        if self._compiled and np.isfinite(radius).all():
            dtype = np.float32 if self._targets.error else np.float64
            return Grid(self._targets, radius, active, dtype)
        return BruteForce(self._targets, radius, active)

    def look(self, finder: Finder, first: int, count: int) -> Hits:
        need = np.full(len(self.found), count)
        hits = simulate_and_find(self._source, finder, need, np.inf, first, count)
        if not self._targets.error:
            return hits
        _, y = self._source.draw(hits.number)
        assert y is not None
        return hits._replace(distance=self._targets.distance(y, hits.observation))

    def absorb(self, hits: Hits) -> None:
        self._seen += hits.simulations
        absorb: Any = _absorb_nearest
        if self._compiled:
            from fastinv.kernels.rejection.numba_cpu import abc_nearest

            absorb = abc_nearest.absorb
        absorb(self._rank, self._k, hits.observation, hits.number, hits.distance, *self._buffers)

    def settle(self, pool: ThreadPoolExecutor | None) -> Settled:
        self._tighten(self._k, 1.0)
        stored = self.number, self._distance, self.found
        return settle(self._source, self._targets, *stored, self._k, nearest=True, pool=pool)

    def uncertain(self, settled: Settled) -> NDArray[np.intp]:
        farthest = np.where(settled.accepted == self._k, settled.distance[:, -1], np.inf)
        return np.flatnonzero(np.isfinite(self._radius) & (farthest > self._radius))


def _absorb_nearest(
    rank: int,
    k: int,
    observation: NDArray[np.int32],
    number: Numbers,
    distance: FloatArray,
    found: Numbers,
    radius: FloatArray,
    kept_number: Numbers,
    kept_distance: FloatArray,
) -> None:
    """The definition: the k nearest so far, whatever the `rank`."""
    for i in np.unique(observation):
        mine = observation == i
        all_numbers = np.concatenate([kept_number[i, : found[i]], number[mine]])
        all_distances = np.concatenate([kept_distance[i, : found[i]], distance[mine]])
        chosen = np.sort(np.lexsort((all_numbers, all_distances))[:k])
        found[i] = len(chosen)
        kept_number[i, : len(chosen)] = all_numbers[chosen]
        kept_distance[i, : len(chosen)] = all_distances[chosen]
        if found[i] == k:
            radius[i] = kept_distance[i, : len(chosen)].max()
