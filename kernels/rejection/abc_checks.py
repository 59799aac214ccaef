"""Checks of the arguments of tolerance ABC: what is wrong is named, and what is accepted."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastinv.kernels.rejection.abc_priors import Normal, Poisson, Uniform
from fastinv.kernels.rejection.checks import as_numbers

FloatArray = NDArray[np.float64]


def check_prior(prior: Any, dim_x: int | None) -> int:
    if prior is None:
        raise ValueError(
            "prior is needed where simulator is a function: a sequence of Normal, Uniform and Poisson, "
            "or a function"
        )
    if callable(prior):
        if dim_x is None:
            raise ValueError("dim_x is needed where prior is a function: the number of parameters")
        return check_integer("dim_x", dim_x, 1, 2**16)
    if not isinstance(prior, list | tuple) or not prior:
        raise TypeError(f"prior must be a function or a non-empty sequence, got {type(prior).__name__}")
    for i, coordinate in enumerate(prior):
        if not isinstance(coordinate, Normal | Uniform | Poisson):
            raise TypeError(f"prior[{i}] must be Normal, Uniform or Poisson, got {type(coordinate).__name__}")
    if dim_x is not None and dim_x != len(prior):
        raise ValueError(f"dim_x must be {len(prior)}, the number of prior coordinates, got {dim_x}")
    return len(prior)


def check_observations(y: ArrayLike) -> FloatArray:
    array = as_numbers("y", y)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"y must have shape (B, d_y) with at least one observation, got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"y must be finite; observation {bad[0]} is {array[bad[0]].tolist()}")
    return array


def check_tolerance(tolerance: float | None, nearest: bool) -> float | None:
    if (tolerance is None) != bool(nearest):
        raise ValueError("give either a tolerance or nearest=True")
    if tolerance is not None and not (is_number(tolerance) and 0.0 < tolerance < math.inf):
        raise ValueError(f"tolerance must be a positive finite number, got {tolerance!r}")
    return None if tolerance is None else float(tolerance)


def check_scale(scale: ArrayLike | None, dim_y: int) -> FloatArray:
    array = as_numbers("scale", 1.0 if scale is None else scale)
    if array.shape not in ((), (1,), (dim_y,)):
        raise ValueError(f"scale must be a number or have shape ({dim_y},), got {array.shape}")
    if not (np.isfinite(array) & (array > 0.0)).all():
        raise ValueError(f"scale must be positive and finite, got {array.tolist()}")
    return np.ascontiguousarray(np.broadcast_to(array, (dim_y,)))


def is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def check_integer(argument: str, value: object, least: int, below: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{argument} must be an integer, got {type(value).__name__}")
    if not least <= value < below:
        raise ValueError(f"{argument} must be in [{least}, {below}), got {value}")
    return int(value)
