"""What scripts about scaling share: calls timed in turn, fitted exponents, limited threads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from fastinv.kernels import backends

Call = Callable[[], Any]


def timed(calls: dict[Any, Call], rounds: int, fill: float = 0.02) -> dict[Any, list[float]]:
    """Seconds per call, a list over the rounds for each key, all calls in turn."""
    repeats = {}
    for key, call in calls.items():
        call()
        start = time.perf_counter()
        call()
        repeats[key] = max(1, math.ceil(fill / (time.perf_counter() - start)))
    seconds: dict[Any, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in calls.items():
            start = time.perf_counter()
            for _ in range(repeats[key]):
                call()
            seconds[key].append((time.perf_counter() - start) / repeats[key])
    return seconds


def exponent(x: Any, seconds: Any) -> float:
    """Slope of the logarithms by least squares."""
    return float(np.polyfit(np.log(x), np.log(seconds), 1)[0])


@contextmanager
def native_threads(count: int) -> Iterator[None]:
    """Limits the C++ back end to some threads."""
    module = backends.native_module()
    if module is None:
        raise SystemExit("this piece needs the C++ back end")
    before = module.num_threads()
    module.set_num_threads(count)
    try:
        yield
    finally:
        module.set_num_threads(before)


def within(limit: Callable[[int], AbstractContextManager[None]], count: int, call: Call) -> Call:
    """The call under a limit of threads: `native_threads` for the C++, or that of another library."""

    def limited() -> None:
        with limit(count):
            call()

    return limited


def median(row: dict[str, Any]) -> float:
    """Of a row's seconds."""
    return float(np.median(row["seconds"]))


def limits_line(found: dict[str, float]) -> str:
    """The machine's own limits in a sentence."""
    return (
        f"Limits, measured in the same run: {found['multiply_adds'] / 1e9:.0f} G multiply-adds/s in "
        f"registers and {found['bytes'] / 1e9:.1f} GB/s copied, on all cores."
    )
