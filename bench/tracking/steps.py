"""What two processes that measure in step exchange with the one that tells them whose turn it is."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tracking.yardsticks import cpu_seconds, seconds

# A round shorter than this is made of several calls.
ROUND_S = 0.003
# The file descriptor of the pipe, where benchmarks are to be run in step.
IN_STEP = "FASTINV_BENCH_IN_STEP"


@dataclass(frozen=True)
class Announced:
    """A process is ready for a benchmark.

    Attributes:
        node: as pytest names it.
        has_cpu: whether CPU times say something about it.
    """

    node: str
    has_cpu: bool


@dataclass(frozen=True)
class Took:
    """Seconds per call in one round, on the clock and of CPU time."""

    wall: float
    cpu: float


def calls_in_a_round(took: float) -> int:
    """How many calls of so many seconds each make a round."""
    return max(1, math.ceil(ROUND_S / took))


def serve(ready: Announced, call: Callable[[], object]) -> None:
    """Say what is ready, and run rounds of as many calls as the pipe's other end asks for, until that is 0.

    Raises:
        EOFError: nobody is there any longer.
    """
    pipe = _pipe()
    pipe.send(ready)
    while calls := pipe.recv():

        def several(calls: int = calls) -> None:
            for _ in range(calls):
                call()

        start = cpu_seconds()
        wall = seconds(several)
        pipe.send(Took(wall / calls, (cpu_seconds() - start) / calls))


@functools.cache
def _pipe() -> Connection:
    return Connection(int(os.environ[IN_STEP]))
