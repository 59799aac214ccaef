"""Odd arrays thrown at the MMD: each call returns what the reference does, or an error that names x or y.

`make sanitize` runs this file against an extension built with AddressSanitizer and UBSan and with many more
examples (FASTINV_FUZZ_EXAMPLES); see sanitize.py.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastinv.kernels import Gaussian, InverseMultiquadric, available_backends, mmd2, mmd2_terms, witness
from fastinv.kernels.mmd import native_cpu, numba_cpu
from fastinv.kernels.mmd.engines import CPU_BACKENDS
from fastinv.kernels.mmd.kernel_functions import named_kernel, resolve

BACKENDS = [n for n in CPU_BACKENDS if n != "reference" and available_backends()[n].available]
EXAMPLES = int(os.environ.get("FASTINV_FUZZ_EXAMPLES", "150"))
KERNELS = [
    "paper",
    "hint",
    "multiscale",
    Gaussian(1.0),
    Gaussian(0.5, 1.0, 2.0),
    InverseMultiquadric((1.0, 0.3)),
]
DTYPES = [np.float32, np.float64]
LAYOUTS = ["plain", "fortran", "reversed", "skipped", "broadcast", "read-only", "unaligned", "swapped"]


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same values (or, for "broadcast", the first row's) in another layout in memory."""
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1, ::-1])[..., ::-1, ::-1]
    if layout == "skipped":
        wide = np.full((*array.shape[:-1], 3 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::3] = array
        return wide[..., ::3]
    if layout == "broadcast" and array.size:
        return np.broadcast_to(array[..., :1, :], array.shape)
    if layout == "unaligned":
        raw = np.zeros(array.nbytes + 1, np.uint8)
        view = raw[1:].view(array.dtype).reshape(array.shape)
        view[...] = array
        return view
    if layout == "swapped":
        return array.astype(array.dtype.newbyteorder(">"))
    result = array.copy()
    result.flags.writeable = layout != "read-only"
    return result


@st.composite
def samples(draw: st.DrawFn, d: int | None = None, dtype: Any = None) -> Any:
    """A sample as a careless caller may pass it, most of them valid."""
    dtype = dtype or draw(st.sampled_from(DTYPES))
    shape = [draw(st.sampled_from([1, 2, 3, 7, 15, 16, 17, 33, 0]))]
    shape.append(d or draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 16, 17, 0])))
    if draw(st.booleans()):
        shape.insert(0, draw(st.sampled_from([1, 2, 3, 0])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1.0, 1.0, 1.0, 0.0, 1e-30, 1e6, 1e17, 1e30]))
    with np.errstate(over="ignore"):
        array = (scale * rng.normal(size=shape) + draw(st.sampled_from([0.0, 0.0, 1000.0]))).astype(dtype)
    if draw(st.integers(0, 9)) == 0 and array.size:
        array.flat[draw(st.integers(0, array.size - 1))] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    strange = draw(st.integers(0, 19))
    if strange == 0:
        return draw(
            st.sampled_from([None, "x", 3.0, [], [[]], np.float64(1.0), array.astype(object), array > 0])
        )
    if strange == 1:
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        return draw(st.sampled_from([half, array.astype(complex), array.tolist(), array[None, None]]))
    return laid_out(array, draw(st.sampled_from(LAYOUTS)))


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, Any, Any, bool]:
    """Two samples that mostly fit together, a kernel and an estimate."""
    x = draw(samples())
    fits = isinstance(x, np.ndarray) and x.dtype.kind == "f" and x.ndim > 1 and draw(st.integers(0, 9)) > 0
    native = x.dtype.newbyteorder("=") if fits else None
    y = draw(samples(d=x.shape[-1], dtype=native) if fits else samples())
    return x, y, draw(st.sampled_from(KERNELS)), draw(st.booleans())


def outcome(call: Any) -> Any:
    try:
        return call()
    except (TypeError, ValueError) as error:
        return error


@pytest.mark.parametrize("backend", BACKENDS)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(call=calls())
def test_odd_arrays(backend: str, call: tuple[Any, Any, Any, bool]) -> None:
    x, y, kernel, unbiased = call
    got = outcome(lambda: mmd2(x, y, kernel=kernel, unbiased=unbiased, backend=backend))
    want = outcome(lambda: mmd2(x, y, kernel=kernel, unbiased=unbiased, backend="reference"))
    if isinstance(got, Exception):
        assert str(got).startswith(("x ", "y ")), got
        # The reference computes in float64, where nothing that float32 holds can overflow.
        assert isinstance(want, type(got)) or "overflow" in str(got)
        return
    assert not isinstance(want, Exception), want
    terms = mmd2_terms(x, y, kernel=kernel, backend=backend)
    expected = mmd2_terms(x, y, kernel=kernel, backend="reference")
    limit = (1e-6 if np.asarray(x).dtype.itemsize == 4 else 1e-13) * expected.k0
    for part in ("xx", "yy", "xy"):
        np.testing.assert_allclose(getattr(terms, part), getattr(expected, part), rtol=0, atol=limit)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=4 * limit)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(
    max_examples=max(20, EXAMPLES // 5),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(call=calls())
def test_witness_at_odd_points(backend: str, call: tuple[Any, Any, Any, bool]) -> None:
    """The odd arrays as points too: row sums are written one by one."""
    points, y, kernel, _ = call
    got = outcome(lambda: witness(points, y, points, kernel=kernel, backend=backend))
    want = outcome(lambda: witness(points, y, points, kernel=kernel, backend="reference"))
    if isinstance(got, Exception):
        assert str(got).startswith(("x ", "y ", "points ")), got
        assert isinstance(want, type(got)) or "overflow" in str(got)
        return
    limit = (1e-6 if np.asarray(points).dtype.itemsize == 4 else 1e-13) * resolve(kernel).spec().at_zero
    np.testing.assert_allclose(got, want, rtol=0, atol=2 * limit)


@pytest.mark.parametrize(
    "engine", [e for e, b in ((native_cpu, "native"), (numba_cpu, "numba")) if b in BACKENDS]
)
@settings(max_examples=max(20, EXAMPLES // 5), deadline=None, database=None, derandomize=True)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    d=st.sampled_from([1, 2, 4, 5, 9]),
    dtype=st.sampled_from(DTYPES),
    kernel=st.sampled_from(["paper", "hint", "gaussian"]),
    needs=st.tuples(st.booleans(), st.booleans()),
)
def test_gradients_stay_in_their_arrays(
    engine: Any, n: int, m: int, d: int, dtype: Any, kernel: str, needs: tuple[bool, bool]
) -> None:
    """Under the sanitizers a write beside a gradient, or a read beside a sample, ends the process."""
    rng = np.random.default_rng(n + 100 * m)
    x, y = rng.normal(size=(2, n, d)).astype(dtype), rng.normal(size=(2, m, d)).astype(dtype)
    spec = named_kernel(kernel).spec()
    _, gx, gy = engine.means_and_gradients(x, y, spec, np.full(2, spec.scale), (0.9, 0.8, -2.0), needs)
    assert gx.shape == (2, n if needs[0] else 0, d)
    assert gy.shape == (2, m if needs[1] else 0, d)
    assert np.isfinite(gx).all()
    assert np.isfinite(gy).all()
