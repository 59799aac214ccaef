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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.random import Purpose, philox4x32, split_seed, uniform32
from fastinv.kernels.rejection.envelope import (
    Envelope,
    FloatArray,
    refined_envelope,
    reject,
)
from fastinv.kernels.rejection.intervals import (
    TWO_PI,
    Interval,
    cos_range,
    least_magnitude,
    least_wrapped,
    scaled_range,
    sin_range,
    wrap,
)

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
    return log_measure + _log_prior(np.abs(x), arm), x


def _log_prior(x: FloatArray, arm: Arm) -> FloatArray:
    """Log prior of x with its joint angles wrapped, up to a constant; it falls with each |x|."""
    joints = sum(log_wrapped_normal(x[:, k], arm.sigmas[k]) for k in (1, 2, 3))
    return np.asarray(joints - 0.5 * (x[:, 0] / arm.sigmas[0]) ** 2)


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


@dataclass(frozen=True)
class _Ranges:
    """What interval arithmetic says about cells: angles, the measure's two factors (from below), and a
    constant of the singular bound."""

    a: Interval
    b: Interval
    c: Interval
    factors: Interval
    strength: FloatArray


def _ranges(y2: float, cells: FloatArray, regime: NDArray[np.int64], arm: Arm) -> _Ranges:
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
    return _Ranges(a, b, c, factors, strength)


def log_bound(y: FloatArray, cells: FloatArray, tags: NDArray[np.int64], arm: Arm) -> FloatArray:
    """Upper bounds on cells, by interval arithmetic, of the log-density of `place`."""
    r = _ranges(float(y[1]), cells, tags & 3, arm)
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
    return np.asarray(log_measure + _log_prior(np.stack(least, axis=1), arm))


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


def build_kinematics_envelope(y: FloatArray, arm: Arm) -> Envelope:
    """Envelope of one observation: first-level cells, then every heavy cell is quartered."""
    cells, tags = initial_cells(float(y[1]), arm)
    unbounded = np.minimum(*_ranges(float(y[1]), cells, tags, arm).factors) < SINGULAR_BELOW
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
