"""Every back end of the exact samplers alone: calibration, a stress of prior observations, and flips."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import poisson

from fastinv.kernels import backends

NAMES = ("kinematics", "ballistics")
# Rounding of the forward process itself. A throw that grazes the ground on its way down meets it at a double
# root, which amplifies rounding.
RESIDUAL = {"kinematics": 4e-15, "ballistics": 1e-12}
# Measured on x86-64: two per million; none for throws, which have no singular corners.
FLIPS_PER_SAMPLE = {"kinematics": 5e-6, "ballistics": 1e-8}


def instruction_sets() -> list[str]:
    """Those of the build that this CPU has: with one of them it has all older ones."""
    module = backends.native_module()
    if module is None:
        return []
    built: list[str] = module.built_isas()
    return built[: built.index(module.active_isa()) + 1]


COMPILED = [*(f"native-{isa}" for isa in instruction_sets()), "numba"]
# Back ends and how many draws and observations they are fast enough for.
CALIBRATION = [*((name, 100_000) for name in COMPILED), ("reference", 3_000)]
STRESS = [*((name, 10_000) for name in COMPILED), ("reference", 2_000)]
if importlib.util.find_spec("triton") is not None:  # here in its interpreter
    CALIBRATION.append(("triton", 128))
    STRESS.append(("triton", 50))


def run(check: str, problem: str, backend: str, *sizes: int) -> dict[str, Any]:
    """One check of exact_checks.py in a process of its own; `backend` may say an instruction set."""
    backend, _, isa = backend.partition("-")
    chosen = {"FASTINV_ISA": isa} if isa else {"TRITON_INTERPRET": "1"} if backend == "triton" else {}
    script = str(Path(__file__).with_name("exact_checks.py"))
    process = subprocess.run(
        [sys.executable, script, check, problem, backend, *map(str, sizes)],
        env={**os.environ, **chosen},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(process.stdout)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("problem", NAMES)
@pytest.mark.parametrize(("backend", "draws"), CALIBRATION)
def test_simulation_based_calibration(backend: str, draws: int, problem: str) -> None:
    """The false-alarm rate is 4e-4 per back end and problem; all of them share their prior draws."""
    # Chi-square tests want a dozen or more draws per rank.
    samples = 63 if draws >= 3000 else 7
    p_values = run("calibrate", problem, backend, draws, samples)["p_values"]
    assert len(p_values) == 4
    assert min(p_values) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("problem", NAMES)
@pytest.mark.parametrize(("backend", "observations"), STRESS)
def test_no_prior_observation_is_stuck(backend: str, observations: int, problem: str) -> None:
    samples = 20 if observations < 1000 else 200
    found = run("stress", problem, backend, observations, samples)
    assert found["residual"] <= RESIDUAL[problem]
    assert 1.0 < found["mean"] <= 4.0
    assert found["worst"] <= 20.0


@pytest.mark.slow
@pytest.mark.parametrize("problem", NAMES)
@pytest.mark.parametrize("backend", [name for name in COMPILED if name != "numba"])
def test_flips_are_few(backend: str, problem: str) -> None:
    """4 million samples; at the rate allowed more flips than that have probability 1e-6."""
    found = run("flips", problem, backend, 4000)
    most = int(poisson.isf(1e-6, FLIPS_PER_SAMPLE[problem] * found["samples"]))
    print(f"{found['flips']:.0f} flips, {found['with_equal_attempts']:.0f} of them with equal attempts")
    assert found["flips"] <= most
