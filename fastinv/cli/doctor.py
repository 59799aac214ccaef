"""`fastinv doctor`: what is installed, what is in use, and how to mend what is missing."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer

from fastinv.cli.errors import FAILED, OK, command

REQUIRED = ("numpy", "scipy", "torch", "numba", "safetensors", "rich", "typer", "matplotlib", "jinja2")
OPTIONAL = ("triton", "pyarrow")
SIGNS = {"ok": "ok     ", "slow": "slower ", "missing": "missing", "broken": "BROKEN "}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        what: its name.
        state: "ok", "slow" (works, but slower than it could), "missing" (optional) or "broken".
        detail: version, choice or reason.
        fix: how to mend it, empty where nothing is to be mended.
    """

    what: str
    state: str
    detail: str
    fix: str = ""


@command
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> int:
    """Check the installation: versions, back ends, threads, GPU; each problem with its fix."""
    findings = [*_versions(), *_backends(), *_machine(), *_folders()]
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            typer.echo(f"{SIGNS[finding.state]} {finding.what}: {finding.detail}")
            if finding.fix:
                typer.echo(f"{'':8}fix: {finding.fix}")
    return FAILED if any(finding.state == "broken" for finding in findings) else OK


def _versions() -> list[Finding]:
    import fastinv

    findings = [
        Finding("fastinv", "ok", fastinv.__version__),
        Finding("Python", "ok", sys.version.split()[0]),
    ]
    for name in (*REQUIRED, *OPTIONAL):
        try:
            findings.append(Finding(name, "ok", version(name)))
        except PackageNotFoundError:
            needed = name in REQUIRED
            state = "broken" if needed else "missing"
            use = "" if needed else " (optional)"
            findings.append(Finding(name, state, f"not installed{use}", f"pip install {name}"))
    return findings


_FIXES = {
    "native": "install a C++17 compiler (Debian: apt install g++) and reinstall fastinv",
    "numba": "pip install numba",
    "triton": "needs an NVIDIA GPU with a CUDA build of torch; the CPU back ends serve without it",
}


def _backends() -> list[Finding]:
    from fastinv.kernels import available_backends

    findings = []
    for name, status in available_backends().items():
        state = "ok" if status.available else {"native": "slow", "triton": "missing"}.get(name, "broken")
        fix = "" if status.available else _FIXES.get(name, "")
        findings.append(Finding(f"back end {name}", state, status.detail, fix))
    if forced := os.environ.get("FASTINV_BACKEND"):
        findings.append(
            Finding("FASTINV_BACKEND", "ok", f"every call uses {forced!r}", "unset it to choose per call")
        )
    return findings


def _machine() -> list[Finding]:
    try:
        import torch
    except ImportError as error:
        return [Finding("torch", "broken", f"does not load: {error}", "pip install torch")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = torch.get_num_threads()
    slow = threads < min(cores, 2)
    findings = [
        Finding(
            "threads",
            "slow" if slow else "ok",
            f"torch uses {threads}, the machine offers {cores} cores",
            "unset OMP_NUM_THREADS" if slow else "",
        )
    ]
    if torch.cuda.is_available():
        return [
            *findings,
            Finding("CUDA", "ok", f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"),
        ]
    built = torch.version.cuda is not None
    reason = "no device is visible" if built else "torch was built for the CPU only"
    fix = "check the driver with nvidia-smi" if built else "install a CUDA build of torch if there is a GPU"
    return [*findings, Finding("CUDA", "missing", reason, fix)]


def _folders() -> list[Finding]:
    from fastinv.posteriors import cache_folder

    folder = cache_folder()
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    if os.access(nearest, os.W_OK):
        return [Finding("cache", "ok", f"ground truth is kept in {folder}")]
    fix = "set FASTINV_CACHE to a folder that can be written"
    return [
        Finding("cache", "slow", f"{folder} cannot be written: ground truth is drawn anew by each run", fix)
    ]
