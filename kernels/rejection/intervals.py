"""Interval arithmetic for the bounds of the exact samplers; arrays of lower and upper ends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Interval = tuple[FloatArray, FloatArray]

TWO_PI = 2.0 * np.pi


def sin_range(x: Interval) -> Interval:
    """Range of the sine."""
    ends = np.sin(x[0]), np.sin(x[1])
    low, high = np.minimum(*ends), np.maximum(*ends)
    has_top = np.floor((x[1] - np.pi / 2) / TWO_PI) >= np.ceil((x[0] - np.pi / 2) / TWO_PI)
    has_bottom = np.floor((x[1] + np.pi / 2) / TWO_PI) >= np.ceil((x[0] + np.pi / 2) / TWO_PI)
    return np.where(has_bottom, -1.0, low), np.where(has_top, 1.0, high)


def cos_range(x: Interval) -> Interval:
    """Range of the cosine."""
    return sin_range((x[0] + np.pi / 2, x[1] + np.pi / 2))


def scaled_range(radius: Interval, x: Interval) -> Interval:
    """Range of radius * x for a radius that is nowhere negative."""
    low = np.where(x[0] < 0.0, radius[1], radius[0]) * x[0]
    high = np.where(x[1] > 0.0, radius[1], radius[0]) * x[1]
    return low, high


def wrap(angle: FloatArray) -> FloatArray:
    """The representative of an angle in [-pi, pi]."""
    return np.asarray(angle - TWO_PI * np.round(angle / TWO_PI))


def least_wrapped(x: Interval) -> FloatArray:
    """Smallest |wrap(angle)| over an interval of angles."""
    has_zero = np.floor(x[1] / TWO_PI) >= np.ceil(x[0] / TWO_PI)
    return np.where(has_zero, 0.0, np.minimum(np.abs(wrap(x[0])), np.abs(wrap(x[1]))))


def least_magnitude(x: Interval) -> FloatArray:
    """Smallest |x| over an interval."""
    return np.asarray(np.maximum(0.0, np.maximum(x[0], -x[1])))
