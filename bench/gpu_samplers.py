"""Checks and times the exact samplers in Triton; `bench/gpu_kernels.py` calls it."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import torch
from scipy.stats import poisson

import fastinv
from fastinv.kernels.rejection import Arm, Throw, sample_ballistics, sample_kinematics
from fastinv.kernels.rejection.triton_gpu import launch

SAMPLERS: dict[str, Any] = {"kinematics": sample_kinematics, "ballistics": sample_ballistics}
# Constants, as an object and as an array.
CONSTANTS: dict[str, Any] = {
    "kinematics": (Arm(), np.array([*Arm().lengths, *Arm().sigmas])),
    "ballistics": (Throw(), np.array(dataclasses.astuple(Throw()))),
}
HARD = {
    "kinematics": [(0.0, 1.5), (0.0, 1.0), (0.0, 0.0), (0.0, 1.9999), (1.2, 1.2)],
    "ballistics": [(24.0,), (30.0,), (-8.0,)],
}
# Far above rounding, far below any distance between two independent samples.
SAME_SAMPLE = 1e-9
# Cells are chosen by integer weights, and a mass beside a singular corner of the arm may be rounded to either
# integer: two C++ samples in a million are not Numba's. Throws have no such corners, and their verdicts are
# met within rounding of the threshold once in 1e12 proposals.
FLIPS_PER_SAMPLE = {"kinematics": 5e-6, "ballistics": 1e-8}
# Observations and samples of each. One call that leaves a GPU half empty and one that fills it take different
# paths; Triton's interpreter on a CPU works through few.
SIZES = {"cuda": [(300, 100), (300, 2000)], "cpu": [(7, 40)]}


def observations(name: str, count: int) -> np.ndarray:
    problem = fastinv.problem(name)
    prior = np.asarray(problem.simulate(problem.sample_prior(count, seed=5)))
    return np.concatenate([np.array(HARD[name]), prior])[:count]


def cases(device: str) -> list[dict[str, Any]]:
    """Problems and sizes.

    Args:
        device: "cuda", or "cpu" for Triton's interpreter.
    """
    return [
        {"problem": name, "batch": batch, "n": n, "device": device}
        for name in SAMPLERS
        for batch, n in SIZES[device]
    ]


def check(case: dict[str, Any]) -> dict[str, Any]:
    """The samples of the CPU but for a counted few, and residuals at rounding level."""
    name, batch, n = case["problem"], case["batch"], case["n"]
    y, sample = observations(name, batch), SAMPLERS[name]
    attempts, expected_attempts = np.empty((2, batch, n), dtype=np.int64)
    on_device = torch.tensor(y, device=case["device"])
    x = sample(on_device, n, seed=3, backend="triton", attempts_out=attempts).cpu().numpy()
    expected = sample(y, n, seed=3, attempts_out=expected_attempts)
    # A flip may come from another cell at the same attempt, so attempts alone do not show it.
    apart = np.abs(x - expected).max(axis=-1)
    flips = int(((attempts != expected_attempts) | ~(apart <= SAME_SAMPLE)).sum())
    # At the rate above, more than this have probability 1e-6.
    most_flips = int(poisson.isf(1e-6, FLIPS_PER_SAMPLE[name] * batch * n))
    residual = float(np.abs(np.asarray(fastinv.problem(name).simulate(x)) - y[:, None, :]).max())
    limit = 4.0 * float(np.finfo(np.float64).eps) * max(2.0, float(np.abs(y).max()))
    found = {"flips": flips, "most_flips": most_flips, "proposals": int(expected_attempts.sum())}
    passed = flips <= most_flips and residual <= limit
    return {**case, **found, "residual": residual, "passed": passed}


def milliseconds(call: Any, repeats: int = 10) -> list[float]:
    """Wall times, host work included: envelopes are built there."""
    call()
    call()
    times = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return sorted(times)


def time_all() -> list[dict[str, Any]]:
    """Whole calls, and the part of them that builds envelopes on the host."""
    rows = []
    for name, sample in SAMPLERS.items():
        for batch, n in [(1000, 1000), (1000, 4000), (1, 1000), (1, 1_000_000)]:
            y = observations(name, batch)
            on_device = torch.tensor(y).cuda()
            call = milliseconds(lambda s=sample, y=on_device, n=n: s(y, n, seed=1))
            build = milliseconds(lambda y=y, c=CONSTANTS[name]: launch.build_tables(y, *c))
            rows.append({"problem": name, "batch": batch, "n": n, "call_ms": call, "build_ms": build})
    return rows
