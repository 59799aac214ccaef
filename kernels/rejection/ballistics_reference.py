"""Exact posterior of the throw in NumPy: the definition that the fast back ends are tested against.

With y = x1 + h(x2, x3, x4), any (x2, x3, x4) whose throw lands fixes x1 = y - h, and the posterior has the
density p(x2, x3, x4) p(y - h) there. Cells cover (x2, x3) for each count x4. The flight's length grows with
the starting height and with the vertical speed, which bounds h on a cell from two solves of the impact
time (docs/exact_samplers.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from fastinv.kernels.rejection.envelope import (
    Envelope,
    FloatArray,
    refined_envelope,
    reject,
)
from fastinv.kernels.rejection.intervals import least_magnitude

# Starting heights further out than this many sigmas have probability 2e-19, below one float64 rounding.
HEIGHT_SIGMAS = 9.0
# Counts above this, plus COUNTS_PER_METRE for every metre of |y|, have no measurable posterior mass.
FEWEST_COUNTS = 60
COUNTS_PER_METRE = 2.5
# Newton from the right converges quadratically but for throws that graze the ground.
NEWTON_STEPS = 60


@dataclass(frozen=True)
class Throw:
    """Constants of the throw and its prior; SI units, angles in radians."""

    gravity: float = 9.81
    drag: float = 0.25
    mass: float = 0.2
    x1_sigma: float = 0.5
    x2_mean: float = 1.5
    x2_sigma: float = 0.5
    angle_min: float = np.pi / 20.0
    angle_max: float = 0.4 * np.pi
    rate: float = 15.0


def count_limit(y: float) -> int:
    """Largest count that the envelope of an observation covers."""
    return FEWEST_COUNTS + int(COUNTS_PER_METRE * abs(y))


def reach(x2: FloatArray, x3: FloatArray, x4: FloatArray, throw: Throw) -> FloatArray:
    """Horizontal distance h from the start to the impact, NaN where the throw never lands.

    The impact time s (in units of m / k) is the rightmost root of A exp(-s) + B s = C, a convex function:
    Newton's iteration from s = C / B falls onto it monotonically.
    """
    b = throw.gravity * throw.mass
    a = b + throw.drag * x4 * np.sin(x3)
    c = a + x2 * (throw.drag**2 / throw.mass)
    lowest = np.log(a / b)
    lands = a * np.exp(-lowest) + b * lowest <= c
    time = np.where(lands, c / b, lowest + 1.0)
    for _ in range(NEWTON_STEPS):
        decay = a * np.exp(-time)
        # A throw that grazes the ground has a double root, where the slope vanishes with the residual.
        slope = np.maximum(b - decay, np.finfo(np.float64).tiny)
        step = np.where(lands, (decay + b * time - c) / slope, 0.0)
        converged = ~(step > 4.0 * np.finfo(np.float64).eps * np.abs(time))
        time = np.where(converged, time, time - step)
        if converged.all():
            break
    distance = -x4 * np.cos(x3) * (throw.mass / throw.drag) * np.expm1(-time)
    return np.where(lands & (time >= 0.0), distance, np.nan)


def to_apex(low3: FloatArray, high3: FloatArray, x4: FloatArray, throw: Throw) -> FloatArray:
    """Least distance to the highest point, which every throw passes before it lands."""
    b = throw.gravity * throw.mass
    a = b + throw.drag * x4 * np.sin(low3)
    return np.asarray(x4 * np.cos(high3) * (throw.mass / throw.drag) * (1.0 - b / a))


def log_count_prior(x4: FloatArray, throw: Throw) -> FloatArray:
    """Log-mass of the Poisson prior."""
    return np.asarray(x4 * np.log(throw.rate) - throw.rate - gammaln(x4 + 1.0))


def log_bound(y: float, cells: FloatArray, counts: NDArray[np.int64], throw: Throw) -> FloatArray:
    """Upper bounds on cells of `place`'s log-density; -inf where no throw of the cell lands."""
    low2, high2 = cells[:, 0], cells[:, 0] + cells[:, 1]
    low3, high3 = cells[:, 2], cells[:, 2] + cells[:, 3]
    x4 = counts.astype(np.float64)
    # h = x4 cos(x3) (m/k) (1 - exp(-s)): s is largest in one corner, the cosine in another.
    longest = reach(high2, high3, x4, throw) * (np.cos(low3) / np.cos(high3))
    shortest = reach(low2, low3, x4, throw) * (np.cos(high3) / np.cos(low3))
    shortest = np.where(np.isnan(shortest), to_apex(low3, high3, x4, throw), shortest)
    x1 = least_magnitude((y - longest, y - shortest))
    z2 = least_magnitude((low2 - throw.x2_mean, high2 - throw.x2_mean)) / throw.x2_sigma
    bound = log_count_prior(x4, throw) - 0.5 * (x1 / throw.x1_sigma) ** 2 - 0.5 * z2 * z2
    return np.where(np.isnan(longest), -np.inf, bound)


def build_ballistics_envelope(y: float, throw: Throw) -> Envelope:
    """Envelope of one observation: one cell per count, then every heavy cell is quartered."""
    counts = np.arange(count_limit(y) + 1)
    half = HEIGHT_SIGMAS * throw.x2_sigma
    whole = [throw.x2_mean - half, 2.0 * half, throw.angle_min, throw.angle_max - throw.angle_min]
    cells = np.tile(np.array(whole), (len(counts), 1))
    return refined_envelope(cells, counts, lambda box, count: log_bound(y, box, count, throw))


def place(
    y: float, envelope: Envelope, index: NDArray[np.intp], u: FloatArray, v: FloatArray, throw: Throw
) -> tuple[FloatArray, FloatArray]:
    """Log-density and x at relative position (u, v) in (0, 1)^2 of the indexed cells."""
    c0, dc, t0, dt = envelope.cells[index].T
    x2, x3, x4 = c0 + dc * u, t0 + dt * v, envelope.tags[index].astype(np.float64)
    x1 = y - reach(x2, x3, x4, throw)
    z2 = (x2 - throw.x2_mean) / throw.x2_sigma
    log_g = log_count_prior(x4, throw) - 0.5 * (x1 / throw.x1_sigma) ** 2 - 0.5 * z2 * z2
    return np.where(np.isnan(x1), -np.inf, log_g), np.stack([x1, x2, x3, x4], axis=1)


def sample_one(
    y: float, n: int, seed: int, observation: int, throw: Throw
) -> tuple[FloatArray, NDArray[np.int64]]:
    """n exact posterior samples of one observation, shape (n, 4), and the attempts that each took."""
    envelope = build_ballistics_envelope(y, throw)

    def propose(index: NDArray[np.intp], u: FloatArray, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        return place(y, envelope, index, u, v, throw)

    return reject(envelope, propose, n, 4, seed, observation)
