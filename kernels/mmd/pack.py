"""Bring samples into the layout that the compiled loops read: centred, one row per coordinate."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_LARGEST = {"float32": 1e18, "float64": 1e150}
_FAR = 8.0


def packed_pair(x: Array, y: Array) -> tuple[Array, Array]:
    """Packed copies of two batches, shapes (B, D, n) and (B, D, m), D being d rounded up to a multiple of 4.

    A coordinate that lies far from 0 compared with its range is shifted by its smallest value. That subtraction
    is exact (Sterbenz), so differences between samples keep every bit that the input had; near 0 nothing is
    shifted, for the same reason.

    Raises:
        ValueError: for values whose squared distance would overflow.
    """
    low = np.minimum(x.min(axis=1), y.min(axis=1))
    high = np.maximum(x.max(axis=1), y.max(axis=1))
    far = np.maximum(np.abs(low), np.abs(high)) / _FAR > high - low
    shift = np.where(far, low, 0.0).astype(x.dtype)
    return _packed(x, shift, "x"), _packed(y, shift, "y")


def _packed(sample: Array, shift: Array, name: str) -> Array:
    batch, size, d = sample.shape
    packed = np.zeros((batch, -(-d // 4) * 4, size), dtype=sample.dtype)
    np.subtract(sample.transpose(0, 2, 1), shift[:, :, None], out=packed[:, :d])
    limit = _LARGEST[sample.dtype.name]
    if packed.size and max(packed.max(), -packed.min()) > limit:
        raise ValueError(
            f"{name} spreads over more than {limit:g}: squared distances would overflow in {sample.dtype}; rescale it"
        )
    return packed
