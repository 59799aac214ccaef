# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""The Triton programs of MMD: sums of the kernel over tiles of pairs, and the pulls that make up a gradient.

Samples come packed, shape (B, D, n), so that a tile reads consecutive rows. HEADS and TAILS are a plan
(plan.py) as flat tuples of numbers, fixed at compile time: the compiler folds rates, weights and loops over
terms away. Flat, since Triton 3.6 does not hand nested tuples on from one function to another.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def _squared_distances(a, b, a_rows, b_rows, i, j, n, m, D: tl.constexpr, UNROLL: tl.constexpr):
    """Squared distances of the rows i of a and j of b, by differences; rows past the end read as 0."""
    first = tl.load(a + i, mask=i < n, other=0.0)
    second = tl.load(b + j, mask=j < m, other=0.0)
    difference = first[:, None] - second[None, :]
    d2 = difference * difference
    if UNROLL:
        for k in tl.static_range(1, D):
            first = tl.load(a + k * a_rows + i, mask=i < n, other=0.0)
            second = tl.load(b + k * b_rows + j, mask=j < m, other=0.0)
            difference = first[:, None] - second[None, :]
            d2 += difference * difference
    else:
        for k in range(1, D):
            first = tl.load(a + k * a_rows + i, mask=i < n, other=0.0)
            second = tl.load(b + k * b_rows + j, mask=j < m, other=0.0)
            difference = first[:, None] - second[None, :]
            d2 += difference * difference
    return d2


@triton.jit
def _gaussian(s, HEADS: tl.constexpr):
    """Value and slope -dk/ds / ln 2 of Gaussians; HEADS has (rate, squarings, weight, growth) per step."""
    value = s * 0.0
    slope = s * 0.0
    e = s * 0.0
    for step in tl.static_range(0, len(HEADS), 4):
        if HEADS[step] > 0.0:
            e = tl.exp2(-HEADS[step] * s)
        for squaring in tl.static_range(4):
            if squaring < HEADS[step + 1]:
                e = e * e
        value += HEADS[step + 2] * e
        slope += HEADS[step + 3] * e
    return value, slope


