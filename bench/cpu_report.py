"""The Markdown page of bench/cpu_models.py."""

from __future__ import annotations

from typing import Any

from machine import as_markdown
from model_modes import remarks, times_table

_METHOD = (
    "Made by `python bench/cpu_models.py`; method in docs/timing.md. Times in ms: median, its 95% interval, "
    "middle half."
)


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    parts = result["parts"]
    lines = [
        "# Sampling on a CPU: 1000 samples for one observation of kinematics",
        f"{as_markdown(result['machine'])}\nThreads: {result['machine']['threads']}. {_METHOD}",
    ]
    if found := parts.get("inn"):
        lines += [
            f"## INN, {found['parameters']:,} parameters",
            times_table(found, "FrEIA eager"),
            _effects(found),
        ]
        lines += remarks(found)
    for name, found in parts.get("products", {}).get("models", {}).items():
        lines += [f"## {name}: {found['parameters']:,} parameters", times_table(found, "products alone")]
        lines += remarks(found)
    if found := parts.get("iresnet"):
        lines += [
            f"## iResNet, {found['parameters']:,} parameters, trained on 200 batches",
            times_table(found, "one forward pass"),
            _inverse(found),
            *remarks(found),
        ]
    if found := parts.get("timing stage"):
        each = ", ".join(f"{name} {seconds:.1f}" for name, seconds in found["per_model_s"].items())
        lines += [
            "## The timing stage of a quick run",
            f"{found['total_s']} s for the paper's ten models, untrained ({each}).",
        ]
    return "\n\n".join(lines)


def _inverse(found: dict[str, Any]) -> str:
    return (
        f"Tolerance {found['tolerance']:g}; {found['evaluations_per_block']:.1f} evaluations of a branch per "
        f"block; {found['unconverged']} rows above the tolerance."
    )


def _effects(found: dict[str, Any]) -> str:
    return " ".join(
        f"Err_post of {mode}, over 100 observations after 200 batches: {e['mode']:.5f} against "
        f"{e['eager']:.5f}; 95% interval of the paired difference {e['low']:.1e} to {e['high']:.1e}."
        for mode, e in found["err_post"].items()
    )
