"""Rounds of simulations: sized by the clock, shared out to threads, absorbed in proposal order.

What is accepted does not depend on the sizes or the threads, because simulations are numbered and the hits
of a round are absorbed in the order of their numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastinv.kernels.rejection.abc_keep import Keeper
from fastinv.kernels.rejection.abc_report import ABCProgress
from fastinv.kernels.rejection.abc_settle import in_order
from fastinv.kernels.rejection.abc_sources import Source

FIRST_ROUND = 512
# Long enough to hide Python's share, short enough for a prompt answer to Ctrl-C.
ROUND_SECONDS = 0.1
# One compiled call: milliseconds of a built-in problem.
MAX_CHUNK = 1 << 16
CHUNKS_PER_THREAD = 4
# The hits of a round are found with radii of the round before it; see Nearest.
GROWTH = 0.5

OnProgress = Callable[[ABCProgress], Any]


class Totals:
    """What was counted in all rounds."""

    def __init__(self) -> None:
        self.simulations = 0
        self.not_finite = 0
        self.raised = 0
        self.started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started


def run_rounds(
    source: Source,
    keeper: Keeper,
    max_simulations: int,
    batch_size: int,
    pool: ThreadPoolExecutor | None,
    threads: int,
    on_progress: OnProgress | None,
) -> Totals:
    """Simulate until every observation has enough or the budget is spent.

    Args:
        source: of simulations.
        keeper: takes the hits.
        max_simulations: the budget.
        batch_size: largest chunk.
        pool: of threads, None to stay in this one.
        threads: how many it has.
        on_progress: called after every round.
    """
    totals = Totals()
    batch = len(keeper.found)
    size = FIRST_ROUND
    while totals.simulations < max_simulations and keeper.finished < batch:
        began = time.perf_counter()
        first, stop = totals.simulations, min(totals.simulations + size, max_simulations)
        finder = keeper.finder()
        # A batch simulator gets rounds whole: large batches are what it is good at.
        shares = threads * CHUNKS_PER_THREAD if pool is not None else 1
        chunks = _chunks(first, stop, batch_size, shares)

        def look(chunk: tuple[int, int], finder: Any = finder) -> Any:
            return keeper.look(finder, *chunk)

        for hits in in_order(pool, look, chunks):
            keeper.absorb(hits)
            totals.not_finite += hits.not_finite
            totals.raised += hits.raised
        totals.simulations = stop
        if on_progress is not None:
            on_progress(ABCProgress(stop, max_simulations, keeper.finished, batch, totals.seconds))
        pace = (stop - first) / max(time.perf_counter() - began, 1e-6)
        wanted = int(min(pace * ROUND_SECONDS, 2.0 * size, FIRST_ROUND + GROWTH * stop))
        size = max(1, wanted)
    return totals


def _chunks(first: int, stop: int, largest: int, shares: int) -> list[tuple[int, int]]:
    """(first, count) of chunks: as many as there are shares, or more, none too large."""
    count = max(1, min(largest, -(-(stop - first) // shares), MAX_CHUNK))
    return [(i, min(count, stop - i)) for i in range(first, stop, count)]
