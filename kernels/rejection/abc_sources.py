"""Where simulations come from: the built-in problems, a user's compiled functions, or batches in Python."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import threading
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.random import split_seed
from fastinv.kernels.rejection import abc_reference
from fastinv.kernels.rejection.abc_priors import Coordinates, Normal, Poisson, Uniform
from fastinv.kernels.rejection.ballistics_reference import Throw
from fastinv.kernels.rejection.kinematics_cells import Arm

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]
# What a float32 throw may be off by, relative to the distances at hand.
BALLISTICS_ERROR = 8e-6
# float32 rounding of the arm's position, relative to its size, sines and cosines included.
KINEMATICS_ROUNDING = 1e-6
# Rows of a prior that are drawn in one call, of a size that stays in the second-level cache.
DRAWN_AT_ONCE = 4096
# Draws on which a user's simulator is tried.
TRIED = 256
# Users' functions whose compiled loops are kept: compiling takes seconds, and calls are repeated.
COMPILED = 16


class NotCompilableError(TypeError):
    """Numba cannot compile a function that was passed to it."""


class Source(Protocol):
    """Simulations by number: number i is a pure function of (seed, i).

    Attributes:
        dim_x: parameters.
        dim_y: observed values.
        error: bound on |y of `simulate` - y of `draw`|, shape (d_y,); zero where `draw` returns no y.
        parallel: whether several threads may simulate at once.
    """

    dim_x: int
    dim_y: int
    error: FloatArray
    parallel: bool

    def simulate(self, first: int, count: int) -> tuple[NDArray[Any], int]:
        """Observations of the simulations from `first` on, shape (d_y, count), and how many raised."""

    def draw(self, number: Numbers) -> tuple[FloatArray, FloatArray | None]:
        """Parameters (k, d_x) of simulations by number and, for built-in problems, observations (k, d_y)."""


class KinematicsSource:
    """The planar arm in a fused loop."""

    dim_x, dim_y, parallel = 4, 2, True

    def __init__(self, arm: Arm, seed: int) -> None:
        from fastinv.kernels.rejection.numba_cpu.abc_math import NORMAL32_ERROR

        self._key = split_seed(seed)
        self._arm = np.array([*arm.lengths, *arm.sigmas])
        length, angles = sum(arm.lengths), sum(arm.sigmas[1:])
        size = arm.sigmas[0] + length * (1.0 + angles)
        bound = NORMAL32_ERROR * (arm.sigmas[0] + 3.0 * length * angles) + KINEMATICS_ROUNDING * size
        self.error = np.full(2, bound)

    def simulate(self, first: int, count: int) -> tuple[NDArray[Any], int]:
        from fastinv.kernels.rejection.numba_cpu import abc_kinematics

        y = np.empty((2, count), np.float32)
        abc_kinematics.simulate(first, self._arm, *self._key, y)
        return y, 0

    def draw(self, number: Numbers) -> tuple[FloatArray, FloatArray]:
        from fastinv.kernels.rejection.numba_cpu import abc_kinematics

        x, y = np.empty((len(number), 4)), np.empty((len(number), 2))
        abc_kinematics.draw(number, self._arm, *self._key, x, y)
        return x, y


class BallisticsSource:
    """The throw in a fused loop."""

    dim_x, dim_y, parallel = 4, 1, True

    def __init__(self, throw: Throw, seed: int) -> None:
        from fastinv.kernels.rejection.numba_cpu.abc_ballistics import guide_of

        self._key = split_seed(seed)
        self._throw = np.array(dataclasses.astuple(throw))
        self._cumulative = Poisson(throw.rate).cumulative()
        self._guide = guide_of(self._cumulative)
        self._let_through = BALLISTICS_ERROR * (throw.x1_sigma + throw.rate * throw.mass / throw.drag)
        self.error = np.full(1, 2.0 * self._let_through)

    def simulate(self, first: int, count: int) -> tuple[NDArray[Any], int]:
        from fastinv.kernels.rejection.numba_cpu import abc_ballistics

        y = np.empty((1, count), np.float32)
        abc_ballistics.simulate(
            first, self._throw, self._cumulative, self._guide, self._let_through, *self._key, y
        )
        return y, 0

    def draw(self, number: Numbers) -> tuple[FloatArray, FloatArray]:
        from fastinv.kernels.rejection.numba_cpu import abc_ballistics

        x, y = np.empty((len(number), 4)), np.empty((len(number), 1))
        abc_ballistics.draw(number, self._throw, self._cumulative, self._guide, *self._key, x, y)
        return x, y


class ReferenceSource:
    """Either built-in problem in NumPy."""

    dim_x, parallel = 4, False

    def __init__(self, problem: Arm | Throw, seed: int) -> None:
        self._problem, self._seed = problem, seed
        self.dim_y = 2 if isinstance(problem, Arm) else 1
        self.error = np.zeros(self.dim_y)

    def simulate(self, first: int, count: int) -> tuple[NDArray[Any], int]:
        return self.draw(np.arange(first, first + count))[1].T, 0

    def draw(self, number: Numbers) -> tuple[FloatArray, FloatArray]:
        if isinstance(self._problem, Arm):
            return abc_reference.draw_kinematics(number, self._problem, self._seed)
        return abc_reference.draw_ballistics(number, self._problem, self._seed)


class CompiledSource:
    """A user's @njit simulator and a compiled prior in one loop over blocks of draws.

    Run quickly, by SIMD code, all draws of a block fail where one raises. Run thoroughly, such a block is
    done again row by row; that takes as long again to compile, and is only if a draw raises. What cannot be
    compiled into a loop is called from one, row by row.
    """

    parallel = True

    def __init__(self, simulator: Any, prior: Any, dim_x: int, dim_y: int, seed: int) -> None:
        self.dim_x, self.dim_y, self.error = dim_x, dim_y, np.zeros(dim_y)
        self._key = split_seed(seed)
        self._prior, self._coordinates = compiled_prior(prior if is_compiled(prior) else tuple(prior))
        self._simulator = simulator
        self._lock = threading.Lock()
        # What runs a block, and whether quickly: together, for threads read them while one replaces them.
        self._run = self._quick_or_by_rows()
        # Most simulators that ever raise do so here: nobody measures this yet, or waits for it after Ctrl-C.
        self.simulate(0, TRIED)

    def _quick_or_by_rows(self) -> tuple[Any, bool]:
        from numba.core.errors import NumbaError

        # Whatever keeps a function from being compiled into a loop, it may still be called from one.
        with contextlib.suppress(Exception):
            run = _compiled_run(self._simulator, "quick")
            if self._simulated(run, 0, np.empty((self.dim_y, 1)), _counts()) == 0:
                return run, True
        try:
            run = _compiled_run(self._simulator, "by rows")
        except NumbaError as error:
            raise not_compilable("simulator", error) from error
        self._check(self._simulated(run, 0, np.empty((self.dim_y, 1)), _counts()))
        return run, False

    def _thorough(self) -> Any:
        with self._lock:
            if self._run[1]:
                self._run = _compiled_run(self._simulator, "thorough"), False
            return self._run[0]

    def _check(self, status: int) -> None:
        if status:
            name, dim = (("prior", self.dim_x), ("simulator", self.dim_y))[status - 1]
            raise ValueError(
                f"{name} must return {dim} number{'s' if dim > 1 else ''} per row (an array, a tuple"
                f"{' or a number' if dim == 1 else ''}), and returned a row of another length"
            )

    def _simulated(self, run: Any, first: int, y: FloatArray, counts: NDArray[np.int64]) -> int:
        from fastinv.kernels.rejection.numba_cpu.abc_users import simulate

        prior, key = address_of(self._prior), self._key
        status = simulate(prior, run.address, first, *key, self.dim_x, self._coordinates, y, counts)
        return int(status)

    def simulate(self, first: int, count: int) -> tuple[NDArray[Any], int]:
        y, counts = np.empty((self.dim_y, count)), _counts()
        run, quick = self._run
        self._check(self._simulated(run, first, y, counts))
        if quick and counts[1]:
            counts[:] = 0
            self._check(self._simulated(self._thorough(), first, y, counts))
        return y, int(counts[0])

    def draw(self, number: Numbers) -> tuple[FloatArray, None]:
        from fastinv.kernels.rejection.numba_cpu import abc_users

        x = np.empty((len(number), self.dim_x))
        for start in range(0, len(number), DRAWN_AT_ONCE):
            numbers = number[start : start + DRAWN_AT_ONCE]
            u, drawn = np.empty((self.dim_x, len(numbers))), np.empty((self.dim_x, len(numbers)))
            abc_users.uniforms_of(numbers, *self._key, u.T)
            failed = np.zeros(len(numbers), dtype=bool)
            abc_users.draw(address_of(self._prior), self._coordinates, u, drawn, failed)
            x[start : start + len(numbers)] = drawn.T
        return x, None


@functools.lru_cache(maxsize=COMPILED)
def compiled_prior(prior: Any) -> tuple[Any, tuple[NDArray[Any], ...]]:
    """A prior, @njit or coordinates, for `abc_users.draw`: a pointer or None, and the coordinates.

    Raises:
        NotCompilableError: Numba cannot compile it.
    """
    from numba.core.errors import NumbaError

    from fastinv.kernels.rejection.numba_cpu import abc_users

    coordinates: Coordinates = () if is_compiled(prior) else prior
    counts = [c for c in coordinates if isinstance(c, Poisson)]
    tables = [c.cumulative() for c in counts]
    cumulative = np.ones((max(1, len(tables)), max([1, *map(len, tables)])))
    kinds: list[int] = []
    first: list[float] = []
    second: list[float] = []
    for c in coordinates:
        match c:
            case Normal(mean, sigma):
                row = abc_users.NORMAL, mean, sigma
            case Uniform(low, high):
                row = abc_users.UNIFORM, low, high - low
            case Poisson():
                table = len([k for k in kinds if k == abc_users.POISSON])
                cumulative[table, : len(tables[table])] = tables[table]
                row = abc_users.POISSON, float(table), 0.0
        kinds.append(row[0])
        first.append(row[1])
        second.append(row[2])
    arrays = np.array(kinds, dtype=np.int64), np.array(first, dtype=float), np.array(second, dtype=float)
    pointer = None
    if is_compiled(prior):
        try:
            pointer = abc_users.pointer(abc_users.row_by_row(prior), abc_users.PRIOR)
        except NumbaError as error:
            raise not_compilable("prior", error) from error
    return pointer, (*arrays, cumulative)


def address_of(pointer: Any) -> int:
    """Of what `compiled_prior` gives; 0 for None."""
    return 0 if pointer is None else int(pointer.address)


@functools.lru_cache(maxsize=COMPILED)
def _block(simulator: Any) -> Any:
    from fastinv.kernels.rejection.numba_cpu import abc_users

    return abc_users.make_block(simulator)


@functools.lru_cache(maxsize=2 * COMPILED)
def _compiled_run(simulator: Any, how: Literal["quick", "thorough", "by rows"]) -> Any:
    """One of the ways in which `CompiledSource` runs a block, as a pointer."""
    from fastinv.kernels.rejection.numba_cpu import abc_users

    if how == "by rows":
        run = abc_users.make_rows(simulator)
    elif (block := _block(simulator)) is None:
        raise TypeError("calls of the simulator cannot be replaced by its code")
    else:
        on_raise = abc_users.all_fail if how == "quick" else abc_users.make_rows(simulator)
        run = abc_users.with_rows(block, on_raise)
    return abc_users.pointer(run, abc_users.RUN)


def is_compiled(function: object) -> bool:
    """Whether it is an @njit function; Numba is not imported for it."""
    return type(function).__module__.partition(".")[0] == "numba"


def _counts() -> NDArray[np.int64]:
    """For a loop to count draws that failed, and blocks that did as a whole."""
    return np.zeros(2, dtype=np.int64)


def not_compilable(argument: str, error: Exception) -> NotCompilableError:
    """Numba's long message in one line: what a function returns, or else the first thing it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    returned = [line.removeprefix("TypingError: ") for line in lines if "it returns" in line]
    named = [line for line in lines if line.startswith(("Cannot", "Unknown", "No impl", "NameError"))]
    return NotCompilableError(
        f"{argument}: Numba cannot compile it as a function of one float64 row: "
        f"{(returned or named or lines or ['no message'])[0][:300]}"
    )
