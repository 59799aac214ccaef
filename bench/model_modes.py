"""What benchmarks of execution modes share: contenders that were checked, their figures and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from results_file import table

from fastinv.models import PosteriorModel
from fastinv.models.layers.fused import fused
from fastinv.timing import Timing
from fastinv.timing.checking import check
from fastinv.timing.clocks import Call
from fastinv.timing.modes import ModeUnavailableError
from fastinv.timing.sampler import Sampler

SAMPLES = 1000


def contenders(
    model: PosteriorModel, modes: Sequence[str], samples: int = SAMPLES
) -> tuple[dict[str, Call], dict[str, str]]:
    """Samplers by mode whose samples agreed with eager's on the same noise, and why others are missing."""
    y = torch.as_tensor(model.problem.observations(1), dtype=torch.float32, device=model.device)
    calls: dict[str, Call] = {}
    notes: dict[str, str] = {}
    for mode in modes:
        try:
            sampler = Sampler(model, y, samples, mode)
        except ModeUnavailableError as error:
            notes[mode] = str(error)
            continue
        found = check(sampler, model)
        if found.passed:
            calls[mode] = sampler
        else:
            notes[mode] = f"wrong: {found.reason}"
    return calls, notes


def interpreted(model: PosteriorModel, mode: str, samples: int = 200) -> str:
    """A model's flow in Triton's interpreter against eager: "ok", or what is wrong or missing.

    What a mode does on a GPU, but for the graph around the kernel.

    Args:
        model: on the CPU, TRITON_INTERPRET=1 in the environment.
        mode: "fused" or "bf16-fused".
        samples: per call; the interpreter is slow.
    """
    try:
        ready: Any = fused(model, bf16=mode == "bf16-fused", backend="triton")
    except ValueError as error:
        return str(error)
    if ready is None:
        return "no part of it is fused in Triton"
    sampler = Sampler(ready, torch.as_tensor(model.problem.observations(1), dtype=torch.float32), samples)
    sampler.mode = mode  # judged by what this mode may do
    found = check(sampler, model)
    return "ok" if found.passed else f"wrong: {found.reason}"


def figures(timings: Mapping[str, Timing], notes: Mapping[str, str]) -> dict[str, Any]:
    """Medians with their intervals and spread in milliseconds, warnings, and what was left out."""
    return {
        "ms": {
            name: {
                "median": t.median_ms, "low": t.low_ms, "high": t.high_ms, "q25": t.q25_ms, "q75": t.q75_ms,
                "p99": t.p99_ms, "repeats": t.repeats,
            }
            for name, t in timings.items()
        },
        "warnings": sorted({w for t in timings.values() for w in t.warnings}),
        "left_out": dict(notes),
    }  # fmt: skip


def times_table(found: Mapping[str, Any], yardstick: str) -> str:
    """Times of `figures`, the slowest first, and their ratios to one of them."""
    times = found["ms"]
    base = times.get(yardstick, {}).get("median")
    rows = [
        (
            name,
            f"{t['median']:.3g}",
            f"{t['low']:.3g} to {t['high']:.3g}",
            f"{t['q25']:.3g} to {t['q75']:.3g}",
            f"{t['median'] / base:.2f}" if base else "",
        )
        for name, t in sorted(times.items(), key=lambda item: -float(item[1]["median"]))
    ]
    return table(("", "median", "interval", "middle half", f"over {yardstick}"), rows)


def remarks(found: Mapping[str, Any]) -> list[str]:
    """What was left out and why, and the warnings."""
    left_out = [f"{name} is left out: {reason}." for name, reason in found["left_out"].items()]
    return left_out + [f"Warning: {warning}." for warning in found["warnings"]]
