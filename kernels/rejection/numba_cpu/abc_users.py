# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""A user's @njit prior and simulator in a loop over the random stream.

The loop goes block by block, one coordinate after the other (`x` has shape (d_x, BLOCK)). It calls what does
a block by its address, so that nothing but that is compiled for a user. There LLVM can turn the loop over
draws into SIMD code: the user's function is compiled into it, with the sine and cosine of `abc_double` in
place of the C library's. A block in which a draw raises is done again row by row.
"""

from __future__ import annotations

import math
import types as python
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import literal_unroll, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.core.registry import CPUDispatcher
from numba.extending import intrinsic, overload

from fastinv.kernels.numba_arrays import copy_into, place_of
from fastinv.kernels.rejection.numba_cpu import abc_double
from fastinv.kernels.rejection.numba_cpu.abc_math import fill_words, words_of

# Statuses of a call.
OK, PRIOR_SHAPE, SIMULATOR_SHAPE = 0, 1, 2
NORMAL, UNIFORM, POISSON = 0, 1, 2
# Draws that are done at a time: they stay in the first-level cache.
BLOCK = 256
# Our functions by the identity of those that they stand for.
OURS = {
    id(f): ours
    for ours, fs in {abc_double.sin: (math.sin, np.sin), abc_double.cos: (math.cos, np.cos)}.items()
    for f in fs
}
# Options of @njit that a function compiled into our loop may have: they are passed on to the loop, or mean
# nothing there.
PASSED_ON = ("error_model", "fastmath")
WITHOUT_MEANING = ("nopython", "nogil", "cache", "boundscheck", "inline", "forceinline")

_COLUMNS, _VALUES = types.Array(types.float64, 2, "C"), types.Array(types.float64, 1, "C")
_FLAGS, _KINDS = types.Array(types.boolean, 1, "C"), types.Array(types.int64, 1, "C")
# What does a block, see `make_rows` and `independent`.
RUN = types.boolean(_COLUMNS, _COLUMNS, _FLAGS)
PRIOR = types.boolean(types.Tuple((_KINDS, _VALUES, _VALUES, _COLUMNS)), _COLUMNS, _COLUMNS, _FLAGS)


def pointer(function: Any, signature: Any) -> Any:
    """A function of this module for RUN or PRIOR, compiled; the result holds it and has its `address`.

    Raises:
        NumbaError: what it calls cannot be compiled.
    """
    return numba.cfunc(signature)(function.py_func)


def _calling(signature):
    """For compiled code: (address, tuple of arguments) -> result of what `pointer` compiled for a signature.

    Numba would take such a function as an argument too, but needs the interpreter's lock and more than 20 us
    for it in each call, which is half of the time of simulating a thousand draws.
    """

    @intrinsic
    def call(_, address, arguments):
        def generate(context, builder, _, values):
            place, packed = values
            kinds = [context.get_value_type(kind) for kind in signature.args]
            function = ir.FunctionType(context.get_value_type(signature.return_type), kinds)
            unpacked = cgutils.unpack_tuple(builder, packed, len(kinds))
            return builder.call(builder.inttoptr(place, function.as_pointer()), unpacked)

        return signature.return_type(types.int64, types.Tuple(signature.args)), generate

    return call


_call_run, _call_prior = _calling(RUN), _calling(PRIOR)


def _store(value, out, j):
    """Write a returned row into column j of `out`; False where it has another length. Compiled only."""
    raise NotImplementedError


@overload(_store)
def _store_overload(value, out, j):
    if isinstance(value, types.Number | types.Boolean):

        def store_number(value, out, j):
            out[0, j] = value
            return len(out) == 1

        return store_number
    if isinstance(value, types.BaseTuple):

        def store_tuple(value, out, j):
            if len(value) != len(out):
                return False
            i = 0
            for element in literal_unroll(value):
                out[i, j] = element
                i += 1  # noqa: SIM113 (Numba cannot enumerate these)
            return True

        return store_tuple
    if isinstance(value, types.Array) and value.ndim == 1:

        def store_array(value, out, j):
            if len(value) != len(out):
                return False
            for i in range(len(out)):
                out[i, j] = value[i]
            return True

        return store_array
    raise TypingError(f"it returns {value}; accepted: a number, a tuple of numbers or a 1-D array")


@numba.njit(inline="always")
def _uniform53(high, low):
    bits = (np.uint64(high) << np.uint64(20)) | (np.uint64(low) >> np.uint64(12))
    return (np.float64(bits) + 0.5) * 2.0**-52


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_uniforms(first, k0, k1, words, u):
    """Uniforms in (0, 1) of the simulations first, first + 1, ..., two per block of the stream.

    Args:
        first: number of the first simulation.
        k0: low word of the seed.
        k1: high word of the seed.
        words: work space, uint32, shape (4, n).
        u: output, shape (d, n).
    """
    for i in range(0, len(u), 2):
        fill_words(first, i // 2, k0, k1, words)
        for j in range(u.shape[1]):
            u[i, j] = _uniform53(words[0, j], words[1, j])
        if i + 1 < len(u):
            for j in range(u.shape[1]):
                u[i + 1, j] = _uniform53(words[2, j], words[3, j])


@numba.njit(cache=True, nogil=True)
def uniforms_of(index, k0, k1, u):
    """Uniforms of the simulations with these numbers; u (k, d)."""
    for i in range(len(index)):
        for block in range((u.shape[1] + 1) // 2):
            w0, w1, w2, w3 = words_of(index[i], block, k0, k1)
            u[i, 2 * block] = _uniform53(w0, w1)
            if 2 * block + 1 < u.shape[1]:
                u[i, 2 * block + 1] = _uniform53(w2, w3)


@numba.njit(cache=True, nogil=True)
def independent(coordinates, u, x, failed):
    """Prior of independent coordinates, over a block: (coordinates, u (d, n), x (d, n), failed (n,)) -> True.

    The coordinates are an argument, so that no other prior of this kind has to be compiled.

    Args:
        coordinates: four arrays: NORMAL, UNIFORM or POISSON per coordinate; mean, lower end, or number of the
            row in the last one; sigma, or width; distribution functions of the counts, one per row, ending
            in 1.
        u: uniforms.
        x: output.
        failed: not touched.
    """
    kinds, first, second, cumulative = coordinates
    for i in range(len(kinds)):
        if kinds[i] == NORMAL:
            abc_double.normals(u[i], first[i], second[i], x[i])
        elif kinds[i] == UNIFORM:
            low, width = first[i], second[i]
            for j in range(u.shape[1]):
                x[i, j] = low + width * u[i, j]
        else:
            counts = cumulative[int(first[i])]
            for j in range(u.shape[1]):
                x[i, j] = place_of(u[i, j], counts)
    return True


def row_by_row(prior: Any) -> Any:
    """A user's compiled prior (uniforms in, row out) over a block, called like `independent`."""
    by_rows = make_rows(prior)

    @numba.njit(nogil=True)
    def over_block(coordinates, u, x, failed):
        return by_rows(u, x, failed)

    return over_block


