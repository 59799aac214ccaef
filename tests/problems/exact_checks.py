"""Checks of one back end of the exact samplers, also as a command that prints its finding as JSON.

    FASTINV_ISA=avx2 python tests/problems/exact_checks.py stress kinematics native 10000

A process of its own is needed where the back end is chosen at import: the C++ takes its instruction set from
FASTINV_ISA, Triton its interpreter from TRITON_INTERPRET.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from scipy.stats import chi2

import fastinv
from fastinv.kernels.rejection import sample_ballistics, sample_kinematics

SAMPLERS: dict[str, Any] = {"kinematics": sample_kinematics, "ballistics": sample_ballistics}
# Observations per call; what 200 samples of them take stays below 100 MB.
CHUNK = 5000
# Far above rounding, far below any distance between two independent samples.
SAME_SAMPLE = 1e-9


def calibrate(name: str, backend: str, draws: int, samples: int = 63) -> dict[str, list[float]]:
    """P-values of chi-square tests that the rank of x among posterior samples is uniform, per coordinate."""
    problem = fastinv.problem(name)
    x = problem.sample_prior(draws, seed=99)
    y = problem.simulate(x)
    ties = np.random.default_rng(1)
    counts = np.zeros((problem.dim_x, samples + 1))
    for start in range(0, draws, CHUNK):
        own = x[start : start + CHUNK, None]
        part = y[start : start + CHUNK]
        posterior = SAMPLERS[name](part, samples, seed=100, first_observation=start, backend=backend)
        lower = ties.random(posterior.shape) < ties.random(own.shape)
        ranks = ((posterior < own) | ((posterior == own) & lower)).sum(axis=1)
        counts += [np.bincount(r, minlength=samples + 1) for r in ranks.T]
    expected = draws / (samples + 1)
    statistic = ((counts - expected) ** 2 / expected).sum(axis=1)
    return {"p_values": chi2.sf(statistic, samples).tolist()}


def stress(name: str, backend: str, count: int, samples: int = 200) -> dict[str, float]:
    """Residuals and proposals per sample over prior observations; a sampler that is stuck raises."""
    problem = fastinv.problem(name)
    y = problem.simulate(problem.sample_prior(count, seed=8))
    residual, proposals = 0.0, np.empty(count)
    for start in range(0, count, CHUNK):
        part = slice(start, start + CHUNK)
        attempts = np.empty((len(y[part]), samples), dtype=np.int64)
        x = SAMPLERS[name](
            y[part], samples, seed=9, first_observation=start, backend=backend, attempts_out=attempts
        )
        residual = max(residual, float(np.abs(problem.simulate(x) - y[part, None]).max()))
        proposals[part] = attempts.mean(axis=1)
    return {"residual": residual, "mean": float(proposals.mean()), "worst": float(proposals.max())}


def flips(name: str, backend: str, count: int, samples: int = 1000) -> dict[str, float]:
    """Samples that differ from the "numba" back end's: in the proposal that was accepted, or in x."""
    problem = fastinv.problem(name)
    y = problem.simulate(problem.sample_prior(count, seed=21))
    flipped = equal_attempts = 0
    for start in range(0, count, CHUNK // 10):
        part = y[start : start + CHUNK // 10]
        attempts = np.empty((2, len(part), samples), dtype=np.int64)
        a, b = (
            SAMPLERS[name](
                part, samples, seed=2, first_observation=start, backend=chosen, attempts_out=attempts[i]
            )
            for i, chosen in enumerate((backend, "numba"))
        )
        same = attempts[0] == attempts[1]
        close = np.abs(a - b).max(axis=-1) <= SAME_SAMPLE
        flipped += int((~(same & close)).sum())
        equal_attempts += int((same & ~close).sum())
    return {"flips": flipped, "with_equal_attempts": equal_attempts, "samples": count * samples}


CHECKS: dict[str, Any] = {"calibrate": calibrate, "stress": stress, "flips": flips}

if __name__ == "__main__":
    check, name, backend, *sizes = sys.argv[1:]
    print(json.dumps(CHECKS[check](name, backend, *map(int, sizes))))
