"""Latency of a call: warm-up, then the median and quartiles over repetitions."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import quantiles
from time import perf_counter_ns

NS_PER_MS = 1e6


@dataclass(frozen=True)
class Timing:
    """Latency of one call in milliseconds.

    Attributes:
        median_ms: median over the repetitions.
        q25_ms: lower quartile.
        q75_ms: upper quartile.
        repeats: number of timed calls.
    """

    median_ms: float
    q25_ms: float
    q75_ms: float
    repeats: int


def measure(
    call: Callable[[], object],
    *,
    synchronise: Callable[[], object] | None = None,
    warmup: int = 3,
    min_repeats: int = 5,
    max_repeats: int = 200,
    budget_s: float = 0.5,
) -> Timing:
    """Time `call` again and again until the budget is spent.

    The median is reported, as it shrugs off the calls that the operating system interrupted. The garbage
    collector is held off between repetitions, so that one call does not pay for another's rubbish.

    Args:
        call: what to time; its result is dropped.
        synchronise: called before the clock starts and before it stops; for devices that work asynchronously.
        warmup: untimed calls beforehand (compilation, caches, allocator).
        min_repeats: timed calls at least, whatever they take; 2 or more.
        max_repeats: timed calls at most.
        budget_s: seconds after which no further timed call starts.

    Returns:
        Median and quartiles in milliseconds.

    Raises:
        ValueError: counts or a budget that make no sense.

    Example:
        >>> measure(lambda: sum(range(1000)), budget_s=0.01).median_ms > 0
        True
    """
    if warmup < 0 or min_repeats < 2 or max_repeats < min_repeats or not budget_s >= 0:
        raise ValueError(
            "need warmup >= 0, 2 <= min_repeats <= max_repeats and budget_s >= 0, got "
            f"warmup={warmup}, min_repeats={min_repeats}, max_repeats={max_repeats}, budget_s={budget_s}"
        )
    wait = synchronise or (lambda: None)
    for _ in range(warmup):
        call()
    wait()
    elapsed: list[int] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        while len(elapsed) < min_repeats or (
            len(elapsed) < max_repeats and sum(elapsed) < budget_s * 1000 * NS_PER_MS
        ):
            start = perf_counter_ns()
            call()
            wait()
            elapsed.append(perf_counter_ns() - start)
    finally:
        if collecting:
            gc.enable()
    q25, median, q75 = (value / NS_PER_MS for value in quantiles(elapsed, n=4, method="inclusive"))
    return Timing(median, q25, q75, len(elapsed))
