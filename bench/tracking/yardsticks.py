"""Fixed workloads that benchmarks are timed against: their ratio stays when the machine's speed drifts.

A yardstick uses what its benchmark uses (arithmetic of all cores or of one, memory, the interpreter, the
disk, process start), takes a few milliseconds and is never changed: a new workload is a new name.
"""

from __future__ import annotations

import functools
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter_ns, process_time
from typing import Any

import numpy as np

_RNG = np.random.default_rng(0)
_WORDS = _RNG.normal(size=1 << 20)
_COPY = np.empty_like(_WORDS)
_FEW = _RNG.normal(size=1 << 12)
_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_POOL = ThreadPoolExecutor(_CORES)
_MORE = _RNG.normal(size=1 << 15)
_POWERS = [np.empty_like(_MORE) for _ in range(_CORES)]


def core() -> None:
    """Exponentials on one core, from its nearest cache: for what uses one thread."""
    powers = np.empty_like(_FEW)
    for _ in range(500):
        np.exp(_FEW, out=powers)


def threads() -> None:
    """Exponentials in a thread per core, each of which waits for nobody until the end: as our kernels do it.

    A call takes a tenth of a millisecond, so that the threads seldom meet at the interpreter's lock.
    """
    for done in [_POOL.submit(_powers, own) for own in _POWERS]:
        done.result()


def _powers(own: np.ndarray) -> None:
    for _ in range(40):
        np.exp(_MORE, out=own)


def layers() -> None:
    """Layers of a network on 10 000 rows, on torch's threads, with an array of its own for every result.

    Most of what such a layer takes longer on one day than on another is for memory that the system hands out
    anew each time.
    """
    rows, weights = _layers()
    for _ in range(8):
        rows = (rows @ weights).relu()


@functools.cache
def _layers() -> tuple[Any, Any]:
    import torch

    return torch.from_numpy(_RNG.normal(size=(10_000, 40))).float(), torch.full((40, 40), 0.04)


def memory() -> None:
    """Copy of 8 MiB."""
    np.copyto(_COPY, _WORDS)


def interpreter() -> None:
    """A loop in Python itself."""
    total = 0
    for i in range(40_000):
        total += i * i


def disk() -> None:
    """64 KiB written to a file and forced to the disk."""
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 16))
        file.flush()
        os.fsync(file.fileno())


def process() -> None:
    """Start and end of a bare Python process."""
    subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)


YARDSTICKS: dict[str, Callable[[], None]] = {
    f.__name__: f for f in (core, threads, layers, memory, interpreter, disk, process)
}


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = perf_counter_ns()
    call()
    return (perf_counter_ns() - start) / 1e9


def cpu_seconds() -> float:
    """CPU time that this process and its children have used, in all threads."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime
