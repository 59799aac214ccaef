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
MIN_ROUNDS, MAX_ROUNDS = 5, 60
# A call that takes longer is timed once to learn how many fit the budget; a short one can be held up.
LONG_S = 0.1
# "name part:share" slows every matching benchmark down: how the check itself is tested.
INJECT = "FASTINV_BENCH_INJECT"
# Set where only the shortest times of a call are of use: no yardstick, and a part of the rounds.
BEST_ONLY = "FASTINV_BENCH_BEST_ONLY"
BEST_BUDGET_S, BEST_ROUNDS = 0.25, 3


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
    the shortest times of a call. What waits for the disk has no CPU times, and with BEST_ONLY there are no
    ratios.
    """

    def time_it(call: Callable[[], object], yardstick: str = "threads") -> None:
        call, measure = _slowed(call, request.node.name), YARDSTICKS[yardstick]
        if not benchmark.enabled:
            benchmark.pedantic(call)
            return
        best_only = BEST_ONLY in os.environ
        call()
        if not best_only:
            measure()
        took = seconds(call)
        if took < LONG_S:
            # The best of three, or one that was held up would be timed alone, cold from the yardstick.
            took = min(took, seconds(call), seconds(call))
        calls = max(1, math.ceil(ROUND_S / took))
        if best_only:
            rounds = max(BEST_ROUNDS, round(BEST_BUDGET_S / (calls * took)))
        else:
            once = calls * took + min(seconds(measure) for _ in range(3))
            rounds = max(MIN_ROUNDS, round(BUDGET_S / once))
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

        setup = {} if best_only else {"setup": turn_of_yardstick}
        benchmark.pedantic(several, rounds=min(MAX_ROUNDS, rounds), **setup)
        times = benchmark.stats.stats.data
        more = benchmark.extra_info
        more |= {"yardstick": yardstick, "calls_per_round": calls, "best_s": min(times) / calls}
        if yard:
            more["ratio"] = _ratio(times, yard, calls)
        if yardstick != "disk":
            more["best_cpu_s"] = min(cpu) / calls
            if yard:
                more["cpu_ratio"] = _ratio(cpu, yard_cpu, calls)

    return time_it


def _ratio(times: list[float], yard: list[float], calls: int) -> float:
    return median(t / calls / u for t, u in zip(times, yard, strict=True))
