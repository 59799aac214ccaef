"""Whether torch.compile or bfloat16 pays in training on this CPU: one step of every model, each way, in turn.

The ways are compared before they are timed: on the same batch and the same random numbers, loss and gradient
have to agree with those of float32 without a compiler. `fastinv/training/compiling.py` names the families
that are compiled for the table that this prints.

    python bench/training_steps.py --preset standard --output bench/results/training_steps
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import machine
import results_file
import torch
from torch import Tensor, nn

import fastinv
from fastinv.models import PosteriorModel, model_names
from fastinv.models.compiling import hushed, one_line
from fastinv.presets import preset
from fastinv.training import training_set
from fastinv.training.compiling import COMPILED_FROM
from fastinv.training.loop import Trainer

WAYS = {
    "eager": "operator by operator",
    "compiled": "the whole loss through torch.compile",
    "blocks": "the repeated blocks alone through torch.compile, each kind once",
    "bf16": "autocast to bfloat16",
}
# Largest difference of loss and gradient to eager's, relative to the gradient's norm.
LIMITS = {"eager": 0.0, "compiled": 1e-4, "blocks": 1e-4, "bf16": 5e-2}


def repeated_blocks(model: PosteriorModel) -> list[nn.Module]:
    """Members of lists of like modules that are called as they are."""
    lists = [m for m in model.family.modules() if isinstance(m, nn.ModuleList)]
    return [m for found in lists[:1] for m in found if type(m).forward is not nn.Module.forward]


def prepared(model: PosteriorModel, way: str) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The model's loss, carried out in this way."""
    if way == "compiled":
        return torch.compile(model.loss_of, dynamic=False)
    if way == "blocks":
        blocks = repeated_blocks(model)
        if not blocks:
            raise ValueError("no repeated blocks")
        for block in blocks:
            block.compile(dynamic=False)
    if way == "bf16":
        if not machine.cpu_has_bf16():
            raise ValueError("this CPU has no bfloat16")

        def in_bf16(x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return model.loss_of(x, y, noise)

        return in_bf16
    return model.loss_of


def gradient(trainer: Trainer) -> Tensor:
    """Loss and gradient of the training's first step, as one vector."""
    size = trainer.preset.batch_size
    noise = trainer.model.draw_loss_noise(size, torch.Generator().manual_seed(0))
    for parameter in trainer.parameters:
        parameter.grad = None
    rows = trainer.order.rows(0)
    loss = trainer.optimise.loss(trainer.data.x[rows], trainer.data.y[rows], noise)
    loss.backward()
    grads = [p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in trainer.parameters]
    return torch.cat([loss.detach().view(1), *grads])


def measured(name: str, size: str, rounds: int, steps: int) -> dict[str, Any]:
    """Milliseconds of CPU time per step for each way, round by round, and why a way is missing."""
    problem = fastinv.problem("kinematics")
    sizes = preset(size)
    data = training_set(problem, sizes.training_pairs)
    model = fastinv.model(name, problem, preset=size)
    model.train()
    trainers: dict[str, Trainer] = {}
    row: dict[str, Any] = {"prepare_s": {}, "error": {}, "missing": {}, "ms": {}}
    expected = torch.empty(0)
    for way in WAYS:
        trainer = Trainer(copy.deepcopy(model), data, sizes, 0, None)
        started = time.perf_counter()
        try:
            with hushed():
                trainer.optimise.loss = prepared(trainer.model, way)
                found = gradient(trainer)
        except Exception as error:  # a compiler's failure is a result
            row["missing"][way] = one_line(error)
            continue
        row["prepare_s"][way] = time.perf_counter() - started
        if way == "eager":
            expected = found
        error = float((found - expected).norm() / expected.norm())
        row["error"][way] = error
        if not error <= LIMITS[way]:
            row["missing"][way] = f"differs from eager by {error:.1e}"
            continue
        with hushed():
            trainer.advance(2)
        trainers[way], row["ms"][way] = trainer, []
    for _ in range(rounds):
        for way, trainer in trainers.items():
            started = time.process_time()
            trainer.advance(steps)
            row["ms"][way].append(1e3 * (time.process_time() - started) / steps)
    torch._dynamo.reset()
    return row


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    rows = []
    for name, row in result["models"].items():
        eager = row["ms"]["eager"]
        cells = [name, f"{statistics.median(eager):.1f}"]
        for way in list(WAYS)[1:]:
            if way not in row["ms"]:
                cells.append("–")
                continue
            ratios = sorted(e / m for e, m in zip(eager, row["ms"][way], strict=True))
            cells.append(f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        cells.append(f"{row['prepare_s'].get('compiled', float('nan')):.0f}")
        rows.append(cells)
    header = ["model", "eager, ms", *(f"{way}: times faster" for way in list(WAYS)[1:]), "compiling, s"]
    ways = "; ".join(f"{way}: {what}" for way, what in WAYS.items())
    missing = {f"{way}: {why}" for r in result["models"].values() for way, why in r["missing"].items()}
    return "\n".join(
        [
            f"# One training step, preset {result['preset']}, one thread",
            "",
            machine.as_markdown(result["machine"]),
            "",
            f"{ways}.",
            "",
            "CPU time, so that other work on the machine counts little; ratios within a round, median and",
            f"range. A training is compiled from {COMPILED_FROM} steps on.",
            "",
            results_file.table(header, rows),
            "",
            "Missing: " + ("; ".join(sorted(missing)) or "nothing") + ".",
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="standard")
    parser.add_argument("--model", action="append", choices=model_names(), help="all if left out")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--steps", type=int, default=6, help="optimiser steps per round")
    parser.add_argument("--output", type=Path, help="result files without suffix, which later runs add to")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {"machine": machine.describe(("numpy", "torch")), "preset": options.preset}
    result["models"] = {}
    for name in options.model or model_names():
        result["models"][name] = measured(name, options.preset, options.rounds, options.steps)
        print(name, *(f"{w} {statistics.median(ms):.1f}" for w, ms in result["models"][name]["ms"].items()))
    return results_file.tell(result, options.output, markdown)


if __name__ == "__main__":
    sys.exit(main())
