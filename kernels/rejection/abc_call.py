"""The course of one call of tolerance ABC."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.memory import check_fits
from fastinv.kernels.rejection.abc_keep import FirstWithin, Keeper
from fastinv.kernels.rejection.abc_nearest import BUFFER_FACTOR, BUFFER_MORE, Nearest
from fastinv.kernels.rejection.abc_report import ABCResult
from fastinv.kernels.rejection.abc_rounds import OnProgress, Totals, run_rounds
from fastinv.kernels.rejection.abc_search import Targets
from fastinv.kernels.rejection.abc_settle import Settled
from fastinv.kernels.rejection.abc_sources import Source

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Call:
    """What was asked for, checked.

    Attributes:
        y: observations, shape (B, d_y).
        n: samples per observation.
        tolerance: in scaled units; None for the nearest n.
        max_simulations: budget.
        batch_size: most rows that a batch simulator is called with.
        on_progress: called after every round.
    """

    y: FloatArray
    n: int
    tolerance: float | None
    max_simulations: int
    batch_size: int
    on_progress: OnProgress | None

    def run(self, source: Source, scale: FloatArray, compiled: bool) -> ABCResult:
        """Simulate, search and draw what was accepted."""
        started, batch = time.perf_counter(), len(self.y)
        kept = self.n if self.tolerance is not None else BUFFER_FACTOR * self.n + BUFFER_MORE
        check_fits(
            batch * (self.n * (source.dim_x + 2) + 2 * kept) * 8,
            f"n={self.n} samples of {batch} observations",
        )
        targets = Targets(self.y, scale, source, compiled)
        with _pool(source, compiled) as (pool, threads):

            def searched(keeper: Keeper) -> tuple[Settled, Totals]:
                totals = run_rounds(
                    source, keeper, self.max_simulations, self.batch_size, pool, threads, self.on_progress
                )
                return keeper.settle(pool), totals

            keeper = self._keeper(source, targets, compiled)
            settled, totals = searched(keeper)
            again = keeper.uncertain(settled)
            if len(again):
                careful = self._keeper(source, targets.part(again), compiled, foresee=False)
                for whole, part in zip(settled, searched(careful)[0], strict=True):
                    whole[again] = part
        return self._report(settled, totals, time.perf_counter() - started)

    def _keeper(self, source: Source, targets: Targets, compiled: bool, foresee: bool = True) -> Keeper:
        if self.tolerance is not None:
            return FirstWithin(source, targets, self.n, self.tolerance, compiled)
        return Nearest(source, targets, self.n, self.max_simulations, compiled=compiled, foresee=foresee)

    def _report(self, settled: Settled, totals: Totals, seconds: float) -> ABCResult:
        x, number, distance, accepted = settled
        simulations = np.full(len(accepted), totals.simulations, dtype=np.int64)
        farthest = np.full(len(accepted), self.tolerance if self.tolerance is not None else np.nan)
        if self.tolerance is None:
            some = accepted > 0
            farthest[some] = distance[some, accepted[some] - 1]
        else:
            full = accepted == self.n
            simulations[full] = number[full, -1] + 1
        return ABCResult(
            x,
            distance,
            accepted,
            simulations,
            farthest,
            totals.simulations,
            totals.not_finite,
            totals.raised,
            seconds,
        )


@contextlib.contextmanager
def _pool(source: Source, compiled: bool) -> Iterator[tuple[ThreadPoolExecutor | None, int]]:
    """Threads for compiled sources; a Python simulator stays in the caller's thread, where Ctrl-C arrives."""
    if not (compiled and source.parallel):
        yield None, 1
        return
    import numba

    threads = numba.get_num_threads()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="abc")
    try:
        yield pool, threads
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
