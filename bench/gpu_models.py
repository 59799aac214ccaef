"""Profiles every model's sampling on a GPU, in pieces; a smoke check on a CPU.

    python bench/gpu_models.py --output gpu_models.json --seconds 420

Each finished model is written at once, and the same command goes on with those that are missing. Exit code 3
says that the time was over before all were done. Weights are untrained: times hardly depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

import fastinv
from fastinv.models import model_names
from fastinv.reports.profile import print_profile
from fastinv.reports.profile_export import profile_object
from fastinv.store.provenance import collect_provenance
from fastinv.timing import Plan
from fastinv.timing.profile import BATCHES, profile_model
from fastinv.timing.records import Profile
from fastinv.timing.resources import keep_freed_memory
from fastinv.timing.roofline import Machine, measure_machine

MODES = {
    "cuda": ("eager", "compiled", "cudagraph", "tf32", "bf16", "bf16-cudagraph"),
    "cpu": ("eager", "packed", "bf16", "bf16-packed"),
}
UNFINISHED = 3


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, required=True, help="file for the result; gone on with if it exists"
    )
    parser.add_argument("--seconds", type=float, default=420.0, help="start no further model after this")
    parser.add_argument("--preset", default="paper", help="sizes of the models")
    parser.add_argument("--problem", default="kinematics")
    parser.add_argument("--model", action="append", help="a model; repeatable (default: all)")
    parser.add_argument("--smoke", action="store_true", help="small batches and rough timings")
    arguments = parser.parse_args()
    started = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    result = read(arguments.output, arguments.preset, arguments.problem, device)
    done = {entry["model"] for entry in result["models"]}
    due = [name for name in arguments.model or model_names() if name not in done]
    keep_freed_memory()
    machine = measure_machine(device) if due else None
    for name in due:
        if time.monotonic() - started > arguments.seconds:
            print(
                f"gpu_models: time is over; run again for {', '.join(due[due.index(name) :])}",
                file=sys.stderr,
            )
            return UNFINISHED
        profile = measure(name, arguments, device, machine)
        result["models"] += profile_object([profile], [], {})["models"]
        write(arguments.output, result)
    return 0


def measure(name: str, arguments: argparse.Namespace, device: str, machine: Machine | None) -> Profile:
    """One model's profile, printed as soon as it is known."""
    from rich.console import Console

    model = fastinv.model(name, fastinv.problem(arguments.problem), preset=arguments.preset, device=device)
    profile = profile_model(
        model,
        modes=MODES[device],
        batches=BATCHES[:4] if arguments.smoke else BATCHES,
        plan=Plan(budget_s=0.2 if arguments.smoke else 2.0),
        machine=machine,
        on_step=lambda so_far, step: print(f"{name}: {step}", file=sys.stderr),
    )
    print_profile(profile, Console(highlight=False))
    return profile


def read(path: Path, preset: str, problem: str, device: str) -> dict[str, Any]:
    """The result so far, or an empty one.

    Raises:
        SystemExit: the file is of other settings.
    """
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    settings = {"preset": preset, "problem": problem, "device": name, "torch": torch.__version__}
    if not path.exists():
        return {"settings": settings, "models": [], "provenance": collect_provenance(device=name)}
    found: dict[str, Any] = json.loads(path.read_text())
    if found.get("settings") != settings:
        raise SystemExit(f"gpu_models: {path} has other settings: {found.get('settings')}")
    return found


def write(path: Path, result: dict[str, Any]) -> None:
    """Replace the file in one step."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
