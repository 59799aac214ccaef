"""Tolerance ABC's simulations and search in NumPy: the definition that the fused loops are tested against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.random import Purpose, philox4x32, split_seed, uniform32, uniform53
from fastinv.kernels.rejection.abc_priors import Poisson
from fastinv.kernels.rejection.ballistics_reference import Throw, reach
from fastinv.kernels.rejection.kinematics_cells import Arm

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]
# Coordinates that are compared at a time: tens of megabytes, however many observations there are.
MAX_COMPARED = 1 << 21


def _words(number: Numbers, block: int, seed: int) -> tuple[NDArray[np.uint32], ...]:
    return philox4x32(number & 0xFFFFFFFF, number >> 32, block, Purpose.TOLERANCE_ABC, key=split_seed(seed))


def uniforms(number: Numbers, dim: int, seed: int) -> FloatArray:
    """Uniforms in (0, 1) of the simulations with these numbers, shape (k, dim)."""
    columns = []
    for block in range((dim + 1) // 2):
        w = _words(number, block, seed)
        columns += [uniform53(w[0], w[1]), uniform53(w[2], w[3])]
    return np.stack(columns[:dim], axis=1)


def draw_kinematics(number: Numbers, arm: Arm, seed: int) -> tuple[FloatArray, FloatArray]:
    """Prior draws (k, 4) with these numbers and their observations (k, 2)."""
    from scipy.special import ndtri

    u = np.stack([uniform32(w) for w in _words(number, 0, seed)], axis=1)
    x = ndtri(u) * np.array(arm.sigmas)
    angles = np.cumsum(x[:, 1:], axis=1)
    lengths = np.array(arm.lengths)
    return x, np.stack([x[:, 0] + np.sin(angles) @ lengths, np.cos(angles) @ lengths], axis=1)


def draw_ballistics(number: Numbers, throw: Throw, seed: int) -> tuple[FloatArray, FloatArray]:
    """Prior draws (k, 4) with these numbers and their points of impact (k, 1), NaN for none."""
    from scipy.special import ndtri

    u = np.stack([uniform32(w) for w in _words(number, 0, seed)], axis=1)
    x = np.stack(
        [
            throw.x1_sigma * ndtri(u[:, 0]),
            throw.x2_mean + throw.x2_sigma * ndtri(u[:, 1]),
            throw.angle_min + (throw.angle_max - throw.angle_min) * u[:, 2],
            Poisson(throw.rate).quantile(u[:, 3]),
        ],
        axis=1,
    )
    impact = x[:, 0] + reach(x[:, 1], x[:, 2], x[:, 3], throw)
    return x, impact[:, None]


def search(
    y: FloatArray,
    inverse_scale: FloatArray,
    centres: FloatArray,
    radius: FloatArray,
    active: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], Numbers, FloatArray]:
    """Pairs (observation, offset into y, distance) nearer than the radius, ordered by the offset.

    Args:
        y: shape (d, n).
        inverse_scale: shape (d,).
        centres: observations in scaled units, shape (B, d).
        radius: shape (B,).
        active: which observations are looked for, shape (B,).
    """
    rows = max(1, MAX_COMPARED // centres.size)
    pieces = []
    for begin in range(0, y.shape[1], rows):
        with np.errstate(over="ignore"):
            difference = (y[:, begin : begin + rows].T * inverse_scale)[:, None, :] - centres
            distance = np.sqrt(np.square(difference).sum(-1))
        offset, observation = np.nonzero((distance < radius) & active)
        pieces.append((observation.astype(np.int32), begin + offset, distance[offset, observation]))
    observations, offsets, distances = (np.concatenate(part) for part in zip(*pieces, strict=True))
    return observations, offsets, distances
