# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""A user's @njit prior and simulator, fused into one loop over the random stream."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import literal_unroll, types
from numba.core.errors import TypingError
from numba.extending import overload

from fastinv.kernels.rejection.numba_cpu.abc_math import normal64, words_of

# Statuses of a row.
OK, PRIOR_SHAPE, SIMULATOR_SHAPE = 0, 1, 2
NORMAL, UNIFORM, POISSON = 0, 1, 2


def _store(value, out):
    """Copy a returned row into `out`; False where it has another length. Compiled only."""
    raise NotImplementedError


@overload(_store)
def _store_overload(value, out):
    if isinstance(value, types.Number | types.Boolean):

        def store_number(value, out):
            out[0] = value
            return len(out) == 1

        return store_number
    if isinstance(value, types.BaseTuple):

        def store_tuple(value, out):
            if len(value) != len(out):
                return False
            i = 0
            for element in literal_unroll(value):
                out[i] = element
                i += 1  # noqa: SIM113 (Numba cannot enumerate these)
            return True

        return store_tuple
    if isinstance(value, types.Array) and value.ndim == 1:

        def store_array(value, out):
            if len(value) != len(out):
                return False
            for i in range(len(out)):
                out[i] = value[i]
            return True

        return store_array
    raise TypingError(f"it returns {value}; accepted: a number, a tuple of numbers or a 1-D array")


@numba.njit(inline="always")
def _uniform53(high, low):
    bits = (np.uint64(high) << np.uint64(20)) | (np.uint64(low) >> np.uint64(12))
    return (np.float64(bits) + 0.5) * 2.0**-52


@numba.njit(cache=True, nogil=True)
def fill_uniforms(index, k0, k1, u):
    """Uniforms in (0, 1) of one simulation, two per block of the stream; u (d,)."""
    for block in range((len(u) + 1) // 2):
        w0, w1, w2, w3 = words_of(index, block, k0, k1)
        u[2 * block] = _uniform53(w0, w1)
        if 2 * block + 1 < len(u):
            u[2 * block + 1] = _uniform53(w2, w3)


@numba.njit(cache=True, nogil=True)
def uniforms_of(index, k0, k1, u):
    """Uniforms of the simulations with these numbers; u (k, d)."""
    for i in range(len(index)):
        fill_uniforms(index[i], k0, k1, u[i])


def independent(kinds: Any, first: Any, second: Any, cumulative: Any) -> Any:
    """Compiled prior of independent coordinates, writing in place.

    Args:
        kinds: NORMAL, UNIFORM or POISSON per coordinate.
        first: mean, lower end, or number of the row in `cumulative`.
        second: sigma, or width.
        cumulative: distribution functions of the counts, one per row, ending in 1.
    """

    @numba.njit(nogil=True)
    def prior(u, x):
        for i in range(len(kinds)):
            if kinds[i] == NORMAL:
                x[i] = first[i] + second[i] * normal64(u[i])
            elif kinds[i] == UNIFORM:
                x[i] = first[i] + second[i] * u[i]
            else:
                x[i] = np.searchsorted(cumulative[int(first[i])], u[i])
        return True

    return prior


def in_place(prior: Any) -> Any:
    """A user's compiled prior (uniforms in, row out) as one that writes in place."""

    @numba.njit(nogil=True)
    def write(u, x):
        return _store(prior(u), x)

    return write


def make_simulate(prior: Any, simulator: Any) -> Any:
    """The fused loop: (first, k0, k1, x row, y (d_y, n), counts) -> status.

    Rows that raise or return a number that is not finite become NaN; `counts` takes how many raised.
    """

    @numba.njit(nogil=True)
    def one(u, x, row):
        if not prior(u, x):
            return PRIOR_SHAPE
        if not _store(simulator(x), row):
            return SIMULATOR_SHAPE
        return OK

    @numba.njit(nogil=True)
    def simulate(first, k0, k1, x, y, raised):
        u, row = np.empty(len(x)), np.empty(y.shape[0])
        for j in range(y.shape[1]):
            fill_uniforms(first + j, k0, k1, u)
            try:
                status = one(u, x, row)
            except Exception:
                raised[0] += 1
                row[:] = np.nan
                status = OK
            if status != OK:
                return status
            for d in range(len(row)):
                y[d, j] = row[d]
        return OK

    return simulate


def make_draw(prior: Any) -> Any:
    """Rows of the prior by number: (numbers, k0, k1, x (k, d_x))."""

    @numba.njit(nogil=True)
    def draw(index, k0, k1, x):
        u = np.empty(x.shape[1])
        for i in range(len(index)):
            fill_uniforms(index[i], k0, k1, u)
            prior(u, x[i])

    return draw


def make_rows(function: Any) -> Any:
    """A compiled row function over a batch: (rows (n, d), out (n, e), raised) -> whether the length fits."""

    @numba.njit(nogil=True)
    def over_rows(rows, out, raised):
        for i in range(len(rows)):
            try:
                fits = _store(function(rows[i]), out[i])
            except Exception:
                raised[0] += 1
                out[i] = np.nan
                fits = True
            if not fits:
                return False
        return True

    return over_rows
