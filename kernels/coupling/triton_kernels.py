# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""The Triton program of sampling: the inverse of a coupling flow for a tile of rows, all blocks at once.

A tile's state, coordinates and condition side by side, stays in registers from the first block to the last,
and so do a network's activations; weights come from the L2 cache, which all tiles share. Matrices have rows
and columns of zeros (triton_gpu.py lays them out so): a network sees only the half that is given, and what is
not its own gets scale and shift 0.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _arctangent(x):
    """To 2e-7, after Cephes' atanf; the interpreter has no library functions."""
    size = tl.abs(x)
    steep = size > 2.414213562
    middle = size > 0.4142135624
    reduced = tl.where(
        steep, -1.0 / tl.maximum(size, 1.0), tl.where(middle, (size - 1.0) / (size + 1.0), size)
    )
    start = tl.where(steep, 1.5707963268, tl.where(middle, 0.7853981634, 0.0))
    square = reduced * reduced
    p = 8.05374449538e-2 * square - 1.38776856032e-1
    p = p * square + 1.99777106478e-1
    p = p * square - 3.33329491539e-1
    angle = start + (p * square * reduced + reduced)
    return tl.where(x < 0.0, -angle, angle)


@triton.jit
def _activated(h, SILU: tl.constexpr):
    # The comparison lets NaN through.
    return h / (1.0 + tl.exp(-h)) if SILU else tl.where(h < 0.0, 0.0, h)


@triton.jit
def _rounded(h, inner, UPCAST: tl.constexpr):
    """To the inner weights' type; the interpreter then multiplies in float32."""
    h = h.to(inner.dtype.element_ty)
    if UPCAST:
        h = h.to(tl.float32)
    return h


@triton.jit
def _weights(pointers, UPCAST: tl.constexpr):
    w = tl.load(pointers)
    if UPCAST:
        w = w.to(tl.float32)
    return w


