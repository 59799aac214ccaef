# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Exact posterior of the planar arm in Triton; the formulas are those of `kinematics_reference`."""

from __future__ import annotations

import math

import triton
import triton.language as tl

from fastinv.kernels.random.philox import Purpose
from fastinv.kernels.random.triton_gpu import philox_words, uniform
from fastinv.kernels.rejection import kinematics_cells
from fastinv.kernels.rejection.triton_gpu.proposals import (
    PI,
    TWO_PI,
    acos,
    asin,
    clamp_unit,
    field,
    pick,
    verdict,
    wrap,
)

POSTERIOR = tl.constexpr(int(Purpose.POSTERIOR))
TURNS = tl.constexpr(int(Purpose.POSTERIOR_TURNS))
SWING = tl.constexpr(kinematics_cells.SWING)
FAR = tl.constexpr(kinematics_cells.FAR)
SINGULAR = tl.constexpr(kinematics_cells.SINGULAR)
REGIME = tl.constexpr(3)
LOG_2 = tl.constexpr(math.log(2.0))


@triton.jit
def log_wrapped_normal(angle, sigma, most: tl.constexpr):
    """Log-density, up to a constant, of a normal angle modulo 2 pi in [-pi, pi]: `most` images a side."""
    scale = 0.5 / (sigma * sigma)
    x = tl.abs(angle)
    images = x * 0.0 + 1.0
    for turn in tl.static_range(1, most + 1):
        # Not a variable: a number that is assigned becomes a float32.
        images += tl.exp(-scale * (TWO_PI * turn) * (TWO_PI * turn - 2.0 * x))
        images += tl.exp(-scale * (TWO_PI * turn) * (TWO_PI * turn + 2.0 * x))
    return tl.log(images) - scale * angle * angle


@triton.jit
def circle_point(rho, t, far, l1, l2):
    """(a, b) with l1 cos a + l2 cos b = rho at t on the circle, and the measure's inverse square."""
    q = tl.maximum(l1 + l2 - tl.where(far, -rho, rho), 0.0)
    half_a = clamp_unit(tl.sqrt(q / (2.0 * l1)) * tl.cos(t))
    half_b = clamp_unit(tl.sqrt(q / (2.0 * l2)) * tl.sin(t))
    centre = far.to(tl.float64) * PI
    inverse_square = l1 * (1.0 - half_a * half_a) * l2 * (1.0 - half_b * half_b)
    return 2.0 * asin(half_a) + centre, 2.0 * asin(half_b) + centre, inverse_square


@triton.jit
def swing_point(rho, t, l1, l2):
    """The same where the shorter link turns all the way round."""
    long, short = tl.maximum(l1, l2), tl.minimum(l1, l2)
    u = clamp_unit((rho - short * tl.cos(t)) / long)
    # Triton 3.6 would round a constant that is compared, but not one that is subtracted, to float32.
    solved = tl.where(t - TWO_PI < 0.0, acos(u), -acos(u))
    first_longer = l1 > l2
    a = tl.where(first_longer, solved, t)
    b = tl.where(first_longer, t, solved)
    return a, b, (1.0 - u) * (1.0 + u) * long * long


@triton.jit
def place(y1, y2, arm, cells, tags, index, u, v, m2: tl.constexpr, m3: tl.constexpr, m4: tl.constexpr):
    """Log-density and absolute angles at relative position (u, v) in (0, 1)^2 of the indexed cells."""
    l1, l2, l3 = tl.load(arm), tl.load(arm + 1), tl.load(arm + 2)
    tag = tl.load(tags + index)
    singular = (tag & SINGULAR) != 0
    c = field(cells, index, 0) + field(cells, index, 1) * tl.where(singular, u * u, u)
    t = field(cells, index, 2) + field(cells, index, 3) * tl.where(singular, v * v, v)
    rho = y2 - l3 * tl.cos(c)
    a, b, inverse_square = circle_point(rho, t, (tag & REGIME) == FAR, l1, l2)
    if l1 != l2:
        swing = (tag & REGIME) == SWING
        swing_a, swing_b, swing_inverse_square = swing_point(rho, t, l1, l2)
        a, b = tl.where(swing, swing_a, a), tl.where(swing, swing_b, b)
        inverse_square = tl.where(swing, swing_inverse_square, inverse_square)
    z1 = (y1 - l1 * tl.sin(a) - l2 * tl.sin(b) - l3 * tl.sin(c)) / tl.load(arm + 3)
    log_density = tl.where(singular, tl.log(u * v) + 2.0 * LOG_2, u * 0.0) - 0.5 * tl.log(inverse_square)
    log_density += log_wrapped_normal(wrap(a), tl.load(arm + 4), m2) - 0.5 * z1 * z1
    log_density += log_wrapped_normal(wrap(b - a), tl.load(arm + 5), m3)
    log_density += log_wrapped_normal(wrap(c - b), tl.load(arm + 6), m4)
    return log_density, a, b, c


