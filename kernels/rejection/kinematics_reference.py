"""Exact posterior of the planar arm in NumPy: the definition that the fast back ends are tested against.

The derivation is in docs/exact_samplers.md. In short: with the absolute angles a, b, c of the three links,
the horizontal observation y2 leaves the surface l1 cos a + l2 cos b + l3 cos c = y2 on the torus. At a given
c the rest is a curve in (a, b), and

    sqrt(2 l1) sin(a/2) = sqrt(q) cos t,   sqrt(2 l2) sin(b/2) = sqrt(q) sin t,
    q = l1 + l2 - rho,   rho = y2 - l3 cos c

turns it into a circle. In (c, t) the posterior's density is bounded and smooth but for isolated corners,
where it grows like an inverse square root and cells use squared coordinates. Nothing is cut off: the prior
of a joint angle is wrapped onto the circle, and the number of full turns is drawn last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.random import Purpose, philox4x32, split_seed, uniform32
from fastinv.kernels.rejection.envelope import Envelope, FloatArray, refined_envelope, reject
from fastinv.kernels.rejection.intervals import TWO_PI, wrap
from fastinv.kernels.rejection.kinematics_bounds import log_bound, ranges
from fastinv.kernels.rejection.kinematics_cells import (
    FAR,
    SINGULAR,
    SINGULAR_BELOW,
    SWING,
    Arm,
    initial_cells,
    log_prior,
)


def log_density(
    y: FloatArray, c: FloatArray, t: FloatArray, regime: NDArray[np.int64], arm: Arm
) -> tuple[FloatArray, FloatArray]:
    """Log posterior density with respect to dc dt, up to a constant, and x with joint angles in [-pi, pi].

    Args:
        y: one observation, shape (2,).
        c: absolute angle of the outer link, radians, shape (n,).
        t: position on the curve of the inner links, shape (n,).
        regime: parametrisation of each point, shape (n,).
        arm: lengths and sigmas.

    Returns:
        Log-density, shape (n,), and x, shape (n, 4).
    """
    l1, l2, l3 = arm.lengths
    rho = y[1] - l3 * np.cos(c)
    a, b, log_measure = _circle_point(rho, t, regime == FAR, arm)
    if l1 != l2:
        swing = regime == SWING
        a[swing], b[swing], log_measure[swing] = _swing_point(rho[swing], t[swing], arm)
    x = np.empty((len(c), 4))
    x[:, 1], x[:, 2], x[:, 3] = wrap(a), wrap(b - a), wrap(c - b)
    x[:, 0] = y[0] - l1 * np.sin(a) - l2 * np.sin(b) - l3 * np.sin(c)
    return log_measure + log_prior(np.abs(x), arm), x


def _circle_point(
    rho: FloatArray, t: FloatArray, far: NDArray[np.bool_], arm: Arm
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(a, b) with l1 cos a + l2 cos b = rho at t on the circle, and the log of the curve's measure per dt."""
    l1, l2, _ = arm.lengths
    q = np.maximum(l1 + l2 - np.where(far, -rho, rho), 0.0)
    sin_a = np.clip(np.sqrt(q / (2.0 * l1)) * np.cos(t), -1.0, 1.0)
    sin_b = np.clip(np.sqrt(q / (2.0 * l2)) * np.sin(t), -1.0, 1.0)
    centre = np.where(far, np.pi, 0.0)
    with np.errstate(divide="ignore"):
        log_measure = -0.5 * np.log(l1 * (1.0 - sin_a**2) * l2 * (1.0 - sin_b**2))
    return 2.0 * np.arcsin(sin_a) + centre, 2.0 * np.arcsin(sin_b) + centre, log_measure


