"""MMD in C++: the fast CPU path."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels import backends
from fastinv.kernels.mmd.arrays import check_finite
from fastinv.kernels.mmd.kernel_functions import KernelSpec
from fastinv.kernels.mmd.pack import spread_limit, too_wide
from fastinv.kernels.mmd.plan import plan

Array = NDArray[Any]
Float64 = NDArray[np.float64]

_ONES = np.ones(3)
_NO_ROWS = np.empty((0, 0))


def means(x: Array, y: Array, spec: KernelSpec, scale: Float64, parts: tuple[bool, bool, bool]) -> Float64:
    """Mean kernel values; see `reference.means`."""
    nothing = np.empty((x.shape[0], 0, x.shape[2]), x.dtype)
    return _evaluate(x, y, spec, scale, parts, _ONES, nothing, nothing)


def means_and_gradients(
    x: Array,
    y: Array,
    spec: KernelSpec,
    scale: Float64,
    weights: tuple[float, float, float],
    needs: tuple[bool, bool],
) -> tuple[Float64, Array, Array]:
    """Mean kernel values and gradients of their weighted sum; see `reference.means_and_gradients`."""
    gx, gy = (
        np.empty((a.shape[0], a.shape[1] if need else 0, a.shape[2]), a.dtype)
        for a, need in zip((x, y), needs, strict=True)
    )
    parts = (weights[0] != 0.0, weights[1] != 0.0, weights[2] != 0.0)
    return _evaluate(x, y, spec, scale, parts, np.array(weights), gx, gy), gx, gy


def row_means(points: Array, y: Array, spec: KernelSpec, scale: Float64) -> Float64:
    """Mean of k over y at each point, shape (B, points); see `reference.row_means`."""
    nothing = np.empty((y.shape[0], 0, y.shape[2]), y.dtype)
    sums = np.zeros(points.shape[:2])
    _evaluate(points, y, spec, scale, (False, False, True), _ONES, nothing, nothing, sums)
    result: Float64 = sums / y.shape[1]
    return result


def _evaluate(
    x: Array,
    y: Array,
    spec: KernelSpec,
    scale: Float64,
    parts: tuple[bool, bool, bool],
    weights: Float64,
    gx: Array,
    gy: Array,
    row_sums: Float64 = _NO_ROWS,
) -> Float64:
    module, chosen = backends.native_module(), plan(spec)
    assert module is not None, "select() offers this back end only where the extension loads"
    result = np.empty((x.shape[0], 3))
    limit = spread_limit(spec, scale, x)
    flags = parts[0] | parts[1] << 1 | parts[2] << 2
    status = module.mmd_evaluate(
        _addressable(x),
        _addressable(y),
        chosen.family == "gaussian",
        chosen.heads,
        chosen.tails,
        scale,
        limit,
        weights,
        flags,
        result,
        gx,
        gy,
        row_sums,
    )
    if status:
        name, sample = ("x", x) if status in (1, 3) else ("y", y)
        check_finite(sample, name)
        raise too_wide(name, limit, x.dtype)
    return result


def _addressable(sample: Array) -> Array:
    """The sample itself, or a copy where its elements are not aligned to their size."""
    size, strides = sample.itemsize, sample.strides
    gaps = strides[0] % size or strides[1] % size or strides[2] % size
    return sample if sample.flags.aligned and not gaps else sample.copy()
