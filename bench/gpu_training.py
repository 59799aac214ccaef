"""One training step of every model on a GPU: operator by operator, as a CUDA graph, and with TensorFloat-32.

The ways take turns in one process. Before they are timed, the graph's losses have to be those of the
operators one by one, on the same batches and random numbers. The graph's steps say how long whole trainings
of the preset take. Each model is written as soon as it is measured; the same command goes on from there.

    python bench/gpu_training.py --output bench/results/gpu_training
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import machine
import results_file
import torch

import fastinv
from fastinv.models import model_names
from fastinv.presets import preset
from fastinv.timing.precision import tf32_products
from fastinv.training import training_set
from fastinv.training.loop import AT_ONCE, Trainer

WAYS = {
    "eager": "operator by operator",
    "captured": "all steps but the first few as a CUDA graph, as `fastinv.fit` trains",
    "captured-tf32": "the same with float32 products rounded to TensorFloat-32",
}
# Largest mean difference of the first steps' losses to eager's, relative to these.
LIMITS = {"captured": 1e-3, "captured-tf32": 5e-2}


def measured(name: str, problem_name: str, size: str, rounds: int) -> dict[str, Any]:
    """Milliseconds per step for each way, round by round, and the losses' differences to eager's."""
    problem, sizes = fastinv.problem(problem_name), preset(size)
    data = training_set(problem, sizes.training_pairs).to(torch.device("cuda"))
    model = fastinv.model(name, problem, preset=size, device="cuda").train()
    trainers: dict[str, Trainer] = {}
    losses: dict[str, torch.Tensor] = {}
    row: dict[str, Any] = {"parameters": model.parameter_count, "error": {}, "wrong": {}, "ms": {}}
    for way in WAYS:
        trainer = Trainer(copy.deepcopy(model), data, sizes, 0, None)
        trainer.optimise.captures = way != "eager"
        with products(way):
            losses[way] = torch.tensor(trainer.advance(AT_ONCE), dtype=torch.float64)
        difference = (losses[way] - losses["eager"]).abs().mean() / losses["eager"].abs().mean()
        row["error"][way] = float(difference)
        if way != "eager" and not trainer.optimise.captures:
            row["wrong"][way] = "not captured"
        elif way != "eager" and not difference <= LIMITS[way]:
            row["wrong"][way] = f"losses differ from eager's by {float(difference):.1e}"
        else:
            trainers[way], row["ms"][way] = trainer, []
    for _ in range(rounds):
        for way, trainer in trainers.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            with products(way):
                trainer.advance(AT_ONCE)
            torch.cuda.synchronize()
            row["ms"][way].append(1e3 * (time.perf_counter() - started) / AT_ONCE)
    return row


def products(way: str) -> AbstractContextManager[None]:
    """How a way multiplies float32."""
    return tf32_products() if way.endswith("tf32") else nullcontext()


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    made = result["settings"]
    sizes = preset(made["preset"])
    rows = []
    for name, row in result["models"].items():
        median = {way: statistics.median(ms) for way, ms in row["ms"].items()}
        cells = [name, f"{row['parameters']:,}"]
        for way in WAYS:
            ms = row["ms"].get(way)
            cells.append(f"{median[way]:.3f} ({min(ms):.3f} to {max(ms):.3f})" if ms else "–")
        captured = median.get("captured")
        cells.append(f"{median['eager'] / captured:.1f}" if captured else "–")
        cells.append(f"{1e-3 * captured * sizes.batches:.0f}" if captured else "–")
        rows.append(cells)
    header = [
        "model",
        "parameters",
        *(f"{way}, ms" for way in WAYS),
        "eager over captured",
        "training, s",
    ]
    ways = "; ".join(f"{way}: {what}" for way, what in WAYS.items())
    wrong = [
        f"{name}, {way}: {why}." for name, r in result["models"].items() for way, why in r["wrong"].items()
    ]
    return "\n".join(
        [
            f"# One training step of {made['problem']} on {made['device']}, preset {made['preset']}",
            "",
            machine.as_markdown(result["machine"]),
            "",
            f"{ways}. Median and range of the rounds. Training: {sizes.batches:,} captured steps.",
            "",
            results_file.table(header, rows),
            "",
            *wrong,
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--problem", default="kinematics")
    parser.add_argument("--model", action="append", choices=model_names(), help="all if left out")
    parser.add_argument("--rounds", type=int, default=5, help=f"of {AT_ONCE} optimiser steps each way")
    parser.add_argument("--output", type=Path, help="prefix of the .json and .md files; gone on with")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("gpu_training: torch sees no CUDA device", file=sys.stderr)
        return 2
    result: dict[str, Any] = {
        "machine": machine.describe(("numpy", "torch", "triton")),
        "settings": {
            "preset": options.preset,
            "problem": options.problem,
            "device": torch.cuda.get_device_name(),
            "torch": torch.__version__,
        },
        "models": {},
    }
    done = results_file.finished(options.output, result["settings"]) if options.output is not None else set()
    for name in [name for name in options.model or model_names() if name not in done]:
        result["models"][name] = measured(name, options.problem, options.preset, options.rounds)
        print(name, *(f"{w} {statistics.median(ms):.2f}" for w, ms in result["models"][name]["ms"].items()))
        if options.output is not None:
            results_file.update(options.output, result, markdown)
    print(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
