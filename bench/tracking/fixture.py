"""The `tracked` fixture: pytest-benchmark rounds that alternate with a yardstick."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, Protocol

import numpy as np
import pytest

from tracking.steps import IN_STEP, Announced, calls_in_a_round, serve
from tracking.yardsticks import YARDSTICKS, cpu_seconds, seconds

BUDGET_S = 0.6
MIN_ROUNDS, MAX_ROUNDS = 5, 60
# A call that takes longer is timed once to learn how many fit the budget; a short one can be held up.
LONG_S = 0.1
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
    pool = ThreadPoolExecutor()

    def work(end: float, few: np.ndarray) -> None:
        while time.perf_counter() < end:
            np.exp(few)

    def slower() -> None:
        start, cpu = time.perf_counter(), cpu_seconds()
        call()
        took = time.perf_counter() - start
        others = max(1, round((cpu_seconds() - cpu) / took)) - 1
        end = start + took * (1.0 + float(share))
        # Threads that take longer for each of their calls seldom wait for the interpreter's lock.
        few = np.zeros(1 << (15 if others else 12))
        waiting = [pool.submit(work, end, few) for _ in range(others)]
        work(end, few)
        for done in waiting:
            done.result()

    return slower


@pytest.fixture
def tracked(benchmark: Any, request: pytest.FixtureRequest) -> Tracked:
    """Rounds of the call and of the yardstick take turns; what they say goes into extra_info.

    `ratio` is the median ratio of wall times, `cpu_ratio` that of CPU times. What waits for the disk has no
    CPU times. In step with another process there is no yardstick, see `steps`.
    """

    def time_it(call: Callable[[], object], yardstick: str = "threads") -> None:
        call, measure = _slowed(call, request.node.name), YARDSTICKS[yardstick]
        if not benchmark.enabled:
            benchmark.pedantic(call)
            return
        call()
        if IN_STEP in os.environ:
            ready = Announced(request.node.nodeid, has_cpu=yardstick != "disk")
            benchmark.pedantic(serve, (ready, call))
            return
        measure()
        took = seconds(call)
        if took < LONG_S:
            # The best of three, or one that was held up would be timed alone, cold from the yardstick.
            took = min(took, seconds(call), seconds(call))
        calls = calls_in_a_round(took)
        rounds = max(MIN_ROUNDS, round(BUDGET_S / (calls * took + min(seconds(measure) for _ in range(3)))))
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

        benchmark.pedantic(several, setup=turn_of_yardstick, rounds=min(MAX_ROUNDS, rounds))
        more = benchmark.extra_info
        more |= {"yardstick": yardstick, "calls_per_round": calls}
        more["ratio"] = _ratio(benchmark.stats.stats.data, yard, calls)
        if yardstick != "disk":
            more["cpu_ratio"] = _ratio(cpu, yard_cpu, calls)

    return time_it


def _ratio(times: list[float], yard: list[float], calls: int) -> float:
    return median(t / calls / u for t, u in zip(times, yard, strict=True))
