# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Envelope of one observation of the planar arm for Numba; see `kinematics_cells` and `kinematics_bounds`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from fastinv.kernels.rejection.envelope import MAX_PASSES
from fastinv.kernels.rejection.intervals import TWO_PI
from fastinv.kernels.rejection.kinematics_cells import (
    ANGLE_CELLS,
    FAR,
    NEAR,
    OUTER_CELLS,
    SINGULAR,
    SINGULAR_BELOW,
    SNAP,
    SWING,
)
from fastinv.kernels.rejection.numba_cpu.envelope import (
    finish,
    least_wrapped,
    sin_range,
    split_heavy,
    update_masses,
)

FIRST_LEVEL = 2 * OUTER_CELLS * (4 * ANGLE_CELLS)
# Images of a wrapped normal with a log-weight below this do not change a float64 sum.
NEGLIGIBLE = -40.0


class Target(NamedTuple):
    """One observation and the arm that made it."""

    y1: float
    y2: float
    l1: float
    l2: float
    l3: float
    s1: float
    s2: float
    s3: float
    s4: float


@numba.njit(inline="always")
def log_wrapped_normal(angle, sigma):
    """See the reference; `angle` is within [-pi, pi]."""
    scale = 0.5 / (sigma * sigma)
    x = abs(angle)
    images = 0.0
    for turn in range(1, 2 + int(sigma)):
        distance = TWO_PI * turn
        towards = -scale * distance * (distance - 2.0 * x)
        if towards > NEGLIGIBLE:
            images += math.exp(towards) + math.exp(-scale * distance * (distance + 2.0 * x))
    result = -scale * angle * angle
    return result + math.log1p(images) if images > 0.0 else result


@numba.njit(inline="always")
def log_prior(x1, x2, x3, x4, target):
    """Log prior of x with wrapped joint angles, up to a constant."""
    z = x1 / target.s1
    joints = log_wrapped_normal(x2, target.s2) + log_wrapped_normal(x3, target.s3)
    return joints + log_wrapped_normal(x4, target.s4) - 0.5 * z * z


@numba.njit(cache=True)
def first_level(target, cells):
    """Write the first-level cells, tags without SINGULAR; returns their number."""
    l1, l2, y2 = target.l1, target.l2, target.y2
    rho = (-(l1 + l2), -abs(l1 - l2), abs(l1 - l2), l1 + l2)
    border = np.empty(4)
    for i in range(4):
        cosine = (y2 - rho[i]) / target.l3
        border[i] = math.acos(cosine if abs(cosine) <= 1.0 - SNAP else math.copysign(1.0, cosine))
    k = 0
    step = TWO_PI / ANGLE_CELLS
    point_regime = NEAR if y2 > 0 else FAR
    for part in range(3):
        regime = (FAR, SWING, NEAR)[part]
        low, high = border[part], border[part + 1]
        only_point = border[0] == border[3] and regime == point_regime
        if not (high > low or only_point):
            continue
        width = (high - low) / OUTER_CELLS
        for sign in (-1.0, 1.0):
            for i in range(OUTER_CELLS):
                backward = regime == FAR or (regime == SWING and 2 * i >= OUTER_CELLS)
                for j in range(2 * ANGLE_CELLS if regime == SWING else ANGLE_CELLS):
                    even = j % 2 == 0
                    cells.box[k, 0] = sign * (low + (i + 1) * width if backward else low + i * width)
                    cells.box[k, 1] = -sign * width if backward else sign * width
                    cells.box[k, 2] = j * step if even else (j + 1) * step
                    cells.box[k, 3] = step if even else -step
                    cells.tag[k] = regime
                    k += 1
    return k


@numba.njit(cache=True)
def circle_link(length, radius_low, radius_high, low, high, far):
    """Range of a link's angle on the circle, and the lower bound of its factor of the measure."""
    scale = 1.0 / math.sqrt(2.0 * length)
    sine_low = max((radius_high if low < 0.0 else radius_low) * low * scale, -1.0)
    sine_high = min((radius_high if high > 0.0 else radius_low) * high * scale, 1.0)
    sine_low, sine_high = min(sine_low, 1.0), max(sine_high, -1.0)
    centre = math.pi if far else 0.0
    factor = 2.0 * length * (1.0 - max(sine_low * sine_low, sine_high * sine_high))
    return 2.0 * math.asin(sine_low) + centre, 2.0 * math.asin(sine_high) + centre, factor


