"""Upper bounds, by interval arithmetic, of the arm's posterior density on cells (docs/exact_samplers.md)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection.envelope import FloatArray
from fastinv.kernels.rejection.intervals import (
    TWO_PI,
    Interval,
    cos_range,
    least_magnitude,
    least_wrapped,
    scaled_range,
    sin_range,
)
from fastinv.kernels.rejection.kinematics_cells import FAR, SINGULAR, SWING, Arm, log_prior


@dataclass(frozen=True)
class Ranges:
    """What interval arithmetic says about cells: angles, the measure's two factors (from below), and a
    constant of the singular bound."""

    a: Interval
    b: Interval
    c: Interval
    factors: Interval
    strength: FloatArray


def ranges(y2: float, cells: FloatArray, regime: NDArray[np.int64], arm: Arm) -> Ranges:
    c, t = _ends(cells[:, 0], cells[:, 1]), _ends(cells[:, 2], cells[:, 3])
    cos_c = cos_range(c)
    rho = y2 - arm.lengths[2] * cos_c[1], y2 - arm.lengths[2] * cos_c[0]
    a, b, factors, strength = _circle_ranges(rho, t, regime == FAR, arm)
    if arm.lengths[0] != arm.lengths[1]:
        swing = regime == SWING
        swing_a, swing_b, swing_factors, swing_strength = _swing_ranges(rho, t, arm)
        a, b = _choose(swing, swing_a, a), _choose(swing, swing_b, b)
        factors = _choose(swing, swing_factors, factors)
        strength = np.where(swing, swing_strength, strength)
    return Ranges(a, b, c, factors, strength)


def log_bound(y: FloatArray, cells: FloatArray, tags: NDArray[np.int64], arm: Arm) -> FloatArray:
    """Upper bounds on cells, by interval arithmetic, of the log-density of `place`."""
    r = ranges(float(y[1]), cells, tags & 3, arm)
    log_singular = _log_singular_root(cells, r.strength, (tags & SINGULAR) != 0, arm)
    with np.errstate(divide="ignore"):
        log_root = np.where(tags & SINGULAR, log_singular, -0.5 * np.log(np.minimum(*r.factors)))
        log_measure = log_root - 0.5 * np.log(np.maximum(*r.factors))
    log_measure += np.where(tags & 3 == SWING, 0.0, np.log(2.0))
    sines = [sin_range(angle) for angle in (r.a, r.b, r.c)]
    low, high = (sum(length * s[end] for length, s in zip(arm.lengths, sines, strict=True)) for end in (0, 1))
    least = [
        least_magnitude((y[0] - high, y[0] - low)),
        least_wrapped(r.a),
        least_wrapped((r.b[0] - r.a[1], r.b[1] - r.a[0])),
        least_wrapped((r.c[0] - r.b[1], r.c[1] - r.b[0])),
    ]
    return np.asarray(log_measure + log_prior(np.stack(least, axis=1), arm))


def _ends(origin: FloatArray, width: FloatArray) -> Interval:
    return np.minimum(origin, origin + width), np.maximum(origin, origin + width)


def _choose(condition: NDArray[np.bool_], yes: Interval, no: Interval) -> Interval:
    return np.where(condition, yes[0], no[0]), np.where(condition, yes[1], no[1])


def _circle_ranges(
    rho: Interval, t: Interval, far: NDArray[np.bool_], arm: Arm
) -> tuple[Interval, Interval, Interval, FloatArray]:
    """Ranges of a and b, the measure's factors 2 l1 - q cos^2 t and 2 l2 - q sin^2 t from below, least q."""
    l1, l2, _ = arm.lengths
    low, high = np.where(far, -rho[1], rho[0]), np.where(far, -rho[0], rho[1])
    q = np.maximum(l1 + l2 - high, 0.0), np.maximum(l1 + l2 - low, 0.0)
    radius = np.sqrt(q[0]), np.sqrt(q[1])
    centre = np.where(far, np.pi, 0.0)
    angles, factors = [], []
    for length, direction in ((l1, cos_range(t)), (l2, sin_range(t))):
        reach = scaled_range(radius, direction)
        sine = tuple(np.clip(end / np.sqrt(2.0 * length), -1.0, 1.0) for end in reach)
        angles.append((2.0 * np.arcsin(sine[0]) + centre, 2.0 * np.arcsin(sine[1]) + centre))
        factors.append(2.0 * length * (1.0 - np.maximum(sine[0] ** 2, sine[1] ** 2)))
    return angles[0], angles[1], (factors[0], factors[1]), q[0]


def _swing_ranges(rho: Interval, t: Interval, arm: Arm) -> tuple[Interval, Interval, Interval, FloatArray]:
    """The same in the swing regime, with the factors long (1 - u) and long (1 + u)."""
    l1, l2, _ = arm.lengths
    long, short = max(l1, l2), min(l1, l2)
    cos_t = cos_range(t)
    u = tuple(np.clip(v / long, -1.0, 1.0) for v in (rho[0] - short * cos_t[1], rho[1] - short * cos_t[0]))
    first_round = t[1] <= TWO_PI + 1e-9
    arc = np.arccos(u[1]), np.arccos(u[0])
    solved = _choose(first_round, arc, (-arc[1], -arc[0]))
    factors = long * (1.0 - u[1]), long * (1.0 + u[0])
    strength = np.full_like(u[0], 0.5 * short)
    return (solved, t, factors, strength) if l1 > l2 else (t, solved, factors, strength)


def _log_singular_root(
    cells: FloatArray, strength: FloatArray, singular: NDArray[np.bool_], arm: Arm
) -> FloatArray:
    """Log-bound of 4 u v / sqrt(factor) in a singular cell at c = c0 + dc u^2, t = t0 + dt v^2.

    There factor >= 4 sqrt(2 l3 strength) |c - c0| |t - t0| / pi^2 (docs/exact_samplers.md): u v cancels.
    """
    result = np.zeros(len(cells))
    area = np.abs(cells[singular, 1] * cells[singular, 3])
    result[singular] = (
        np.log(TWO_PI) - 0.25 * np.log(2.0 * arm.lengths[2] * strength[singular]) - 0.5 * np.log(area)
    )
    return result
