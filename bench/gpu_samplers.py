"""Checks and times the exact samplers on a CUDA machine; `bench/gpu_kernels.py` calls it."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import torch

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
LARGEST_DIFFERENCE = 1e-9
# Decisions at a margin below rounding: 1e-12 of all proposals are expected to flip.
MOST_FLIPS = 1


def observations(name: str, count: int) -> np.ndarray:
    problem = fastinv.problem(name)
    prior = np.asarray(problem.simulate(problem.sample_prior(count, seed=5)))
    return np.concatenate([np.array(HARD[name]), prior])[:count]


def check() -> list[dict[str, Any]]:
    """The same samples as on the CPU, sample by sample, and residuals at rounding level."""
    rows = []
    for name, sample in SAMPLERS.items():
        y = observations(name, 300)
        # One short call and one that fills the device take different paths.
        for n in (100, 2000):
            attempts = {b: np.empty((len(y), n), dtype=np.int64) for b in ("triton", "auto")}
            x = sample(torch.tensor(y).cuda(), n, seed=3, attempts_out=attempts["triton"]).cpu().numpy()
            expected = sample(y, n, seed=3, attempts_out=attempts["auto"])
            same = attempts["triton"] == attempts["auto"]
            difference = float(np.abs(x - expected)[same].max())
            residual = np.abs(np.asarray(fastinv.problem(name).simulate(x)) - y[:, None, :]).max()
            flips = int((~same).sum())
            limit = 4.0 * float(np.finfo(np.float64).eps) * max(2.0, float(np.abs(y).max()))
            rows.append(
                {
                    "problem": name,
                    "n": n,
                    "flips": flips,
                    "proposals": int(attempts["auto"].sum()),
                    "difference": difference,
                    "residual": float(residual),
                    "passed": flips <= MOST_FLIPS
                    and difference <= LARGEST_DIFFERENCE
                    and bool(residual <= limit),
                }
            )
    return rows


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
