"""Checks of arguments that the samplers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastinv.kernels import backends
from fastinv.kernels.rejection.envelope import FloatArray


def check_observations(y: Any, dim: int) -> FloatArray:
    """Observations as a float64 array (B, dim); ValueError names the first that is not finite."""
    if backends.is_torch_tensor(y):
        y = y.detach().cpu()
    array = np.ascontiguousarray(y, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(f"y must have shape (B, {dim}), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"y must be finite; observation {bad[0]} is {array[bad[0]].tolist()}")
    return array


def check_range(values: FloatArray, limit: float, what: str) -> None:
    """Raise ValueError, naming the observation, where a magnitude is above its limit."""
    bad = np.flatnonzero(np.abs(values) > limit)
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"y: no posterior for observation {i}: {what} must be at most {limit:g}, got {values[i]:g}"
        )


def check_integer(argument: str, value: int, least: int, bits: int) -> None:
    """Raise unless the value is an integer in [least, 2**bits); the message names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{argument} must be an integer, got {type(value).__name__}")
    if not least <= value < 2**bits:
        raise ValueError(f"{argument} must be in [{least}, 2**{bits}), got {value}")
