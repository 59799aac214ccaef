"""Bring samples into the layout that the compiled loops read: centred, one row per coordinate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.mmd.arrays import check_finite
from fastinv.kernels.mmd.kernel_functions import KernelSpec

Array = NDArray[Any]
Float64 = NDArray[np.float64]

_FAR = 8.0


def spread_limit(spec: KernelSpec, scale: Float64, x: Array) -> float:
    """Largest packed value for which squared distances, times the kernel's rates, stay finite."""
    largest = 1e37 if x.itemsize == 4 else 1e300
    rate = 1.0
    if spec.family == "imq":
        rate = max(rate, spec.steepest * float(scale[0] if scale.size == 1 else scale.max(initial=0.0)))
    return math.sqrt(largest / rate / (4.0 * x.shape[2]))


def too_wide(name: str, limit: float, dtype: np.dtype[Any]) -> ValueError:
    """The error for a sample that `spread_limit` excludes."""
    return ValueError(
        f"{name} spreads over more than {limit:.1e}: squared distances would overflow in {dtype}; "
        "rescale the samples or pass float64"
    )


def packed_pair(x: Array, y: Array, limit: float) -> tuple[Array, Array]:
    """Packed copies of two batches, shapes (B, D, n) and (B, D, m), D being d rounded up to a multiple of 4.

    A coordinate that lies far from 0 compared with its range is shifted by its smallest value. That
    subtraction is exact (Sterbenz), so differences between samples keep every bit that the input had; near 0
    nothing is shifted, for the same reason.

    Raises:
        ValueError: for NaN, infinity, or values beyond the limit.
    """
    check_finite(x, "x")
    check_finite(y, "y")
    low = np.minimum(x.min(axis=1), y.min(axis=1)).astype(np.float64)
    high = np.maximum(x.max(axis=1), y.max(axis=1)).astype(np.float64)
    far = np.maximum(np.abs(low), np.abs(high)) > _FAR * (high - low)
    shift = np.where(far, low, 0.0).astype(x.dtype)
    return _packed(x, shift, "x", limit), _packed(y, shift, "y", limit)


def _packed(sample: Array, shift: Array, name: str, limit: float) -> Array:
    batch, size, d = sample.shape
    packed = np.zeros((batch, -(-d // 4) * 4, size), dtype=sample.dtype)
    with np.errstate(over="ignore"):
        np.subtract(sample.transpose(0, 2, 1), shift[:, :, None], out=packed[:, :d])
    if packed.size and max(packed.max(), -packed.min()) > limit:
        raise too_wide(name, limit, sample.dtype)
    return packed