@triton.jit(do_not_specialize=["n", "first", "depth"])
def draw_kernel(
    y, arm, seed, cells, tags, last, offsets, x, attempts, n, first, depth,
    BLOCK: tl.constexpr, PER_LANE: tl.constexpr, M2: tl.constexpr, M3: tl.constexpr, M4: tl.constexpr,
):  # fmt: skip
    """Accepted absolute angles into x[:, :, 1:]; a lane goes on to its next slot once one is done."""
    i = tl.program_id(1)
    y1, y2 = tl.load(y + 2 * i), tl.load(y + 2 * i + 1)
    begin, end = tl.load(offsets + i).to(tl.int32), tl.load(offsets + i + 1).to(tl.int32)
    slot = tl.program_id(0) * (BLOCK * PER_LANE) + tl.arange(0, BLOCK)
    stop = tl.minimum(n, (tl.program_id(0) + 1) * (BLOCK * PER_LANE))
    attempt = slot * 0
    while tl.max((slot < stop).to(tl.int32), axis=0) > 0:
        w0, w1, w2, w3 = philox_words(attempt, slot, first + i, POSTERIOR, tl.load(seed))
        index = pick(last, w0, begin, end, depth)
        log_density, a, b, c = place(y1, y2, arm, cells, tags, index, uniform(w1), uniform(w2), M2, M3, M4)
        code = verdict(log_density, field(cells, index, 4), uniform(w3), attempt)
        done = (code != 0) & (slot < stop)
        row = i.to(tl.int64) * n + slot
        tl.store(attempts + row, code.to(tl.int64), mask=done)
        tl.store(x + 4 * row + 1, a, mask=done)
        tl.store(x + 4 * row + 2, b, mask=done)
        tl.store(x + 4 * row + 3, c, mask=done)
        attempt = tl.where(done, 0, attempt + 1)
        slot = tl.where(done, slot + BLOCK, slot)


@triton.jit
def add_turns(x, sigma, word, most: tl.constexpr):
    """x plus full turns drawn from its prior given x in [-pi, pi] modulo 2 pi: zero first, then outwards."""
    scale = 0.5 / (sigma * sigma)
    total = x * 0.0 + 1.0
    for turn in tl.static_range(1, most + 1):
        below, above = x - TWO_PI * turn, x + TWO_PI * turn
        total += tl.exp(-scale * (below * below - x * x)) + tl.exp(-scale * (above * above - x * x))
    threshold = uniform(word) * total
    cumulative = x * 0.0 + 1.0
    turns = x * 0.0
    for turn in tl.static_range(1, most + 1):
        for sign in tl.static_range(-1, 2, 2):
            # Beyond everything that came before: this turn, unless a later one.
            turns = tl.where(threshold > cumulative, sign * turn + x * 0.0, turns)
            image = x + TWO_PI * (sign * turn)
            cumulative += tl.exp(-scale * (image * image - x * x))
    return x + TWO_PI * turns


@triton.jit(do_not_specialize=["n", "first"])
def finish_kernel(
    y, arm, seed, x, n, first,
    BLOCK: tl.constexpr, M2: tl.constexpr, M3: tl.constexpr, M4: tl.constexpr,
):  # fmt: skip
    """Absolute angles to samples: joint angles with full turns, then the rail position solved from them."""
    i = tl.program_id(1)
    slot = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = slot < n
    row = x + 4 * (i.to(tl.int64) * n + slot)
    a, b, c = (
        tl.load(row + 1, mask=inside, other=0.0),
        tl.load(row + 2, mask=inside, other=0.0),
        tl.load(row + 3, mask=inside, other=0.0),
    )
    w0, w1, w2, _ = philox_words(slot * 0, slot, first + i, TURNS, tl.load(seed))
    x2 = add_turns(wrap(a), tl.load(arm + 4), w0, M2)
    x3 = add_turns(wrap(b - a), tl.load(arm + 5), w1, M3)
    x4 = add_turns(wrap(c - b), tl.load(arm + 6), w2, M4)
    b = x2 + x3
    vertical = tl.load(arm) * tl.sin(x2) + tl.load(arm + 1) * tl.sin(b) + tl.load(arm + 2) * tl.sin(b + x4)
    tl.store(row, tl.load(y + 2 * i) - vertical, mask=inside)
    tl.store(row + 1, x2, mask=inside)
    tl.store(row + 2, x3, mask=inside)
    tl.store(row + 3, x4, mask=inside)
