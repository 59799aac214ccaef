"""What made a run's numbers: versions, commit, machine, command."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fastinv

LIBRARIES = ("numpy", "scipy", "torch", "numba", "triton", "safetensors", "rich", "typer")


def collect_provenance(**more: Any) -> dict[str, Any]:
    """Provenance of this process; imports nothing heavy.

    Args:
        **more: further entries, such as the GPU's name.

    Returns:
        A JSON-serialisable dictionary.
    """
    return {
        "version": fastinv.__version__,
        "git": _git(),
        "python": platform.python_version(),
        "libraries": {name: found for name in LIBRARIES if (found := _version(name)) is not None},
        "platform": platform.platform(),
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "command": ["fastinv", *sys.argv[1:]],
        **more,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any] | None:
    """Commit of the checkout that fastinv runs from; None for an installed wheel."""
    root = Path(fastinv.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    commit = _run(["git", "-C", str(root), "rev-parse", "HEAD"])
    changes = _run(["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"])
    return None if commit is None else {"commit": commit, "dirty": bool(changes)}


def _run(command: list[str]) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def cpu() -> dict[str, Any]:
    """Name and the instruction sets that matter for speed."""
    found: dict[str, str] = {}
    try:
        # One paragraph per core; the first says it all.
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            found[key.strip()] = value.strip()
    except OSError:
        pass  # not Linux
    name = found.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in found and "model" in found:
        # Hosts of virtual machines cut names down to "AMD EPYC", of which there are five generations.
        name += f" (family {found['cpu family']}, model {found['model']})"
    flags = {*found.get("flags", "").split(), *found.get("Features", "").split()}
    return {"name": name, "flags": sorted(flags & {"avx", "avx2", "fma", "avx512f", "asimd", "sve"})}