def _swing_point(rho: FloatArray, t: FloatArray, arm: Arm) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The same where the shorter link turns all the way round: t is its angle, the longer link is solved."""
    l1, l2, _ = arm.lengths
    long, short = max(l1, l2), min(l1, l2)
    u = np.clip((rho - short * np.cos(t)) / long, -1.0, 1.0)
    solved = np.where(t < TWO_PI, 1.0, -1.0) * np.arccos(u)
    with np.errstate(divide="ignore"):
        log_measure = -0.5 * np.log((1.0 - u) * (1.0 + u)) - np.log(long)
    return (solved, t, log_measure) if l1 > l2 else (t, solved, log_measure)


def build_kinematics_envelope(y: FloatArray, arm: Arm) -> Envelope:
    """Envelope of one observation: first-level cells, then every heavy cell is quartered."""
    cells, tags = initial_cells(float(y[1]), arm)
    unbounded = np.minimum(*ranges(float(y[1]), cells, tags, arm).factors) < SINGULAR_BELOW
    tags = np.where(unbounded, tags | SINGULAR, tags)
    return refined_envelope(cells, tags, lambda box, tag: log_bound(y, box, tag, arm), SINGULAR)


def place(
    y: FloatArray, envelope: Envelope, index: NDArray[np.intp], u: FloatArray, v: FloatArray, arm: Arm
) -> tuple[FloatArray, FloatArray]:
    """Log-density and x at relative position (u, v) in (0, 1)^2 of the indexed cells.

    In a singular cell the position is squared and the density is that of (u, v) per unit of the cell's area.
    """
    c0, dc, t0, dt = envelope.cells[index].T
    tags = envelope.tags[index]
    singular = (tags & SINGULAR) != 0
    c, t = c0 + dc * np.where(singular, u * u, u), t0 + dt * np.where(singular, v * v, v)
    log_g, x = log_density(y, c, t, tags & 3, arm)
    return np.where(singular, log_g + np.log(4.0 * u * v), log_g), x


def draw_turns(x: FloatArray, words: tuple[NDArray[np.uint32], ...], arm: Arm) -> FloatArray:
    """Add full turns to the joint angles, each drawn from its prior given the angle modulo 2 pi."""
    x = x.copy()
    for k, word in zip((1, 2, 3), words, strict=False):
        sigma = arm.sigmas[k]
        most = 1 + int(sigma)
        # Zero first, then outwards: nearly every draw ends at the first comparison.
        turns = np.array([0] + [s * i for i in range(1, most + 1) for s in (-1, 1)])
        images = x[:, k, None] + TWO_PI * turns
        share = np.exp(-0.5 * (images**2 - images[:, :1] ** 2) / sigma**2)
        cumulative = np.cumsum(share, axis=1)
        chosen = (uniform32(word)[:, None] * cumulative[:, -1:] > cumulative).sum(1)
        x[:, k] += TWO_PI * turns[chosen]
    return x


def sample_one(
    y: FloatArray, n: int, seed: int, observation: int, arm: Arm
) -> tuple[FloatArray, NDArray[np.int64]]:
    """n exact posterior samples of one observation, shape (n, 4), and the attempts that each took."""
    envelope = build_kinematics_envelope(y, arm)

    def propose(index: NDArray[np.intp], u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        log_g, x = place(y, envelope, index, u, v, arm)
        # Next to a singular corner the density is a difference of nearly equal numbers. The bound is proven
        # there, so what exceeds it is rounding; elsewhere `reject` treats an excess as an error.
        singular = (envelope.tags[index] & SINGULAR) != 0
        return np.where(singular, np.minimum(log_g, envelope.log_bound[index]), log_g), x

    x, attempts = reject(envelope, propose, n, 4, seed, observation)
    words = philox4x32(0, np.arange(n), observation, Purpose.POSTERIOR_TURNS, key=split_seed(seed))
    x = draw_turns(x, words, arm)
    # Solved last, from the angles as returned, so that the vertical residual is a rounding error.
    absolute = np.cumsum(x[:, 1:], axis=1)
    x[:, 0] = y[0] - np.sin(absolute) @ np.array(arm.lengths)
    return x, attempts
