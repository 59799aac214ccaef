# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Envelopes over cells for Numba kernels; the definition is `fastinv.kernels.rejection.envelope`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np

from fastinv.kernels.rejection.envelope import MAX_PASSES, MAX_SHARE, ROUNDING_SLACK, TOTAL_WEIGHT
from fastinv.kernels.rejection.intervals import TWO_PI

# A pass splits fewer than 1 / MAX_SHARE cells, each into four.
GROWTH = MAX_PASSES * 3 * int(1 / MAX_SHARE)
GUIDE_BITS = 10
# Masses are kept relative to a common factor; it is renewed before they could underflow.
RENEW_BELOW = 50.0


class Cells(NamedTuple):
    """Room for the cells of one observation; only the first k rows are in use."""

    box: np.ndarray  # (capacity, 4): origin and signed width along both axes
    tag: np.ndarray  # (capacity,) int64
    log_bound: np.ndarray  # (capacity,)
    mass: np.ndarray  # (capacity,) relative to exp(shift)
    last: np.ndarray  # (capacity,) uint32, see Envelope.last
    guide: np.ndarray  # (2**GUIDE_BITS,) first cell that a word with these leading bits can pick
    heavy: np.ndarray  # (1 / MAX_SHARE,) int64, work space of a pass


@numba.njit(cache=True)
def make_cells(first_level):
    """Work space for a sampler whose first level has `first_level` cells."""
    k = first_level + GROWTH
    return Cells(
        np.empty((k, 4)),
        np.empty(k, np.int64),
        np.empty(k),
        np.empty(k),
        np.empty(k, np.uint32),
        np.empty(1 << GUIDE_BITS, np.int64),
        np.empty(int(1 / MAX_SHARE) + 1, np.int64),
    )


@numba.njit(cache=True)
def area(box, i):
    """Area of cell i; a width of zero counts as one."""
    result = 1.0
    for axis in (1, 3):
        if box[i, axis] != 0.0:
            result *= abs(box[i, axis])
    return result


@numba.njit(cache=True)
def update_masses(cells, start, k, shift):
    """Masses of cells start..k relative to exp(shift), or of all after a new shift; returns the shift."""
    top = -np.inf
    for i in range(k):
        top = max(top, cells.log_bound[i])
    if top < shift - RENEW_BELOW or top > shift:
        start, shift = 0, top
    for i in range(start, k):
        cells.mass[i] = math.exp(cells.log_bound[i] - shift) * area(cells.box, i)
    return shift


@numba.njit(cache=True)
def split_heavy(cells, k, singular_bit):
    """Replace heavy cells by their quarters, whose bounds are left to the caller.

    Returns:
        (first new cell, number of cells); equal where nothing was heavy.
    """
    total = 0.0
    for i in range(k):
        total += cells.mass[i]
    count = 0
    for i in range(k):
        if cells.mass[i] > MAX_SHARE * total:
            cells.heavy[count] = i
            count += 1
    if count == 0:
        return k, k
    parents = np.empty((count, 4))
    parent_tags = np.empty(count, np.int64)
    kept, h = 0, 0
    for i in range(k):
        if h < count and cells.heavy[h] == i:
            parents[h], parent_tags[h] = cells.box[i], cells.tag[i]
            h += 1
        else:
            cells.box[kept] = cells.box[i]
            cells.tag[kept] = cells.tag[i]
            cells.log_bound[kept] = cells.log_bound[i]
            cells.mass[kept] = cells.mass[i]
            kept += 1
    for quarter in range(4):
        for h in range(count):
            i = kept + quarter * count + h
            c, dc, t, dt = parents[h]
            cells.box[i, 0] = c + 0.5 * dc * (quarter // 2)
            cells.box[i, 1] = 0.5 * dc
            cells.box[i, 2] = t + 0.5 * dt * (quarter % 2)
            cells.box[i, 3] = 0.5 * dt
            # Only the quarter at the origin of a singular cell is singular itself.
            cells.tag[i] = parent_tags[h] if quarter == 0 else parent_tags[h] & ~singular_bit
    return kept, kept + 4 * count


@numba.njit(cache=True)
def finish(cells, k, shift):
    """Drop empty cells, round masses up to integer weights and raise the bounds to match.

    Returns:
        The number of cells; 0 where the bounds have no mass, or no finite one.
    """
    kept, total = 0, 0.0
    for i in range(k):
        if cells.log_bound[i] > -np.inf:
            cells.box[kept], cells.tag[kept] = cells.box[i], cells.tag[i]
            cells.log_bound[kept], cells.mass[kept] = cells.log_bound[i], cells.mass[i]
            total += cells.mass[i]
            kept += 1
    if not 0.0 < total < np.inf:
        return 0
    available = float(TOTAL_WEIGHT - kept)
    log_scale = shift + math.log(total / available) + ROUNDING_SLACK
    used = 0.0
    for i in range(kept):
        weight = max(math.ceil(cells.mass[i] / total * available), 1.0)
        if i == kept - 1:
            weight = TOTAL_WEIGHT - used
        used += weight
        cells.last[i] = np.uint32(np.int64(used) - 1)
        cells.log_bound[i] = log_scale + math.log(weight) - math.log(area(cells.box, i))
    i = 0
    for g in range(1 << GUIDE_BITS):
        while np.int64(cells.last[i]) < (np.int64(g) << (32 - GUIDE_BITS)):
            i += 1
        cells.guide[g] = i
    return kept


@numba.njit(inline="always")
def pick(cells, word):
    """Index of the cell that a 32-bit word selects."""
    i = cells.guide[np.int64(word) >> (32 - GUIDE_BITS)]
    while cells.last[i] < word:
        i += 1
    return i


@numba.njit(inline="always")
def sin_range(low, high):
    """Range of the sine on [low, high]."""
    first, second = math.sin(low), math.sin(high)
    bottom, top = min(first, second), max(first, second)
    quarter = 0.5 * math.pi
    if math.floor((high - quarter) / TWO_PI) >= math.ceil((low - quarter) / TWO_PI):
        top = 1.0
    if math.floor((high + quarter) / TWO_PI) >= math.ceil((low + quarter) / TWO_PI):
        bottom = -1.0
    return bottom, top


@numba.njit(inline="always")
def wrap(angle):
    """Representative of an angle in [-pi, pi]."""
    return angle - TWO_PI * np.rint(angle / TWO_PI)


@numba.njit(inline="always")
def least_wrapped(low, high):
    """Smallest |wrap(angle)| on [low, high]."""
    if math.floor(high / TWO_PI) >= math.ceil(low / TWO_PI):
        return 0.0
    return min(abs(wrap(low)), abs(wrap(high)))
