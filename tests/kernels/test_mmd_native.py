"""The C++ back end: every instruction set this CPU has, threads, fork, and sums of many pairs."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from fastinv.kernels import Gaussian, available_backends, mmd2, mmd2_terms
from fastinv.kernels.backends import native_module

if not available_backends()["native"].available:
    pytest.skip("the C++ extension was not built", allow_module_level=True)
module = native_module()

SCRIPT = """
import itertools
import numpy as np
from fastinv.kernels import Gaussian, InverseMultiquadric, mmd2_terms
from fastinv.kernels.mmd import native_cpu, reference
from fastinv.kernels.mmd.kernel_functions import resolve

rng = np.random.default_rng(0)
GAUSSIANS = [Gaussian(0.7), Gaussian(0.5, 1.0, 2.0), Gaussian(0.3, 1.0)]
KERNELS = ["paper", "hint", *GAUSSIANS, InverseMultiquadric((1.0, 0.3))]
for dtype, limit, gradient_limit in ((np.float32, 1e-6, 2e-5), (np.float64, 1e-13, 1e-11)):
    for d, kernel in itertools.product([1, 4, 7, 19], KERNELS):
        x = (rng.normal(size=(2, 67, d)) + 1000.0).astype(dtype)
        y = (rng.normal(size=(2, 34, d)) + 1000.0).astype(dtype)
        got, want = (mmd2_terms(x, y, kernel=kernel, backend=b) for b in ("native", "reference"))
        for part in ("xx", "yy", "xy"):
            error = np.abs(getattr(got, part) - getattr(want, part)).max()
            assert error <= limit * want.k0, (d, kernel, part)
        spec = resolve(kernel).spec()
        arguments = (x, y, spec, np.full(2, spec.scale), (0.9, 0.8, -2.0), (True, True))
        got, want = (engine.means_and_gradients(*arguments)[1:] for engine in (native_cpu, reference))
        for g, w in zip(got, want):
            assert np.abs(g - w).max() <= gradient_limit * np.abs(w).max(), (d, kernel)
"""


@pytest.mark.parametrize("isa", module.built_isas() if module else [])
def test_every_instruction_set_agrees_with_reference(isa: str) -> None:
    environment = {**os.environ, "FASTINV_ISA": isa}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    if "this CPU lacks it" in run.stderr:
        pytest.skip(f"this CPU has no {isa}")
    assert run.returncode == 0, run.stderr


RAGGED = """
import numpy as np
from fastinv.kernels import Gaussian, mmd2_terms

# Every remainder of a vector and of a block of rows, columns taken row by row and otherwise, several shares.
SIZES = [(n, 65 - n) for n in range(1, 65)] + [(300, 17), (5, 270), (700, 1000)]
rng = np.random.default_rng(0)
for dtype, limit in ((np.float32, 1e-6), (np.float64, 1e-13)):
    for n, m in SIZES:
        x, y = (rng.normal(size=(2, size, 2)).astype(dtype) for size in (n, m))
        got, want = (mmd2_terms(x, y, kernel=Gaussian(0.7), backend=b) for b in ("native", "reference"))
        for part in ("xx", "yy", "xy"):
            assert np.abs(getattr(got, part) - getattr(want, part)).max() <= limit, (dtype, n, m, part)
"""


@pytest.mark.parametrize("isa", module.built_isas() if module else [])
def test_ragged_sizes_in_every_instruction_set(isa: str) -> None:
    environment = {**os.environ, "FASTINV_ISA": isa}
    run = subprocess.run([sys.executable, "-c", RAGGED], env=environment, capture_output=True, text=True)
    if "this CPU lacks it" in run.stderr:
        pytest.skip(f"this CPU has no {isa}")
    assert run.returncode == 0, run.stderr


def test_a_problem_counts_the_same_alone_and_in_a_batch() -> None:
    """One problem is shared by the threads, of many each goes to one thread."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(64, 500, 4)).astype(np.float32) for _ in range(2))
    np.testing.assert_array_equal(mmd2(x, y)[:3], [mmd2(x[b], y[b]) for b in range(3)])


def test_an_unknown_instruction_set_is_named() -> None:
    script = "from fastinv.kernels import available_backends; available_backends()"
    environment = {**os.environ, "FASTINV_ISA": "avx1024"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode != 0
    assert "FASTINV_ISA=avx1024" in run.stderr
    assert "accepted: " in run.stderr


def test_results_do_not_depend_on_threads() -> None:
    assert module is not None
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 700, 4)).astype(np.float32), rng.normal(size=(5, 650, 4)).astype(np.float32)
    before, results = module.num_threads(), []
    try:
        for threads in (1, 2, 7):
            module.set_num_threads(threads)
            results.append(mmd2(x, y, backend="native"))
    finally:
        module.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def _in_child(queue: multiprocessing.SimpleQueue[float]) -> None:
    x = np.random.default_rng(0).normal(size=(4, 600, 2))
    queue.put(float(mmd2(x, x + 1.0, backend="native").sum()))


def test_threads_survive_fork() -> None:
    x = np.random.default_rng(0).normal(size=(4, 600, 2))
    want = float(mmd2(x, x + 1.0, backend="native").sum())
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_in_child, args=(queue,))
    # Python warns that forking a process with threads may deadlock: that it does not is what is tested.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join(60)
    assert child.exitcode == 0
    assert queue.get() == want


def test_equal_samples_sum_without_drift() -> None:
    """All kernel values equal: rounding errors of a float sum would all point the same way."""
    x, y = np.zeros((1, 3000, 2), np.float32), np.full((1, 3000, 2), 0.3, np.float32)
    for kernel in ("paper", Gaussian(1.0)):
        terms = mmd2_terms(x, y, kernel=kernel, backend="native")
        want = mmd2_terms(x[:, :2], y[:, :2], kernel=kernel, backend="reference")
        for part in ("xx", "yy", "xy"):
            assert abs(getattr(terms, part)[0] - getattr(want, part)[0]) <= 2e-6 * want.k0


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize(("dtype", "limit"), [(np.float32, 2e-6), (np.float64, 1e-13)])
def test_ten_thousand_samples(dtype: type, limit: float, shift: float) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(10_000, 4)) + shift).astype(dtype)
    y = (rng.normal(size=(10_000, 4)) + shift + 0.1).astype(dtype)
    for kernel in ("paper", Gaussian(1.0)):
        want = mmd2_terms(x, y, kernel=kernel, backend="reference")
        for backend in ("native", "numba"):
            got = mmd2_terms(x, y, kernel=kernel, backend=backend)
            assert abs(float(got.biased) - float(want.biased)) <= limit * want.k0
