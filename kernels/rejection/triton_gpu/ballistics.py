# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Exact posterior of the throw in Triton; the formulas are those of `ballistics_reference`."""

from __future__ import annotations

import numpy as np
import triton
import triton.language as tl

from fastinv.kernels.random.philox import Purpose
from fastinv.kernels.random.triton_gpu import philox_words, uniform
from fastinv.kernels.rejection import ballistics_reference
from fastinv.kernels.rejection.triton_gpu.proposals import field, pick, verdict

POSTERIOR = tl.constexpr(int(Purpose.POSTERIOR))
NEWTON_STEPS = tl.constexpr(ballistics_reference.NEWTON_STEPS)
STEP_TOLERANCE = tl.constexpr(4.0 * float(np.finfo(np.float64).eps))
LEAST_SLOPE = tl.constexpr(1e-300)


@triton.jit
def reach(x2, x3, x4, throw):
    """Horizontal distance from the start to the impact, and whether the throw lands at all."""
    drag, mass = tl.load(throw + 1), tl.load(throw + 2)
    b = tl.load(throw) * mass
    a = b + drag * x4 * tl.sin(x3)
    c = a + x2 * drag * drag / mass
    lowest = tl.log(a / b)
    lands = a * tl.exp(-lowest) + b * lowest <= c
    time = tl.where(lands, c / b, lowest + 1.0)
    decay = a * tl.exp(-time)
    moving = lands
    step = 0
    while (step < NEWTON_STEPS) & (tl.max(moving.to(tl.int32), axis=0) > 0):
        change = (decay + b * time - c) / tl.maximum(b - decay, LEAST_SLOPE)
        moving = moving & (change > STEP_TOLERANCE * tl.abs(time))
        time = tl.where(moving, time - change, time)
        decay = a * tl.exp(-time)
        step += 1
    distance = x4 * tl.cos(x3) * (mass / drag) * (1.0 - decay / a)
    return distance, lands & (time >= 0.0)


@triton.jit(do_not_specialize=["n", "first", "depth"])
def draw_kernel(
    y, throw, log_count_prior, seed, cells, tags, last, offsets, x, attempts, n, first, depth,
    BLOCK: tl.constexpr, PER_LANE: tl.constexpr,
):  # fmt: skip
    """Samples into x; a lane goes on to its next slot once one is done."""
    i = tl.program_id(1)
    target = tl.load(y + i)
    begin, end = tl.load(offsets + i).to(tl.int32), tl.load(offsets + i + 1).to(tl.int32)
    slot = tl.program_id(0) * (BLOCK * PER_LANE) + tl.arange(0, BLOCK)
    stop = tl.minimum(n, (tl.program_id(0) + 1) * (BLOCK * PER_LANE))
    attempt = slot * 0
    while tl.max((slot < stop).to(tl.int32), axis=0) > 0:
        w0, w1, w2, w3 = philox_words(attempt, slot, first + i, POSTERIOR, tl.load(seed))
        index = pick(last, w0, begin, end, depth)
        x2 = field(cells, index, 0) + field(cells, index, 1) * uniform(w1)
        x3 = field(cells, index, 2) + field(cells, index, 3) * uniform(w2)
        count = tl.load(tags + index)
        x4 = count.to(tl.float64)
        distance, lands = reach(x2, x3, x4, throw)
        x1 = target - distance
        z1, z2 = x1 / tl.load(throw + 3), (x2 - tl.load(throw + 4)) / tl.load(throw + 5)
        log_density = tl.load(log_count_prior + count) - 0.5 * (z1 * z1 + z2 * z2)
        log_density = tl.where(lands, log_density, float("-inf"))
        code = verdict(log_density, field(cells, index, 4), uniform(w3), attempt)
        done = (code != 0) & (slot < stop)
        row = i.to(tl.int64) * n + slot
        tl.store(attempts + row, code.to(tl.int64), mask=done)
        tl.store(x + 4 * row, x1, mask=done)
        tl.store(x + 4 * row + 1, x2, mask=done)
        tl.store(x + 4 * row + 2, x3, mask=done)
        tl.store(x + 4 * row + 3, x4, mask=done)
        attempt = tl.where(done, 0, attempt + 1)
        slot = tl.where(done, slot + BLOCK, slot)