@numba.njit(cache=True)
def ranges(target, box, regime):
    """Ranges of a, b, c, both factors of the measure from below, and the singular bound's strength."""
    l1, l2, l3 = target.l1, target.l2, target.l3
    c_low, c_high = min(box[0], box[0] + box[1]), max(box[0], box[0] + box[1])
    t_low, t_high = min(box[2], box[2] + box[3]), max(box[2], box[2] + box[3])
    cos_c = sin_range(c_low + 0.5 * math.pi, c_high + 0.5 * math.pi)
    rho_low, rho_high = target.y2 - l3 * cos_c[1], target.y2 - l3 * cos_c[0]
    cos_t = sin_range(t_low + 0.5 * math.pi, t_high + 0.5 * math.pi)
    if regime == SWING:
        long, short = max(l1, l2), min(l1, l2)
        u_low = min(max((rho_low - short * cos_t[1]) / long, -1.0), 1.0)
        u_high = min(max((rho_high - short * cos_t[0]) / long, -1.0), 1.0)
        solved_low, solved_high = math.acos(u_high), math.acos(u_low)
        if t_high > TWO_PI + 1e-9:
            solved_low, solved_high = -solved_high, -solved_low
        factors = long * (1.0 - u_high), long * (1.0 + u_low)
        if l1 > l2:
            return solved_low, solved_high, t_low, t_high, c_low, c_high, factors[0], factors[1], 0.5 * short
        return t_low, t_high, solved_low, solved_high, c_low, c_high, factors[0], factors[1], 0.5 * short
    far = regime == FAR
    if far:
        rho_low, rho_high = -rho_high, -rho_low
    q_low, q_high = max(l1 + l2 - rho_high, 0.0), max(l1 + l2 - rho_low, 0.0)
    r_low, r_high = math.sqrt(q_low), math.sqrt(q_high)
    sin_t = sin_range(t_low, t_high)
    a_low, a_high, first = circle_link(l1, r_low, r_high, cos_t[0], cos_t[1], far)
    b_low, b_high, second = circle_link(l2, r_low, r_high, sin_t[0], sin_t[1], far)
    return a_low, a_high, b_low, b_high, c_low, c_high, first, second, q_low


@numba.njit(cache=True)
def log_bound(target, box, tag):
    """Upper bound, on a cell, of the log-density of `place`."""
    regime = tag & 3
    a0, a1, b0, b1, c0, c1, first, second, strength = ranges(target, box, regime)
    result = 0.0 if regime == SWING else math.log(2.0)
    if tag & SINGULAR:
        cell_area = abs(box[1] * box[3])
        result += math.log(TWO_PI) - 0.25 * math.log(2.0 * target.l3 * strength * cell_area * cell_area)
        result -= 0.5 * math.log(max(first, second))
    else:
        result -= 0.5 * math.log(first * second)
    sin_a, sin_b, sin_c = sin_range(a0, a1), sin_range(b0, b1), sin_range(c0, c1)
    low = target.l1 * sin_a[0] + target.l2 * sin_b[0] + target.l3 * sin_c[0]
    high = target.l1 * sin_a[1] + target.l2 * sin_b[1] + target.l3 * sin_c[1]
    x1 = max(0.0, target.y1 - high, low - target.y1)
    x3, x4 = least_wrapped(b0 - a1, b1 - a0), least_wrapped(c0 - b1, c1 - b0)
    return result + log_prior(x1, least_wrapped(a0, a1), x3, x4, target)


@numba.njit(cache=True)
def build(target, cells):
    """Build the envelope of one observation in place; returns the number of cells."""
    k = first_level(target, cells)
    for i in range(k):
        bounds = ranges(target, cells.box[i], cells.tag[i])
        if min(bounds[6], bounds[7]) < SINGULAR_BELOW:
            cells.tag[i] |= SINGULAR
        cells.log_bound[i] = log_bound(target, cells.box[i], cells.tag[i])
    shift = update_masses(cells, 0, k, -np.inf)
    for _ in range(MAX_PASSES):
        start, k = split_heavy(cells, k, SINGULAR)
        if start == k:
            break
        for i in range(start, k):
            cells.log_bound[i] = log_bound(target, cells.box[i], cells.tag[i])
        shift = update_masses(cells, start, k, shift)
    return finish(cells, k, shift)
