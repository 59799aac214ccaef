"""Checks of arguments that the samplers share."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastinv.kernels import backends
from fastinv.kernels.rejection.ballistics_reference import Throw
from fastinv.kernels.rejection.envelope import FloatArray
from fastinv.kernels.rejection.kinematics_cells import Arm

# Lengths, sigmas and physical constants: far enough from the limits of float64 for squares of their ratios.
SMALLEST, LARGEST = 1e-6, 1e6
# The cost of a throw's observation grows with its count of cells, which grows with |y|.
FARTHEST_IMPACT = 1000.0
# The exact samplers cut counts above 60: a share of 4e-19 of the benchmark's prior, of 1e-13 at this rate.
MOST_COUNTS = 20.0
# In sigmas of the rail beyond the arm; the prior is below the smallest float64 from 39 on.
FARTHEST_RAIL = 100.0
# A wider prior of a joint angle is uniform on the circle to rounding, at a cost that grows with its turns.
WIDEST_JOINT = 10.0


def check_observations(y: Any, dim: int) -> FloatArray:
    """Observations as a float64 array (B, dim); ValueError names the first that is not finite."""
    if backends.is_torch_tensor(y):
        y = y.detach().cpu()
    array = as_numbers("y", y)
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(f"y must have shape (B, {dim}), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"y must be finite; observation {bad[0]} is {array[bad[0]].tolist()}")
    return array


def as_numbers(argument: str, values: Any) -> FloatArray:
    """A float64 array; TypeError, naming the argument, for text, complex numbers and ragged rows."""
    try:
        return np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{argument} must be an array of real numbers: {error}") from error


def check_arm(arm: Arm) -> None:
    """Raise unless the constants describe an arm that the samplers can handle."""
    if not isinstance(arm, Arm):
        raise TypeError(f"arm must be an Arm, got {type(arm).__name__}")
    if not all(SMALLEST <= value <= LARGEST for value in (*arm.lengths, *arm.sigmas)):
        raise ValueError(
            f"arm: lengths and sigmas must be positive, from {SMALLEST:g} to {LARGEST:g}, got {arm}"
        )
    if max(arm.sigmas[1:]) > WIDEST_JOINT:
        raise ValueError(f"arm: sigmas of joints must be at most {WIDEST_JOINT:g}, got {arm}")


def check_throw(throw: Throw, most_counts: float = LARGEST) -> None:
    """Raise unless the constants describe a throw that the samplers can handle.

    Args:
        throw: the constants.
        most_counts: upper limit of its rate.
    """
    if not isinstance(throw, Throw):
        raise TypeError(f"throw must be a Throw, got {type(throw).__name__}")
    for name in ("gravity", "drag", "mass", "x1_sigma", "x2_sigma", "rate"):
        most = most_counts if name == "rate" else LARGEST
        if not SMALLEST <= getattr(throw, name) <= most:
            raise ValueError(f"throw: {name} must be positive, from {SMALLEST:g} to {most:g}, got {throw}")
    if not abs(throw.x2_mean) <= LARGEST:
        raise ValueError(f"throw: |x2_mean| must be at most {LARGEST:g}, got {throw}")
    if not 0.0 <= throw.angle_min < throw.angle_max < 0.5 * np.pi:
        raise ValueError(f"throw: angles must be 0 <= angle_min < angle_max < pi/2, got {throw}")


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
