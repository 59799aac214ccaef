"""Profiles every model's sampling on a GPU, in pieces; without one, on the CPU.

    python bench/gpu_models.py --output bench/results/gpu_models --seconds 420
    python bench/gpu_models.py --check-only --preset smoke     # every mode against eager, no times
    TRITON_INTERPRET=1 python bench/gpu_models.py --check-only --model cinn    # the fused kernel on any CPU

Each finished model is written at once, and the same command goes on with those that are missing. Exit code 3
says that the time was over before all were done; 1 that --check-only found a mode that draws something else.
Weights are untrained: times hardly depend on them. On a GPU it says of each model whether the figures that
docs/timing.md asks for were reached.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
from machine import as_markdown, describe
from model_modes import contenders, figures, interpreted, remarks, times_table
from results_file import finished, update

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
    "cuda": ("eager", "compiled", "cudagraph", "fused", "tf32", "bf16", "bf16-cudagraph", "bf16-fused"),
    "cpu": ("eager", "packed", "bf16", "bf16-packed"),
}
FUSED = ("fused", "bf16-fused")
# To reach: milliseconds for 1000 samples captured, eager over captured for one, captured over fused.
CAPTURED_MS, SINGLE_GAIN, FUSED_GAIN = 0.3, 5.0, 1.5
ITERATES = "iresnet"
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
    parser.add_argument(
        "--mode", action="append", choices=MODES["cuda"] + MODES["cpu"], help="repeatable (default: all)"
    )
    parser.add_argument("--smoke", action="store_true", help="small batches and rough timings")
    arguments = parser.parse_args()
    if arguments.output is None and not arguments.check_only:
        parser.error("--output is needed, or --check-only")
    names = arguments.model or model_names()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    arguments.mode = [mode for mode in MODES[device] if mode in (arguments.mode or MODES[device])]
    if os.environ.get("TRITON_INTERPRET") == "1" and not arguments.check_only:
        parser.error("TRITON_INTERPRET=1 has nothing to time, give --check-only")
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
    in_interpreter = os.environ.get("TRITON_INTERPRET") == "1"
    wrong = False
    for name in names:
        model = build(name, arguments, device)
        calls, notes = contenders(model, arguments.mode)
        found = {mode: "ok" if mode in calls else notes[mode] for mode in arguments.mode}
        if in_interpreter and device == "cpu":
            found |= {f"{mode} in Triton's interpreter": interpreted(model, mode) for mode in FUSED}
        for mode, note in found.items():
            print(f"{name}, {mode}: {note}", flush=True)
        wrong |= any(note.startswith("wrong") for note in found.values())
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
        entry["verdicts"] = verdicts(profile) if device == "cuda" else []
        print("\n".join(entry["verdicts"]))
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
        modes=arguments.mode,
        batches=BATCHES[:4] if arguments.smoke else BATCHES,
        plan=Plan(budget_s=0.2 if arguments.smoke else 2.0),
        machine=machine,
        on_step=lambda so_far, step: print(f"{name}: {step}", file=sys.stderr),
    )
    print_profile(profile, Console(highlight=False))
    return profile


def verdicts(profile: Profile) -> list[str]:
    """Whether a GPU's figures were reached, a line for each that was measured."""
    modes = {m.mode: m for m in profile.modes if m.latency is not None}
    lines = []

    def judge(what: str, value: float, unit: str, limit: float, reached: bool) -> None:
        lines.append(
            f"{what}: {value:.3g}{unit} (to reach: {limit:g}{unit}), {'' if reached else 'not '}reached"
        )

    eager, graph, one = (modes.get(name) for name in ("eager", "cudagraph", "fused"))
    if graph is not None and graph.latency is not None:
        captured = graph.latency.median_ms
        if profile.model != ITERATES:
            judge("1000 samples captured", captured, " ms", CAPTURED_MS, captured <= CAPTURED_MS)
        if eager is not None and eager.single is not None and graph.single is not None:
            gain = eager.single.median_ms / graph.single.median_ms
            judge("one sample, eager over captured", gain, "x", SINGLE_GAIN, gain >= SINGLE_GAIN)
        if one is not None and one.latency is not None:
            # The pessimistic ends of both intervals: a gain within the noise is none.
            gain = graph.latency.low_ms / one.latency.high_ms
            judge("1000 samples, captured over fused at least", gain, "x", FUSED_GAIN, gain >= FUSED_GAIN)
    return lines


def settings(arguments: argparse.Namespace, device: str) -> dict[str, str]:
    """What all models of a file have in common."""
    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return {
        "preset": arguments.preset,
        "problem": arguments.problem,
        "device": name,
        "torch": torch.__version__,
        "modes": ", ".join(arguments.mode),
    }


def markdown(result: dict[str, Any]) -> str:
    """The page: a table per model."""
    made = result["settings"]
    lines = [
        f"# 1000 samples for one observation of {made['problem']} on {made['device']}",
        f"{as_markdown(result['machine'])}\n{_METHOD}",
    ]
    for name, entry in result["models"].items():
        lines += [f"## {name}: {entry['parameters']:,} parameters", times_table(entry["figures"], "eager")]
        lines += remarks(entry["figures"]) + entry.get("verdicts", [])
    return "\n\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