@triton.jit
def _multiquadric(s, HEADS: tl.constexpr, TAILS: tl.constexpr, FAST: tl.constexpr):
    """Value and slope -dk/ds of a sum of inverse multiquadrics.

    HEADS has (rate, c_1 ... c_8) per group, TAILS has (group, weight, power) per general term.
    """
    value = s * 0.0
    slope = s * 0.0
    for group in tl.static_range(len(HEADS) // 9):
        u = HEADS[9 * group] * s + 1.0
        root = tl.rsqrt(u)
        steep = s * 0.0
        power = root
        for n in tl.static_range(1, 9):
            if HEADS[9 * group + n] != 0.0:
                value += HEADS[9 * group + n] * power
                steep += (0.5 * n * HEADS[9 * group + n]) * power
            power = power * root
        for t in tl.static_range(0, len(TAILS), 3):
            if TAILS[t] == group:
                # The hardware's logarithm, off by 2^-22 at most; tl.log2 is a polynomial of 12 operations.
                logarithm = libdevice.fast_log2f(u) if FAST else tl.log2(u)
                term = tl.exp2(-TAILS[t + 2] * logarithm)
                value += TAILS[t + 1] * term
                steep += (TAILS[t + 1] * TAILS[t + 2]) * term
        slope += HEADS[9 * group] * steep * root * root
    return value, slope


@triton.jit
def _kernel(s, GAUSSIAN: tl.constexpr, HEADS: tl.constexpr, TAILS: tl.constexpr, FAST: tl.constexpr):
    if GAUSSIAN:
        value, slope = _gaussian(s, HEADS)
    else:
        value, slope = _multiquadric(s, HEADS, TAILS, FAST)
    return value, slope


@triton.jit
def sums(
    a,
    b,
    scale,
    partial,
    n,
    m,
    splits,
    D: tl.constexpr,
    UNROLL: tl.constexpr,
    SAME: tl.constexpr,
    GAUSSIAN: tl.constexpr,
    HEADS: tl.constexpr,
    TAILS: tl.constexpr,
    FAST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILES: tl.constexpr,
):
    """Sum of k over ROWS rows of a and at most TILES tiles of COLUMNS rows of b, in float64 into `partial`.

    Within one sample only pairs i < j count, and tiles on or below the diagonal are not visited.
    """
    problem = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0) // splits
    split = tl.program_id(0) % splits
    a += problem * D * n
    b += problem * D * m
    factor = tl.load(scale + problem).to(a.dtype.element_ty)
    i = block * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS, COLUMNS), dtype=a.dtype.element_ty)
    first = split * TILES
    last = tl.minimum(first + TILES, tl.cdiv(m, COLUMNS))
    if SAME:
        first = tl.maximum(first, block * ROWS // COLUMNS)
    for tile in range(first, last):
        j = tile * COLUMNS + tl.arange(0, COLUMNS)
        s = factor * _squared_distances(a, b, n, m, i, j, n, m, D, UNROLL)
        value, _ = _kernel(s, GAUSSIAN, HEADS, TAILS, FAST)
        whole = (tile + 1) * COLUMNS <= m and (block + 1) * ROWS <= n
        if SAME:
            whole = whole and tile * COLUMNS >= (block + 1) * ROWS
        if whole:
            total += value
        else:
            counted = (i[:, None] < n) & (j[None, :] < m)
            if SAME:
                counted = counted & (i[:, None] < j[None, :])
            total += tl.where(counted, value, 0.0)
    result = tl.sum(tl.sum(total.to(tl.float64), axis=1), axis=0)
    tl.store(partial + problem * tl.num_programs(0) + tl.program_id(0), result)


@triton.jit
def row_sums(
    a,
    b,
    scale,
    partial,
    n,
    m,
    splits,
    D: tl.constexpr,
    UNROLL: tl.constexpr,
    GAUSSIAN: tl.constexpr,
    HEADS: tl.constexpr,
    TAILS: tl.constexpr,
    FAST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILES: tl.constexpr,
):
    """Sum of k over at most TILES tiles of COLUMNS rows of b for each row of a, float64, (B, splits, n)."""
    problem = tl.program_id(1).to(tl.int64)
    block = tl.program_id(0) // splits
    split = tl.program_id(0) % splits
    a += problem * D * n
    b += problem * D * m
    factor = tl.load(scale + problem).to(a.dtype.element_ty)
    i = block * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS, COLUMNS), dtype=a.dtype.element_ty)
    first = split * TILES
    for tile in range(first, tl.minimum(first + TILES, tl.cdiv(m, COLUMNS))):
        j = tile * COLUMNS + tl.arange(0, COLUMNS)
        s = factor * _squared_distances(a, b, n, m, i, j, n, m, D, UNROLL)
        value, _ = _kernel(s, GAUSSIAN, HEADS, TAILS, FAST)
        total += tl.where(j[None, :] < m, value, 0.0)
    result = tl.sum(total.to(tl.float64), axis=1)
    tl.store(partial + (problem * splits + split) * n + i, result, mask=i < n)


@triton.jit
def pulls(
    a,
    b,
    scale,
    gradient,
    n,
    m,
    weight,
    D: tl.constexpr,
    UNROLL: tl.constexpr,
    PADDED: tl.constexpr,
    GAUSSIAN: tl.constexpr,
    HEADS: tl.constexpr,
    TAILS: tl.constexpr,
    FAST: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Adds -2 weight scale * sum over j of slope(a_i, b_j) (a_i - b_j) to row i of the gradient.

    Every row gathers over all columns, so that nothing is written twice and results are reproducible.
    """
    problem = tl.program_id(1).to(tl.int64)
    a += problem * D * n
    b += problem * D * m
    gradient += problem * D * n
    factor = tl.load(scale + problem).to(a.dtype.element_ty)
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    coordinate = tl.arange(0, PADDED)
    gathered = tl.zeros((ROWS, PADDED), dtype=a.dtype.element_ty)
    for tile in range(tl.cdiv(m, COLUMNS)):
        j = tile * COLUMNS + tl.arange(0, COLUMNS)
        s = factor * _squared_distances(a, b, n, m, i, j, n, m, D, UNROLL)
        _, slope = _kernel(s, GAUSSIAN, HEADS, TAILS, FAST)
        slope = tl.where(j[None, :] < m, slope, 0.0)
        for k in range(D):
            own = tl.load(a + k * n + i, mask=i < n, other=0.0)
            other = tl.load(b + k * m + j, mask=j < m, other=0.0)
            force = tl.sum(slope * (own[:, None] - other[None, :]), axis=1)
            gathered += tl.where(coordinate[None, :] == k, force[:, None], 0.0)
    target = gradient + i[:, None] * D + coordinate[None, :]
    inside = (i[:, None] < n) & (coordinate[None, :] < D)
    before = tl.load(target, mask=inside, other=0.0)
    tl.store(target, before - 2.0 * weight * factor * gathered, mask=inside)
