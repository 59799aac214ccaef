"""Refusing, before any work, what could not fit into memory."""

from __future__ import annotations

import os


def available_bytes() -> int | None:
    """Memory that can be allocated without swapping, None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def check_fits(needed: int, what: str) -> None:
    """Raise where an allocation is larger than the memory that is available.

    Args:
        needed: bytes.
        what: the arguments that decide the size, for the message.

    Raises:
        MemoryError: it does not fit.
    """
    available = available_bytes()
    if available is not None and needed > available:
        raise MemoryError(
            f"{what} need {needed / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB are available; "
            "ask for fewer at a time"
        )
