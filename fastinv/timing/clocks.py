"""Clocks: the processor's own, and CUDA events with a cold or a warm L2 cache."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Protocol

Call = Callable[[], object]


class Clock(Protocol):
    """Times calls on one device."""

    def time(self, call: Call, repeats: int) -> float:
        """Nanoseconds per call, over `repeats` calls in a row."""

    def wait(self) -> None:
        """Return once the device has finished."""


class CpuClock:
    """`time.perf_counter_ns` around the calls."""

    def time(self, call: Call, repeats: int) -> float:
        """Nanoseconds per call."""
        start = perf_counter_ns()
        for _ in range(repeats):
            call()
        return (perf_counter_ns() - start) / repeats

    def wait(self) -> None:
        """Nothing to wait for."""


class CudaClock:
    """CUDA events around the calls, on the current stream.

    Events see what the device does, including the gaps in which it waits for the host to launch more; not the
    time that the host takes before the first launch. A synchronisation before each interval keeps
    contenders from queueing behind each other.

    Args:
        cold: overwrite the L2 cache before each call, so that weights and inputs come from memory.
    """

    def __init__(self, *, cold: bool = False) -> None:
        import torch

        self._torch: Any = torch
        self._flush = None
        if cold:
            l2 = int(getattr(torch.cuda.get_device_properties(0), "L2_cache_size", 0)) or 64 << 20
            self._flush = torch.empty(4 * l2, dtype=torch.int8, device="cuda")

    def time(self, call: Call, repeats: int) -> float:
        """Nanoseconds per call; a cold cache is only cold for a single call."""
        torch = self._torch
        if self._flush is not None:
            repeats = 1
            self._flush.zero_()
        torch.cuda.synchronize()
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeats):
            call()
        stop.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(stop)) * 1e6 / repeats

    def wait(self) -> None:
        """Synchronise the device."""
        self._torch.cuda.synchronize()


def clock_for(device: str, *, cold: bool = False) -> Clock:
    """The clock of a device.

    Raises:
        ValueError: neither "cpu" nor "cuda", or a cold cache asked of a CPU.
    """
    if device == "cuda":
        return CudaClock(cold=cold)
    if device != "cpu":
        raise ValueError(f"device must be 'cpu' or 'cuda', got {device!r}")
    if cold:
        raise ValueError("cold is for CUDA devices; a CPU's caches are measured as the warm-up leaves them")
    return CpuClock()
