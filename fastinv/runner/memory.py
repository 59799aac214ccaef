"""Refusing what would not fit before hours are spent on it."""

from __future__ import annotations

import os
from pathlib import Path

from fastinv.training import Preset

# Both problems have four parameters; plug-ins are of the same order.
_COORDINATES = 4
_FLOAT64 = 8
# The ground truth, the floor's independent one, and the checksum's and cache's passing copies.
_COPIES = 3
_GIB = 2**30


def check_memory(preset: Preset, available: int | None = None, *, jobs: int = 1) -> None:
    """Raise unless a benchmark's samples fit into memory.

    Args:
        preset: numbers of observations and samples.
        available: bytes that may be used; found out if None.
        jobs: processes that each hold them.

    Raises:
        MemoryError: they do not; the message names both numbers and what would fit.
    """
    limit = available_memory() if available is None else available
    if limit is None:
        return
    per_sample = _COORDINATES * _FLOAT64 * _COPIES * jobs
    needed = preset.observations * preset.samples * per_sample
    if needed > limit:
        fits = limit // (per_sample * preset.observations)
        advice = f"at most {fits} samples fit" if fits >= 2 else "lower the number of observations"
        raise MemoryError(
            f"{preset.observations} observations x {preset.samples} samples"
            f"{f' in {jobs} processes' if jobs > 1 else ''} need about "
            f"{needed / _GIB:.1f} GiB of memory and {limit / _GIB:.1f} GiB are available: {advice}"
        )


def available_memory() -> int | None:
    """Bytes that this process can still take, a container's limit considered; None where it is unknown."""
    free = [value for value in (_machine(), _container()) if value is not None]
    return min(free) if free else None


def _machine() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def _container() -> int | None:
    """What is left of a cgroup's limit (version 2)."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return None if limit == "max" else max(0, int(limit) - used)
