"""Profiles every model's sampling on a GPU, in pieces; without one, on the CPU.

    python bench/gpu_models.py --output bench/results/gpu_models --seconds 420
    python bench/gpu_models.py --check-only --preset smoke     # every mode against eager, no times

Each finished model is written at once, and the same command goes on with those that are missing. Exit code 3
says that the time was over before all were done; 1 that --check-only found a mode that draws something else.
Weights are untrained: times hardly depend on them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from machine import as_markdown, describe
from model_modes import contenders, figures, remarks, times_table
from results_file import update

import fastinv
from fastinv.models import PosteriorModel, model_names
from fastinv.reports.profile import print_profile
from fastinv.reports.profile_export import profile_object
from fastinv.timing import Plan
from fastinv.timing.profile import BATCHES, profile_model
from fastinv.timing.records import Profile
from fastinv.timing.resources import keep_freed_memory
from fastinv.timing.roofline import Machine, measure_machine

MODES = {
    "cuda": ("eager", "compiled", "cudagraph", "tf32", "bf16", "bf16-cudagraph"),
    "cpu": ("eager", "packed", "bf16", "bf16-packed"),
}
DIFFERENT, UNFINISHED = 1, 3
_METHOD = (
    "Made by `python bench/gpu_models.py`; method in docs/timing.md. Times in ms: median, its 95% interval, "
    "middle half. Untrained weights."
)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="prefix of the .json and .md files; gone on with")
    parser.add_argument("--check-only", action="store_true", help="compare modes with eager, measure nothing")
    parser.add_argument("--seconds", type=float, default=420.0, help="start no further model after this")
    parser.add_argument("--preset", default="paper", help="sizes of the models")
    parser.add_argument("--problem", default="kinematics")
    parser.add_argument("--model", action="append", choices=model_names(), help="repeatable (default: all)")
    parser.add_argument("--smoke", action="store_true", help="small batches and rough timings")
    arguments = parser.parse_args()
    if arguments.output is None and not arguments.check_only:
        parser.error("--output is needed, or --check-only")
    names = arguments.model or model_names()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if arguments.check_only:
        return check_all(names, arguments, device)
    done = finished(arguments.output, settings(arguments, device))
    return measure_all([name for name in names if name not in done], arguments, device)


def build(name: str, arguments: argparse.Namespace, device: str) -> PosteriorModel:
    """An untrained model."""
    problem = fastinv.problem(arguments.problem)
    return fastinv.model(name, problem, preset=arguments.preset, device=device).eval()


def check_all(names: list[str], arguments: argparse.Namespace, device: str) -> int:
    """Every mode against eager, a line for each."""
    wrong = False
    for name in names:
        calls, notes = contenders(build(name, arguments, device), MODES[device])
        for mode in MODES[device]:
            print(f"{name}, {mode}: {'ok' if mode in calls else notes[mode]}", flush=True)
        wrong |= any(note.startswith("wrong") for note in notes.values())
    return DIFFERENT if wrong else 0


def measure_all(due: list[str], arguments: argparse.Namespace, device: str) -> int:
    """Profiles, each written as soon as it is known."""
    started = time.monotonic()
    keep_freed_memory()
    machine = measure_machine(device) if due else None
    for i, name in enumerate(due):
        if time.monotonic() - started > arguments.seconds:
            print(f"gpu_models: time is over; run again for {', '.join(due[i:])}", file=sys.stderr)
            return UNFINISHED
        profile = measure(name, arguments, device, machine)
        (entry,) = profile_object([profile], [], {})["models"]
        timings = {m.mode: m.latency for m in profile.modes if m.latency is not None}
        entry["figures"] = figures(timings, {m.mode: m.reason for m in profile.modes if m.status != "ok"})
        changes = {
            "machine": describe(["torch", "triton", "numpy"]),
            "settings": settings(arguments, device),
            "models": {name: entry},
        }
        update(arguments.output, changes, markdown)
    return 0


def measure(name: str, arguments: argparse.Namespace, device: str, machine: Machine | None) -> Profile:
    """One model's profile, printed as soon as it is known."""
    from rich.console import Console

    profile = profile_model(
        build(name, arguments, device),
        modes=MODES[device],
        batches=BATCHES[:4] if arguments.smoke else BATCHES,
        plan=Plan(budget_s=0.2 if arguments.smoke else 2.0),
        machine=machine,
        on_step=lambda so_far, step: print(f"{name}: {step}", file=sys.stderr),
    )
    print_profile(profile, Console(highlight=False))
    return profile


def settings(arguments: argparse.Namespace, device: str) -> dict[str, str]:
    """What all models of a file have in common."""
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {
        "preset": arguments.preset,
        "problem": arguments.problem,
        "device": name,
        "torch": torch.__version__,
    }


def finished(prefix: Path, wanted: dict[str, str]) -> set[str]:
    """Models that the result has already.

    Raises:
        SystemExit: the file is of other settings.
    """
    path = prefix.with_suffix(".json")
    if not path.exists():
        return set()
    found: dict[str, Any] = json.loads(path.read_text())
    if found.get("settings") != wanted:
        raise SystemExit(f"gpu_models: {path} has other settings: {found.get('settings')}")
    return set(found["models"])


def markdown(result: dict[str, Any]) -> str:
    """The page: a table per model."""
    made = result["settings"]
    lines = [
        f"# 1000 samples for one observation of {made['problem']} on {made['device']}",
        f"{as_markdown(result['machine'])}\n{_METHOD}",
    ]
    for name, entry in result["models"].items():
        lines += [f"## {name}: {entry['parameters']:,} parameters", times_table(entry["figures"], "eager")]
        lines += remarks(entry["figures"])
    return "\n\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
