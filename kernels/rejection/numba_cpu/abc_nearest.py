# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Buffers of the nearest simulations, one per observation; see `fastinv.kernels.rejection.abc_nearest`."""

from __future__ import annotations

import numba
import numpy as np

from fastinv.kernels.numba_arrays import kth_smallest


@numba.njit(cache=True)
def _compact(rank, k, number, distance):
    """Drop what is beyond the `rank` nearest, at most k; returns (entries left, new radius)."""
    limit = kth_smallest(distance, rank - 1)
    below, level = 0, 0
    for d in distance:
        below += d < limit
        level += d == limit
    # Of ties at the limit the earliest win, and entries are in proposal order. Beyond the k-th none counts;
    # as long as there are fewer, a later tie may still be one of the k nearest.
    ties = min(k - below, level)
    kept = 0
    for e in range(len(distance)):
        inside = distance[e] < limit
        if not inside and distance[e] == limit and ties > 0:
            ties -= 1
            inside = True
        if inside:
            number[kept], distance[kept] = number[e], distance[e]
            kept += 1
    return kept, limit if kept == k else np.nextafter(limit, np.inf)


@numba.njit(cache=True)
def tighten(rank, k, loose, found, radius, number, distance):
    """Compact the buffers that hold more than `loose` times `rank` entries."""
    for i in range(len(found)):
        if found[i] > loose * rank:
            found[i], radius[i] = _compact(rank, k, number[i, : found[i]], distance[i, : found[i]])


@numba.njit(cache=True)
def absorb(rank, k, observation, number, distance, found, radius, kept_number, kept_distance):
    """Append candidates to bounded buffers, compacting a buffer when it is full.

    Args:
        rank: how many of the nearest a compacted buffer keeps, at most k.
        k: samples per observation, less than a buffer holds.
        observation: of each candidate.
        number: of each candidate, ascending.
        distance: of each candidate.
        found: entries in use per observation.
        radius: candidates beyond it are dropped.
        kept_number: buffers, shape (B, capacity).
        kept_distance: likewise.
    """
    capacity = kept_number.shape[1]
    for h in range(len(observation)):
        i = observation[h]
        if found[i] == capacity and distance[h] < radius[i]:
            found[i], radius[i] = _compact(rank, k, kept_number[i], kept_distance[i])
        if distance[h] < radius[i]:
            kept_number[i, found[i]], kept_distance[i, found[i]] = number[h], distance[h]
            found[i] += 1