@triton.jit
def _last_hidden(
    state,
    first,
    inner,
    scratch,
    width,
    IN: tl.constexpr,
    WIDE: tl.constexpr,
    HIDDEN: tl.constexpr,
    SILU: tl.constexpr,
    UPCAST: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Activations of a network's last hidden layer, (ROWS, WIDE).

    first: weights (IN, WIDE) of the first layer and then the biases (HIDDEN, WIDE), in float32.
    inner: weights (HIDDEN - 1, WIDE, WIDE) of the layers between.
    """
    row = tl.arange(0, ROWS)
    column = tl.arange(0, WIDE)
    given = tl.arange(0, IN)
    bias = first + IN * WIDE
    if HIDDEN == 1:
        weights = tl.load(first + given[:, None] * WIDE + column[None, :])
        h = tl.dot(state, weights, input_precision=PRECISION) + tl.load(bias + column)[None, :]
    else:
        h = tl.zeros((ROWS, WIDE), dtype=tl.float32) + tl.load(bias + WIDE + column)[None, :]
        for start in range(0, width, CHUNK):
            # As many features of the first layer as the second takes at once: they are never stored.
            k = start + tl.arange(0, CHUNK)
            weights = tl.load(first + given[:, None] * WIDE + k[None, :])
            part = tl.dot(state, weights, input_precision=PRECISION) + tl.load(bias + k)[None, :]
            part = _rounded(_activated(part, SILU), inner, UPCAST)
            weights = _weights(inner + k[:, None] * WIDE + column[None, :], UPCAST)
            h = tl.dot(part, weights, h, input_precision=PRECISION)
    for layer in tl.static_range(2, HIDDEN):
        # Registers cannot be cut into parts: a third layer reads the second's features from memory.
        h = _activated(h, SILU)
        tl.debug_barrier()
        tl.store(scratch + row[:, None] * WIDE + column[None, :], h)
        tl.debug_barrier()
        h = tl.zeros((ROWS, WIDE), dtype=tl.float32) + tl.load(bias + layer * WIDE + column)[None, :]
        for start in range(0, width, CHUNK):
            k = start + tl.arange(0, CHUNK)
            part = _rounded(tl.load(scratch + row[:, None] * WIDE + k[None, :]), inner, UPCAST)
            source = inner + (layer - 1) * WIDE * WIDE + k[:, None] * WIDE + column[None, :]
            h = tl.dot(part, _weights(source, UPCAST), h, input_precision=PRECISION)
    return _activated(h, SILU)


@triton.jit
def _outputs(
    h, weights, biases, own, OWN: tl.constexpr, IN: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr
):
    """A network's outputs for the coordinates from `own` on, and 0 for the others, (ROWS, IN)."""
    feature = tl.arange(0, IN)
    result = tl.zeros((ROWS, IN), dtype=tl.float32) + tl.load(biases + feature)[None, :]
    for j in range(OWN):
        # A sum per output: for a product of matrices every warp would need all of h.
        row = tl.load(weights + j * WIDE + tl.arange(0, WIDE)).to(tl.float32)
        total = tl.sum(h * row[None, :], axis=1)
        result += tl.where(feature[None, :] == own + j, total[:, None], 0.0)
    return result


@triton.jit
def invert(
    z,
    c,
    x,
    scratch,
    floats,
    inner,
    rows,
    blocks,
    width,
    outer,
    DIM: tl.constexpr,
    DIM_C: tl.constexpr,
    OWN: tl.constexpr,
    IN: tl.constexpr,
    WIDE: tl.constexpr,
    HIDDEN: tl.constexpr,
    SILU: tl.constexpr,
    UPCAST: tl.constexpr,
    ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """ROWS rows of x (rows, DIM) from z (rows, DIM) and c (rows, DIM_C).

    Blocks come in the order of the inverse. `floats` has for each of a block's networks, the second half's
    first, what `_last_hidden` reads and the outputs' biases (2, IN); then the mixing (IN, IN). `inner` has
    for each network the layers between and the outputs' weights (2, OWN, WIDE): log-scales, then shifts, of
    OWN coordinates as the larger half has. A log-scale s is clamped to outer atan(s / outer).
    """
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    feature = tl.arange(0, IN)
    scratch += tl.program_id(0).to(tl.int64) * ROWS * WIDE
    inside = (row[:, None] < rows) & (feature[None, :] < DIM)
    state = tl.load(z + row[:, None] * DIM + feature[None, :], mask=inside, other=0.0)
    if DIM_C > 0:
        at = feature[None, :] - DIM
        conditions = (row[:, None] < rows) & (at >= 0) & (at < DIM_C)
        state += tl.load(c + row[:, None] * DIM_C + at, mask=conditions, other=0.0)
    for _ in range(blocks):
        for half in range(2):
            h = _last_hidden(
                state, floats, inner, scratch, width,
                IN, WIDE, HIDDEN, SILU, UPCAST, ROWS, CHUNK, PRECISION,
            )  # fmt: skip
            floats += (IN + HIDDEN) * WIDE
            inner += (HIDDEN - 1) * WIDE * WIDE
            h = _rounded(h, inner, UPCAST).to(tl.float32)
            own = (1 - half) * (DIM // 2)
            scale = _outputs(h, inner, floats, own, OWN, IN, WIDE, ROWS)
            shift = _outputs(h, inner + OWN * WIDE, floats + IN, own, OWN, IN, WIDE, ROWS)
            state = (state - shift) * tl.exp(-outer * _arctangent(scale / outer))
            floats += 2 * IN
            inner += 2 * OWN * WIDE
        mixing = tl.load(floats + feature[:, None] * IN + feature[None, :])
        state = tl.dot(state, mixing, input_precision=PRECISION)
        floats += IN * IN
    tl.store(x + row[:, None] * DIM + feature[None, :], state, mask=inside)