def make_rows(function: Any) -> Any:
    """A compiled row function over columns: (x (d, n), out (e, n), failed (n,)) -> whether the length fits.

    Columns that have failed before are left out; those in which the function raises fail.
    """

    @numba.njit(nogil=True)
    def over_columns(x, out, failed):
        row = np.empty(len(x))
        for j in range(x.shape[1]):
            if failed[j]:
                continue
            copy_into(row, x[:, j])
            try:
                fits = _store(function(row), out, j)
            except Exception:
                failed[j] = True
                fits = True
            if not fits:
                return False
        return True

    return over_columns


def vectorisable(function: Any) -> Any:
    """A user's @njit function with our sine and cosine, to be compiled into a loop; None if it cannot be."""
    if not isinstance(function, CPUDispatcher) or not function._can_compile:
        return None
    options = function.targetoptions
    if options.get("boundscheck") or not set(options) <= {*PASSED_ON, *WITHOUT_MEANING}:
        return None
    plain = function.py_func
    names = {name: _replaced(value) for name, value in plain.__globals__.items()}
    again = python.FunctionType(plain.__code__, names, plain.__name__, plain.__defaults__, plain.__closure__)
    return numba.njit(inline="always")(again)


def _replaced(value: Any) -> Any:
    """Our function in place of the C library's, and likewise in the modules that hold them."""
    if value is math or value is np:
        module = python.ModuleType(value.__name__)
        module.__dict__.update({name: OURS.get(id(v), v) for name, v in vars(value).items()})
        return module
    return OURS.get(id(value), value)


def make_block(simulator: Any) -> Any:
    """A simulator over a block in SIMD: (x (d_x, n), y (d_y, n)) -> whether the length fits. It may raise."""
    function = vectorisable(simulator)
    if function is None:
        return None
    options = {name: v for name, v in simulator.targetoptions.items() if name in PASSED_ON}

    @numba.njit(nogil=True, **options)
    def over_block(x, y):
        fits = True
        for j in range(x.shape[1]):
            fits = _store(function(x[:, j]), y, j) and fits
        return fits

    return over_block


@numba.njit(cache=True, nogil=True)
def all_fail(x, out, failed):
    """In place of a function of `make_rows`, whose compilation takes a second: no column is any good."""
    failed[:] = True
    return True


def with_rows(block: Any, by_rows: Any) -> Any:
    """A function like those of `make_rows`: `block`, of `make_block`, and `by_rows` where that raises."""

    @numba.njit(nogil=True)
    def run(x, out, failed):
        try:
            fits = block(x, out)
        except Exception:
            fits = by_rows(x, out, failed)
        return fits

    return run


@numba.njit(cache=True, nogil=True)
def draw(prior, coordinates, u, x, failed):
    """A prior over a block, by its address: called like `independent`, which is what 0 stands for."""
    if prior == 0:
        return independent(coordinates, u, x, failed)
    return _call_prior(prior, (coordinates, u, x, failed))


@numba.njit(cache=True, nogil=True)
def simulate(prior, run, first, k0, k1, dim_x, coordinates, y, counts):
    """Simulate one block after the other.

    Args:
        prior: address of a pointer for PRIOR, or 0 for `independent`.
        run: address of the simulator, a pointer for RUN.
        first: number of the first simulation.
        k0: low word of the seed.
        k1: high word of the seed.
        dim_x: parameters.
        coordinates: for the prior.
        y: output, shape (d_y, n); NaN for draws that fail.
        counts: two integers, to which is added how many draws failed, and how many blocks did as a whole.

    Returns:
        A status.
    """
    size = min(BLOCK, y.shape[1])
    words, failed = np.empty((4, size), np.uint32), np.empty(size, np.bool_)
    u, x, out = np.empty((dim_x, size)), np.empty((dim_x, size)), np.empty((len(y), size))
    for start in range(0, y.shape[1], size):
        failed[:] = False
        fill_uniforms(first + start, k0, k1, words, u)
        if not draw(prior, coordinates, u, x, failed):
            return PRIOR_SHAPE
        if not _call_run(run, (x, out, failed)):
            return SIMULATOR_SHAPE
        whole = True
        for j in range(size):
            whole = whole and failed[j]
        counts[1] += whole
        # The last block may go on beyond the end.
        for j in range(min(size, y.shape[1] - start)):
            counts[0] += failed[j]
            for d in range(len(y)):
                y[d, start + j] = np.nan if failed[j] else out[d, j]
    return OK
