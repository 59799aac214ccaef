"""What machine a result was measured on, and that machine's own limits: multiply-adds and memory."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

SOURCE = Path(__file__).with_name("fma_rate.cpp")


def cores() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpu_name() -> str:
    """The CPU as runs record it."""
    from fastinv.store.provenance import cpu

    return str(cpu()["name"])


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 itself."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that are installed, and of Python."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(packages: Iterable[str]) -> dict[str, object]:
    """CPU, cores, back ends and versions: what a reader needs to place the figures."""
    from fastinv.kernels import available_backends

    return {
        "cpu": cpu_name(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "native": available_backends()["native"].detail,
        "versions": versions(packages),
    }


def as_markdown(machine: dict[str, object]) -> str:
    """The description as one paragraph."""
    listed = machine["versions"]
    assert isinstance(listed, dict)
    packages = ", ".join(f"{name} {version}" for name, version in listed.items())
    return (
        f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}; {machine['native']}.\n"
        f"Versions: {packages}."
    )


def multiply_adds(target: float = 0.1) -> tuple[Callable[[], object], float]:
    """A call that keeps every core busy with multiply-adds in registers, and how many it does.

    Args:
        target: seconds that the call should take.

    Raises:
        RuntimeError: where no C++ compiler is installed.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        raise RuntimeError("no C++ compiler to build the multiply-add loop with")
    folder = tempfile.mkdtemp()
    target_file = Path(folder) / "fma_rate.so"
    flags = ["-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(target_file)], check=True)
    library = ctypes.CDLL(str(target_file))
    shutil.rmtree(folder)
    library.multiply_adds.argtypes = [ctypes.c_size_t]
    library.multiply_adds.restype = ctypes.c_float
    # A step takes about 12 cycles where a core starts one multiply-add per cycle, 6 where it starts two.
    steps = int(target * 3e9 / 12)

    # ctypes lets go of the interpreter lock, so that the threads run side by side.
    work = [lambda: library.multiply_adds(steps)] * cores()
    return lambda: side_by_side(work), float(steps) * library.lanes_per_step() * cores()


def side_by_side(work: Iterable[Callable[[], object]]) -> None:
    """Carry out each in a thread of its own."""
    threads = [threading.Thread(target=part) for part in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def copies(mebibytes: int = 64) -> tuple[Callable[[], object], float]:
    """A call in which every core copies an array larger than its caches, and the bytes read and written."""
    import numpy as np

    blocks = [np.ones((2, mebibytes << 17)) for _ in range(cores())]
    work = [lambda b=b: np.copyto(b[1], b[0]) for b in blocks]
    return lambda: side_by_side(work), float(sum(b.nbytes for b in blocks))


def limits(rounds: int = 7) -> dict[str, float]:
    """What the machine does at most in a second; the best of some rounds, for others only take from it."""
    found = {}
    for name, (call, amount) in {"multiply_adds": multiply_adds(0.05), "bytes": copies()}.items():
        call()
        times = []
        for _ in range(rounds):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        found[name] = amount / min(times)
    return found
