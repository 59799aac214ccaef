"""The `tracked` fixture: pytest-benchmark rounds that alternate with a yardstick."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, Protocol

import numpy as np
import pytest

from tracking.yardsticks import YARDSTICKS, cpu_seconds, seconds

# A round shorter than this is made of several calls.
ROUND_S = 0.003
BUDGET_S = 0.6
MIN_ROUNDS, MAX_ROUNDS = 9, 60
# "name part:share" slows every matching benchmark down: how the check itself is tested.
INJECT = "FASTINV_BENCH_INJECT"


class Tracked(Protocol):
    """Times a call against a yardstick; the call must have been checked before."""

    def __call__(self, call: Callable[[], object], yardstick: str = "threads") -> None: ...


def _slowed(call: Callable[[], object], name: str) -> Callable[[], object]:
    """The call, and as much more work as is asked for, in as many threads as the call keeps busy."""
    part, _, share = os.environ.get(INJECT, "").rpartition(":")
    if not part or part not in name:
        return call
    call()
    wall, cpu = time.perf_counter(), cpu_seconds()
    for _ in range(10):
        call()
    wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
    others = max(1, round(cpu / wall)) - 1
    pool = ThreadPoolExecutor(others) if others else None
    few = np.zeros(1 << 12)

    def work(end: float) -> None:
        while time.perf_counter() < end:
            np.exp(few)

    def slower() -> None:
        start = time.perf_counter()
        call()
        end = start + (time.perf_counter() - start) * (1.0 + float(share))
        waiting = [pool.submit(work, end) for _ in range(others)] if pool else []
        work(end)
        for done in waiting:
            done.result()

    return slower


@pytest.fixture
def tracked(benchmark: Any, request: pytest.FixtureRequest) -> Tracked:
    """Rounds of the call and of the yardstick take turns; what they say goes into extra_info.

    `ratio` is the median ratio of wall times, `cpu_ratio` that of CPU times; `best_s` and `best_cpu_s` are
    the shortest times of a call. What waits for the disk has no CPU times.
    """

    def time_it(call: Callable[[], object], yardstick: str = "threads") -> None:
        call, measure = _slowed(call, request.node.name), YARDSTICKS[yardstick]
        if not benchmark.enabled:
            benchmark.pedantic(call)
            return
        call(), measure()
        # The best of three, or one that was held up would be timed alone, cold from the yardstick.
        calls = max(1, math.ceil(ROUND_S / min(seconds(call) for _ in range(3))))
        once = min(calls * seconds(call) + seconds(measure) for _ in range(3))
        rounds = min(MAX_ROUNDS, max(MIN_ROUNDS, round(BUDGET_S / once)))
        yard: list[float] = []
        yard_cpu: list[float] = []
        cpu: list[float] = []

        def turn_of_yardstick() -> None:
            start = cpu_seconds()
            yard.append(seconds(measure))
            yard_cpu.append(cpu_seconds() - start)

        def several() -> None:
            start = cpu_seconds()
            for _ in range(calls):
                call()
            cpu.append(cpu_seconds() - start)

        benchmark.pedantic(several, setup=turn_of_yardstick, rounds=rounds)
        found = _ratio_and_best(benchmark.stats.stats.data, yard, calls)
        benchmark.extra_info |= {"yardstick": yardstick, "calls_per_round": calls}
        benchmark.extra_info |= dict(zip(("ratio", "best_s"), found, strict=True))
        if yardstick != "disk":
            found = _ratio_and_best(cpu, yard_cpu, calls)
            benchmark.extra_info |= dict(zip(("cpu_ratio", "best_cpu_s"), found, strict=True))

    return time_it


def _ratio_and_best(times: list[float], yard: list[float], calls: int) -> tuple[float, float]:
    return median(t / calls / u for t, u in zip(times, yard, strict=True)), min(times) / calls
