# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Which observations is a simulation near to? A grid over the y* answers for all of them at once."""

from __future__ import annotations

import math

import numba
import numpy as np

from fastinv.kernels.numba_arrays import copy_into

# Simulations whose cells are computed at a time, in vector registers.
BLOCK = 1024


@numba.njit(cache=True, nogil=True)
def fill_grid(centres, radius, active, low, inverse_side, pad, shape, start, items):
    """Lists per cell the active observations whose ball's bounding box meets the cell.

    Call it with an empty `items` first: that leaves in `start` (cells + 1) where each list begins.

    Args:
        centres: observations in scaled units, shape (B, d).
        radius: of each observation's ball, shape (B,).
        active: which observations are looked for, shape (B,).
        low: lower corner of cell 1 along the first g <= 3 axes, shape (g,). Cells 0 and shape - 1 are a rim
            outside all balls.
        inverse_side: one over the side of a cell.
        pad: cells by which a position may be off through rounding.
        shape: cells per axis, rim included, int64, always three (1 where there is no such axis).
        start: int64, shape (cells + 1,).
        items: int32, room for all lists, or empty.
    """
    counting = len(items) == 0
    if counting:
        start[:] = 0
    first, last = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for i in range(len(radius)):
        if not active[i]:
            continue
        for axis in range(len(low)):
            lower = (centres[i, axis] - radius[i] - low[axis]) * inverse_side - pad
            upper = (centres[i, axis] + radius[i] - low[axis]) * inverse_side + pad
            first[axis] = min(max(np.int64(math.floor(lower)), -1), shape[axis] - 2) + 1
            last[axis] = min(max(np.int64(math.floor(upper)), -1), shape[axis] - 2) + 1
        for p in range(first[0], last[0] + 1):
            for q in range(first[1], last[1] + 1):
                for r in range(first[2], last[2] + 1):
                    cell = (p * shape[1] + q) * shape[2] + r
                    if counting:
                        start[cell + 1] += 1
                    else:
                        items[start[cell]] = i
                        start[cell] += 1
    if counting:
        for cell in range(len(start) - 1):
            start[cell + 1] += start[cell]
    else:
        # Filling has moved every beginning to its list's end, which is the next list's beginning.
        for cell in range(len(start) - 1, 0, -1):
            start[cell] = start[cell - 1]
        start[0] = 0


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _add_axis(values, factor, offset, top, stride, cell):
    """Extend the cells' numbers by one axis; what is outside the grid (or NaN) falls into the rim."""
    zero = factor - factor
    for j in range(len(values)):
        position = values[j] * factor + offset
        position = position if position > zero else zero
        position = position if position < top else top
        cell[j] = np.int32(np.int32(cell[j] * stride) + np.int32(position))


@numba.njit(cache=True, nogil=True)
def _grow(hit_observation, hit_offset, hit_distance):
    size = 2 * len(hit_offset)
    observation, offset = np.empty(size, np.int32), np.empty(size, np.int64)
    distance = np.empty(size)
    copy_into(observation[: size // 2], hit_observation)
    copy_into(offset[: size // 2], hit_offset)
    copy_into(distance[: size // 2], hit_distance)
    return observation, offset, distance


@numba.njit(cache=True, nogil=True)
def search(y, inverse_scale, centres, radius, need, sure, factor, offset, top, start, items, occupied):
    """Every pair of a simulation and an observation nearer to it than its radius.

    Args:
        y: simulated observations, float32 or float64, shape (d, n).
        inverse_scale: shape (d,).
        centres: as in `fill_grid`, and so are radius, start and items.
        radius: shape (B,).
        need: an observation is left out after so many pairs nearer than `sure`, int64, shape (B,).
        sure: a distance.
        factor: with y's dtype, shape (g,): the position on an axis of the grid is y * factor + offset ...
        offset: ... clipped to
        top: the last cell.
        start: shape (cells + 1,).
        items: lists of observations.
        occupied: uint8, shape (cells,): whether a cell's list has any.

    Returns:
        Observation (int32), offset into y (int64) and distance (float64) of each pair, by offset.
    """
    dim, n = y.shape
    hit_observation, hit_offset = np.empty(4096, np.int32), np.empty(4096, np.int64)
    hit_distance = np.empty(4096)
    taken = np.zeros(len(radius), np.int64)
    cell, candidate = np.empty(BLOCK, np.int32), np.empty(BLOCK + 1, np.int32)
    squares = radius * radius
    sure_square = max(sure, 0.0) ** 2
    hits = 0
    for begin in range(0, n, BLOCK):
        length = min(BLOCK, n - begin)
        cell[:] = 0
        for axis in range(len(factor)):
            stride = np.int32(np.int32(top[axis]) + np.int32(1))
            _add_axis(y[axis][begin : begin + length], factor[axis], offset[axis], top[axis], stride, cell)
        # Without branches: whether a cell is occupied cannot be predicted.
        candidates = 0
        for j in range(length):
            candidate[candidates] = j
            candidates += occupied[cell[j]]
        for candidate_index in range(candidates):
            j = candidate[candidate_index]
            first, last = start[cell[j]], start[cell[j] + 1]
            while hits + last - first > len(hit_offset):
                hit_observation, hit_offset, hit_distance = _grow(hit_observation, hit_offset, hit_distance)
            for k in range(first, last):
                i = items[k]
                square = 0.0
                for axis in range(dim):
                    difference = y[axis, begin + j] * inverse_scale[axis] - centres[i, axis]
                    square += difference * difference
                accept = (square < squares[i]) & (taken[i] < need[i])
                hit_observation[hits], hit_offset[hits], hit_distance[hits] = i, begin + j, square
                hits += accept
                taken[i] += accept & (square < sure_square)
    return hit_observation[:hits].copy(), hit_offset[:hits].copy(), np.sqrt(hit_distance[:hits])


@numba.njit(cache=True)
def absorb_first(observation, number, distance, found, kept_number, kept_distance):
    """Append accepted simulations, which come in proposal order, until an observation has all it needs."""
    n = kept_number.shape[1]
    for h in range(len(observation)):
        i = observation[h]
        if found[i] < n:
            kept_number[i, found[i]], kept_distance[i, found[i]] = number[h], distance[h]
            found[i] += 1


@numba.njit(cache=True, nogil=True)
def distances(y, inverse_scale, centres, observation):
    """Scaled distance of each row of y, shape (n, d), to its observation."""
    result = np.empty(len(y))
    for j in range(len(y)):
        square = 0.0
        for axis in range(y.shape[1]):
            difference = y[j, axis] * inverse_scale[axis] - centres[observation[j], axis]
            square += difference * difference
        result[j] = math.sqrt(square)
    return result
