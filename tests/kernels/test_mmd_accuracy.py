"""MMD of 10,000 samples far from the origin: every instruction set and Numba within the stated accuracy."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastinv.kernels import available_backends, mmd2_terms
from fastinv.kernels.backends import native_module

MODULE = native_module()
KERNELS = ("gaussian", "paper", "multiscale")
# Largest error of MMD^2, relative to k(0).
LIMITS = {"float32": 2e-6, "float64": 1e-13}
SAMPLES = 10_000

SCRIPT = """
import json
import sys
import numpy as np
from fastinv.kernels import mmd2_terms

backend, dtype, path, *kernels = sys.argv[1:]
data = np.load(path)
errors = {}
for kernel in kernels:
    got = mmd2_terms(data[f"x {dtype}"], data[f"y {dtype}"], kernel=kernel, backend=backend)
    want = data[f"{kernel} {dtype}"]
    errors[kernel] = max(abs(got.biased - want[0]), abs(got.unbiased - want[1])) / got.k0
print(json.dumps(errors))
"""


@pytest.fixture(scope="module")
def references(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of the samples, both clouds shifted by 1000, and of MMD^2 by the definition in float64.

    Each dtype has its own values, since rounding the samples to float32 changes what is to be computed.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(SAMPLES, 4)) + 1000.0
    y = 0.8 * rng.normal(size=(SAMPLES, 4)) + 1000.1
    stored = {}
    for dtype in LIMITS:
        a, b = x.astype(dtype), y.astype(dtype)
        stored[f"x {dtype}"], stored[f"y {dtype}"] = a, b
        for kernel in KERNELS:
            terms = mmd2_terms(a.astype(float), b.astype(float), kernel=kernel, backend="reference")
            stored[f"{kernel} {dtype}"] = np.array([terms.biased, terms.unbiased])
    path = tmp_path_factory.mktemp("accuracy") / "references.npz"
    np.savez(path, **stored)
    return path


def assert_accurate(backend: str, dtype: str, references: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-c", SCRIPT, backend, dtype, str(references), *KERNELS]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if "this CPU lacks it" in run.stderr:
        pytest.skip(f"this CPU has no {environment['FASTINV_ISA']}")
    assert run.returncode == 0, run.stderr
    errors = json.loads(run.stdout)
    assert errors.keys() == set(KERNELS)
    for kernel, error in errors.items():
        assert error <= LIMITS[dtype], f"{kernel} is off by {error:.1e} k(0)"


@pytest.mark.slow
@pytest.mark.skipif(MODULE is None, reason="the C++ extension was not built")
@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("isa", MODULE.built_isas() if MODULE else [])
def test_every_instruction_set(isa: str, dtype: str, references: Path) -> None:
    assert_accurate("native", dtype, references, {"FASTINV_ISA": isa})


@pytest.mark.slow
@pytest.mark.skipif(not available_backends()["numba"].available, reason="Numba is not installed")
@pytest.mark.parametrize("dtype", LIMITS)
def test_numba(dtype: str, references: Path) -> None:
    assert_accurate("numba", dtype, references, {})
