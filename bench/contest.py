"""What comparisons with other libraries share: who takes part, checks before times, rounds that alternate."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmd_worker import resident

Calls = dict[str, Callable[[], Any]]
"""What is timed of one contestant: task -> call."""
TURN_S = 0.05
"""At least; some contestants take a millisecond for a call."""


def entrants(packages: Mapping[str, str], only: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """Who takes part, and why others do not.

    Args:
        packages: contestant -> the package that has to be installed, empty for our own.
        only: names of those that may take part; all if empty.
    """
    taking, left_out = [], {}
    for name, package in packages.items():
        if only and name not in only:
            continue
        try:
            if package:
                importlib.metadata.version(package)
            taking.append(name)
        except importlib.metadata.PackageNotFoundError:
            left_out[name] = f"{package} is not installed"
    return taking, left_out


def checked(
    names: Iterable[str], make: Callable[[str], tuple[Calls, dict[str, float]]], limits: Mapping[str, float]
) -> tuple[dict[str, Calls], dict[str, dict[str, float]], dict[str, str]]:
    """Calls and checks of those who are right, and the reasons why others get no time.

    Args:
        names: who takes part.
        make: name -> its calls and what its check found.
        limits: largest value of each figure of the check that bounds an error.
    """
    calls: dict[str, Calls] = {}
    checks: dict[str, dict[str, float]] = {}
    left_out: dict[str, str] = {}
    for name in names:
        try:
            made, found = make(name)
        except Exception as error:  # whatever a library raises is its result
            left_out[name] = f"{type(error).__name__}: {error}".split("\n")[0]
            continue
        # NaN is above every limit.
        if wrong := [key for key, limit in limits.items() if key in found and not found[key] <= limit]:
            left_out[name] = ", ".join(f"{key} {found[key]:.1e} above {limits[key]:.0e}" for key in wrong)
            continue
        calls[name], checks[name] = made, found
    return calls, checks, left_out


def seconds_of(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turn(call: Callable[[], Any]) -> tuple[float, list[Any]]:
    """Seconds that a turn's calls took, and what each of them returned.

    The first call is not timed: it finds the caches of the contestant before, and perhaps its threads, which
    may wait actively for a while.
    """
    call()
    results, start = [], time.perf_counter()
    while (spent := time.perf_counter() - start) < TURN_S:
        results.append(call())
    return spent, results


def seconds_per_call(call: Callable[[], Any]) -> float:
    """Mean over a turn's calls."""
    seconds, results = turn(call)
    return seconds / len(results)


def alternating(
    calls: Mapping[str, Calls], rounds: int, measure: Callable[[Callable[[], Any]], float] = seconds_per_call
) -> dict[str, dict[str, list[float]]]:
    """Contestant -> task -> one measurement per round; within a round all contestants take their turn."""
    measured: dict[str, dict[str, list[float]]] = {n: {task: [] for task in c} for n, c in calls.items()}
    for task in dict.fromkeys(task for c in calls.values() for task in c):
        field = {name: c[task] for name, c in calls.items() if task in c}
        for call in field.values():
            call(), call()
        for _ in range(rounds):
            for name, call in field.items():
                measured[name][task].append(measure(call))
    return measured


def memory(script: str, *arguments: str) -> dict[str, int]:
    """Peak memory of each task, as a process of its own prints it: JSON in its last line."""
    command = [sys.executable, "-W", "ignore", script, *arguments]
    # Larger blocks come from the system and go back to it, so that the peak is the call's own.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def peak(calls: Calls) -> dict[str, int]:
    """Bytes beyond what was resident before one warm call of each task."""
    found = {}
    for task, call in calls.items():
        call()
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
        result = call()
        found[task] = resident("VmHWM") - before
        del result
    return found
