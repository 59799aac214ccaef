"""The planar arm: its constants, its prior, and the cells of the first level that cover its poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection.envelope import FloatArray
from fastinv.kernels.rejection.intervals import TWO_PI

# Cells of the first level, per regime and sign of c. ANGLE_CELLS is a multiple of 8: then a cell touches at
# most one of the directions t = k pi / 2 in which the density may be singular.
OUTER_CELLS = 6
ANGLE_CELLS = 8
# How a cell parametrises the (a, b) curve: a circle around (0, 0), the angle of the shorter link, a circle
# around (pi, pi). SINGULAR is added where the density is unbounded at the cell's origin.
NEAR, SWING, FAR, SINGULAR = 0, 1, 2, 4
SINGULAR_BELOW = 1e-6
SNAP = 8.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Arm:
    """Segment lengths and the prior's standard deviations (rail, then the three joints)."""

    lengths: tuple[float, float, float] = (0.5, 0.5, 1.0)
    sigmas: tuple[float, float, float, float] = (0.25, 0.5, 0.5, 0.5)


def log_wrapped_normal(angle: FloatArray, sigma: float) -> FloatArray:
    """Log-density, up to a constant, of a normal angle modulo 2 pi, |angle| <= pi; it falls with |angle|."""
    turns = TWO_PI * np.arange(1, 2 + int(sigma))
    scale = 0.5 / (sigma * sigma)
    x = np.abs(angle)[..., None]
    images = np.exp(-scale * turns * (turns + 2.0 * x)) + np.exp(-scale * turns * (turns - 2.0 * x))
    return np.asarray(-scale * angle * angle + np.log1p(images.sum(-1)))


def log_prior(x: FloatArray, arm: Arm) -> FloatArray:
    """Log prior of x with its joint angles wrapped, up to a constant; it falls with each |x|."""
    joints = sum(log_wrapped_normal(x[:, k], arm.sigmas[k]) for k in (1, 2, 3))
    return np.asarray(joints - 0.5 * (x[:, 0] / arm.sigmas[0]) ** 2)


def snap(cosine: FloatArray) -> FloatArray:
    """Cosines clipped to [-1, 1], and to an end that they miss by rounding alone.

    Otherwise rounding leaves a regime of width 1e-8 next to a border at 0 or pi, all of it nearly singular.
    """
    return np.where(np.abs(cosine) > 1.0 - SNAP, np.sign(cosine), cosine)


def initial_cells(y2: float, arm: Arm) -> tuple[FloatArray, NDArray[np.int64]]:
    """Cells over (c, t), each with its origin at the corner where the density may be singular."""
    l1, l2, l3 = arm.lengths
    rho = np.array([-(l1 + l2), -abs(l1 - l2), abs(l1 - l2), l1 + l2])
    border = np.arccos(snap((y2 - rho) / l3))
    rows = []
    for regime, low, high in zip((FAR, SWING, NEAR), border[:-1], border[1:], strict=True):
        only_point = border[0] == border[3] and regime == (NEAR if y2 > 0 else FAR)
        if high > low or only_point:
            rows += _regime_cells(regime, float(low), float(high))
    table = np.array(rows)
    return table[:, :4], table[:, 4].astype(np.int64)


def _regime_cells(regime: int, low: float, high: float) -> list[tuple[float, float, float, float, int]]:
    width = (high - low) / OUTER_CELLS
    step = TWO_PI / ANGLE_CELLS
    # In the swing regime a second round of t stands for the other sign of the solved angle.
    angle_cells = 2 * ANGLE_CELLS if regime == SWING else ANGLE_CELLS
    rows = []
    for sign in (-1.0, 1.0):
        for i in range(OUTER_CELLS):
            backward = regime == FAR or (regime == SWING and 2 * i >= OUTER_CELLS)
            c, dc = (low + (i + 1) * width, -width) if backward else (low + i * width, width)
            for j in range(angle_cells):
                t, dt = (j * step, step) if j % 2 == 0 else ((j + 1) * step, -step)
                rows.append((sign * c, sign * dc, t, dt, regime))
    return rows
