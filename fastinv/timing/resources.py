"""Memory and energy of calls, where the system tells."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

# mallopt's parameters in glibc's malloc.h, and the largest threshold that it accepts.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD, _TRIM_THRESHOLD = 32 << 20, 512 << 20
ENERGY_S = 1.0


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed memory instead of giving it back to the system after every call.

    Arrays of a few MB are otherwise mapped and unmapped again and again, and each fresh page costs a fault.
    The setting is the whole process's, so programs may choose it; the library never does by itself.

    Returns:
        Whether it took effect (glibc only).
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    kept = mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(kept and mallopt(_M_TRIM_THRESHOLD, _TRIM_THRESHOLD))


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Memory that torch's allocator hands out at a call's peak, beyond what was held before."""
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    # Of one cycle all events are kept; acc_events silences torch 2.11's warning for those of more.
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as seen:
        result = call()
    del result
    results: Any = seen.profiler
    changes = [e for e in results.kineto_results.events() if e.name() == "[memory]"]
    held = peak = 0
    for change in sorted(changes, key=lambda e: e.start_ns()):
        held += change.nbytes()
        peak = max(peak, held)
    return peak


def free_bytes(device: str) -> int | None:
    """Memory that may still be taken; None where it is unknown."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return min(int(line.split()[1]) * 1024, _left_in_container())
    except OSError:
        pass  # not Linux
    return None


def _left_in_container() -> int:
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        return 1 << 62 if limit == "max" else int(limit) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return 1 << 62


def joules_per_call(call: Callable[[], object], device: str) -> float | None:
    """Energy of one call, from the GPU's own counter over a second of calls; None where it has none.

    Needs NVML's Python bindings, see `why_no_energy`. The counter covers the whole board.
    """
    if device != "cuda":
        return None
    with _energy_counter() as counter:
        if (start := counter()) is None:
            return None
        calls, began = 0, perf_counter()
        while perf_counter() - began < ENERGY_S:
            call()
            torch.cuda.synchronize()
            calls += 1
        end = counter()
    return None if end is None else (end - start) * 1e-3 / calls


def why_no_energy() -> str:
    """What is missing where a GPU's energy was not measured."""
    if importlib.util.find_spec("pynvml") is None:
        return "needs NVML's Python bindings: pip install 'fastinv[energy]' (nvidia-ml-py)"
    return "this GPU or its driver gives no energy counter"


@contextmanager
def _energy_counter() -> Iterator[Callable[[], int | None]]:
    """A function that reads the current GPU's counter in millijoules; it gives None where there is none."""
    try:
        import pynvml  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        yield lambda: None
        return

    def read() -> int | None:
        try:
            # By UUID: CUDA counts only the GPUs that are visible to it, in an order of its own.
            uuid = str(torch.cuda.get_device_properties().uuid).removeprefix("GPU-")
            handle: Any = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
            return int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        except pynvml.NVMLError:
            return None

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield lambda: None
        return
    try:
        yield read
    finally:
        pynvml.nvmlShutdown()
