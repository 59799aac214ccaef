"""Sampling on a CPU: every mode of the large models against each other, their bare products and FrEIA.

    python bench/cpu_models.py --output bench/results/cpu_models --freia-python python

Contenders of a part are interleaved in one go, and a mode is timed only after its samples agreed with
eager's on the same noise. INN and iResNet are trained briefly first: Err_post of bfloat16 and the inverse's
iterations depend on the weights. Takes about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from cpu_peers import Freia, PeerMissingError
from cpu_report import markdown
from machine import describe
from model_modes import SAMPLES, contenders, figures
from results_file import update
from torch.utils._python_dispatch import TorchDispatchMode

import fastinv
from fastinv.models import PosteriorModel, model_names
from fastinv.presets import Preset
from fastinv.runner.profiling import with_effects
from fastinv.runner.stages import PLAN as PLAN_OF_RUNS
from fastinv.runner.stages import time_model
from fastinv.timing import Plan, measure_all
from fastinv.timing.clocks import Call, CpuClock
from fastinv.timing.records import ModeProfile, Profile
from fastinv.timing.resources import keep_freed_memory
from fastinv.timing.roofline import Machine

PLAN = Plan(relative=0.02, budget_s=2.5)
LARGE = Preset("2.7M", 2_700_000, 20_000, 500, 5, 20, 200)
SMALL = Preset("200k", 200_000, 20_000, 500, 5, 20, 200)
INN_MODES = ("eager", "compiled", "packed", "fused", "bf16-packed", "bf16-fused")
OTHER_MODES = ("eager", "packed", "fused")


class Clock(CpuClock):
    """As the CPU's; a peer in another process tells its own time."""

    def time(self, call: Call, repeats: int) -> float:
        if isinstance(call, Peer):
            return call.freia.nanoseconds(repeats)
        return super().time(call, repeats)


class Peer:
    """FrEIA as a contender."""

    def __init__(self, freia: Freia) -> None:
        self.freia = freia

    def __call__(self) -> None:
        self.freia.nanoseconds(1)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, help="prefix of the .json and .md files")
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable (default: all)")
    parser.add_argument(
        "--freia-python", default=sys.executable, help="interpreter of an environment that has FrEIA"
    )
    arguments = parser.parse_args()
    keep_freed_memory()
    for part in arguments.part or PARTS:
        started = time.monotonic()
        found = PARTS[part](arguments)
        found["seconds"] = round(time.monotonic() - started, 1)
        print(f"cpu_models: {part}: {found['seconds']} s", file=sys.stderr)
        machine = {**describe(["torch", "numpy"]), "threads": torch.get_num_threads()}
        update(arguments.output, {"machine": machine, "parts": {part: found}}, markdown)
    print(arguments.output.with_suffix(".md").read_text())
    return 0


def inn(arguments: argparse.Namespace) -> dict[str, Any]:
    """INN: FrEIA and all modes, and what bfloat16 does to Err_post."""
    model = trained("inn", LARGE)
    calls, notes = contenders(model, INN_MODES)
    freia = None
    try:
        freia = Freia(arguments.freia_python, int(model.spec.width), torch.get_num_threads())
        calls["FrEIA eager"] = Peer(freia)
    except PeerMissingError as error:
        print(f"cpu_models: FrEIA is left out: {error}", file=sys.stderr)
        notes["FrEIA eager"] = str(error)
    timings = measure_all(calls, plan=PLAN, clock=Clock())
    if freia is not None:
        freia.close()
    rough = tuple(ModeProfile(mode) for mode in calls if mode.startswith("bf16"))
    unmeasured = Machine(1.0, 1.0, 1.0)
    profile = Profile("inn", "kinematics", model.parameter_count, "cpu", 1, unmeasured, 0.0, rough)
    effects = {
        m.mode: asdict(m.err_post)
        for m in with_effects(model, profile, lambda so_far, step: None).modes
        if m.err_post is not None
    }
    return {"parameters": model.parameter_count, **figures(timings, notes), "err_post": effects}


def against_products(arguments: argparse.Namespace) -> dict[str, Any]:
    """MDN, Autoencoder, cVAE and InvAuto: every mode against their products of matrices alone."""
    models = {}
    sizes = [("mdn", SMALL), *((name, LARGE) for name in ("mdn", "autoencoder", "cvae", "invauto"))]
    for name, preset in sizes:
        model = fastinv.model(name, fastinv.problem("kinematics"), preset=preset).eval()
        calls, notes = contenders(model, OTHER_MODES)
        calls["products alone"] = products(model)
        models[f"{name}, {preset.name}"] = {
            "parameters": model.parameter_count,
            **figures(measure_all(calls, plan=PLAN, clock=Clock()), notes),
        }
    return {"models": models}


def iresnet(arguments: argparse.Namespace) -> dict[str, Any]:
    """iResNet: 1000 samples against one forward pass over 1000 rows."""
    model = trained("iresnet", SMALL)
    family: Any = model.family
    calls, notes = contenders(model, ("eager",))
    missed = max(solution.unconverged for solution in family.last_inverse)
    evaluations = sum(solution.evaluations for solution in family.last_inverse)
    x = torch.randn(SAMPLES, family.dims.x)
    c = torch.zeros(SAMPLES, family.dims.c)

    def forward() -> None:
        with torch.no_grad():
            family.encode(x, c)

    calls["one forward pass"] = forward
    timings = measure_all(calls, plan=PLAN, clock=Clock())
    return {
        "parameters": model.parameter_count,
        **figures(timings, notes),
        "tolerance": family.settings.tolerance,
        "evaluations_per_block": evaluations / len(family.blocks),
        "unconverged": missed,
    }


def timing_stage(arguments: argparse.Namespace) -> dict[str, Any]:
    """What timing the paper's ten models costs in a quick run."""
    problem = fastinv.problem("kinematics")
    y = problem.observations(1)
    seconds = {}
    for name in model_names("paper"):
        timed = time_model(fastinv.model(name, problem), y, "cpu", PLAN_OF_RUNS)
        seconds[name] = round(timed.seconds, 2)
    return {"per_model_s": seconds, "total_s": round(sum(seconds.values()), 1)}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "inn": inn,
    "products": against_products,
    "iresnet": iresnet,
    "timing stage": timing_stage,
}


def trained(name: str, preset: Preset) -> PosteriorModel:
    """A model after 200 batches, on all of the machine's threads."""
    problem = fastinv.problem("kinematics")
    model = fastinv.model(name, problem, preset=preset)
    fastinv.fit(model, problem, preset=preset)
    return model.eval()


class _Shapes(TorchDispatchMode):
    """Collects (rows, inner, columns) of every product of matrices."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ("mm", "addmm", "linear"):
            left = args[1] if name == "addmm" else args[0]
            self.shapes.append((left.shape[0], left.shape[1], result.shape[1]))
        return result


def products(model: PosteriorModel) -> Call:
    """The products of matrices of one draw, one after the other, into memory that is there."""
    y = torch.as_tensor(model.problem.observations(1), dtype=torch.float32)
    with torch.no_grad(), _Shapes() as seen:
        model.draw(y, torch.randn(1, SAMPLES, model.noise_width))
    operands = [(torch.randn(m, k), torch.randn(k, n), torch.empty(m, n)) for m, k, n in seen.shapes]

    def call() -> None:
        with torch.no_grad():
            for a, b, out in operands:
                torch.mm(a, b, out=out)

    return call


if __name__ == "__main__":
    sys.exit(main())
