"""Exact posterior samplers: validation and the choice of a back end."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastinv.kernels import backends
from fastinv.kernels.memory import check_fits
from fastinv.kernels.random import split_seed
from fastinv.kernels.rejection.ballistics_reference import Throw
from fastinv.kernels.rejection.envelope import (
    MAX_ATTEMPTS,
    BoundViolatedError,
    BudgetExceededError,
    FloatArray,
)
from fastinv.kernels.rejection.kinematics_reference import Arm

Attempts = NDArray[np.int64]

# One call into a compiled back end is not interruptible, so it is kept to a fraction of a second.
SAMPLES_PER_CALL = 200_000
CHUNKS_PER_THREAD = 8
# The cost of an observation grows with its count of cells, which grows with |y|.
FARTHEST_IMPACT = 1000.0
# A wider prior of a joint angle is uniform on the circle to rounding, at a cost that grows with its turns.
WIDEST_JOINT = 10.0


@dataclasses.dataclass(frozen=True)
class _Target:
    """Whose posteriors are sampled: observations, constants as an array and as the reference takes them."""

    problem: str
    y: FloatArray
    parameters: FloatArray
    settings: Any

    def part(self, start: int, stop: int) -> _Target:
        return dataclasses.replace(self, y=self.y[start:stop])


def sample_kinematics(
    y: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    arm: Arm | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> FloatArray:
    """Exact posterior samples of the planar arm: y = f(x) holds to rounding for every sample.

    Args:
        y: observations (vertical, horizontal) in units of `arm.lengths`, shape (B, 2).
        n: samples per observation, at least 1.
        seed: integer in [0, 2**64). Sample j of observation i depends on (seed, first_observation + i, j)
            and y[i] alone.
        arm: segment lengths and prior sigmas; by default those of the benchmark.
        first_observation: index of y[0] in the random stream, so that split calls agree with a whole one.
        backend: "auto", "native", "numba" or "reference".
        attempts_out: int64 array (B, n) to be filled with the number of proposals that each sample took.

    Returns:
        float64 array (B, n, 4): rail position and three joint angles in radians.

    Raises:
        ValueError: y has the wrong shape, is not finite, or is out of the arm's reach (the message names
            the observation), or n, seed or first_observation is out of range.
        BackendUnavailable: the back end cannot serve here.

    Example:
        >>> sample_kinematics([[0.0, 1.5]], 1000, seed=1).shape
        (1, 1000, 4)
    """
    arm = arm or Arm()
    if not min(*arm.lengths, *arm.sigmas) > 0.0 or not max(arm.sigmas[1:]) <= WIDEST_JOINT:
        raise ValueError(
            f"arm: lengths and sigmas must be positive, sigmas of joints at most {WIDEST_JOINT:g}, got {arm}"
        )
    observations = _check_observations(y, 2)
    _check_range(observations[:, 1], sum(arm.lengths), "y2 is out of the arm's reach: |y2|")
    parameters = np.array([*arm.lengths, *arm.sigmas])
    target = _Target("kinematics", observations, parameters, arm)
    return _sample(target, n, seed, first_observation, backend, attempts_out)


def sample_ballistics(
    y: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    throw: Throw | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> FloatArray:
    """Exact posterior samples of the throw: y = f(x) holds to rounding for every sample.

    Args:
        y: points of impact in metres, shape (B, 1), |y| <= 1000.
        n: samples per observation, at least 1.
        seed: integer in [0, 2**64). Sample j of observation i depends on (seed, first_observation + i, j)
            and y[i] alone.
        throw: constants of the throw and its prior; by default those of the benchmark.
        first_observation: index of y[0] in the random stream, so that split calls agree with a whole one.
        backend: "auto", "native", "numba" or "reference".
        attempts_out: int64 array (B, n) to be filled with the number of proposals that each sample took.

    Returns:
        float64 array (B, n, 4): start (m), height (m), angle (rad) and speed (m/s, a whole number).

    Raises:
        ValueError: y has the wrong shape, is not finite or is too far (the message names the observation), or
            n, seed or first_observation is out of range.
        BackendUnavailable: the back end cannot serve here.

    Example:
        >>> sample_ballistics([[5.0]], 1000, seed=1).shape
        (1, 1000, 4)
    """
    throw = throw or Throw()
    observations = _check_observations(y, 1)
    _check_range(observations[:, 0], FARTHEST_IMPACT, "the point of impact is too far: |y|")
    parameters = np.array(dataclasses.astuple(throw))
    target = _Target("ballistics", observations, parameters, throw)
    return _sample(target, n, seed, first_observation, backend, attempts_out)


def _check_observations(y: ArrayLike, dim: int) -> FloatArray:
    array = np.ascontiguousarray(y, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != dim:
        raise ValueError(f"y must have shape (B, {dim}), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if len(bad):
        raise ValueError(f"y must be finite; observation {bad[0]} is {array[bad[0]].tolist()}")
    return array


def _check_range(values: FloatArray, limit: float, what: str) -> None:
    bad = np.flatnonzero(np.abs(values) > limit)
    if len(bad):
        i = bad[0]
        raise ValueError(
            f"y: no posterior for observation {i}: {what} must be at most {limit:g}, got {values[i]:g}"
        )


def _check_integer(argument: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{argument} must be an integer, got {type(value).__name__}")
    if not least <= value < 2**32:
        raise ValueError(f"{argument} must be in [{least}, 2**32), got {value}")


def _sample(
    target: _Target, n: int, seed: int, first: int, backend: str, attempts_out: Attempts | None
) -> FloatArray:
    _check_integer("n", n, 1)
    _check_integer("first_observation", first, 0)
    key = split_seed(seed)
    batch = len(target.y)
    check_fits(batch * n * 5 * 8, f"n={n} samples of {batch} observations")
    chosen = backends.select(backend, device="cpu", serving=SERVING, operation=f"sample_{target.problem}")
    x = np.empty((batch, n, 4))
    attempts = np.empty((batch, n), dtype=np.int64) if attempts_out is None else attempts_out
    if attempts.shape != (batch, n) or attempts.dtype != np.int64:
        raise ValueError(
            f"attempts_out must be int64 of shape {(batch, n)}, got {attempts.dtype} {attempts.shape}"
        )
    step = max(1, SAMPLES_PER_CALL // n)
    for start in range(0, batch, step):
        stop = min(start + step, batch)
        _RUN[chosen](target.part(start, stop), first + start, key, x[start:stop], attempts[start:stop])
        _raise_for_codes(attempts[start:stop], first + start)
    return x


def _raise_for_codes(attempts: Attempts, first: int) -> None:
    broken = np.argwhere(attempts < 0)
    if not len(broken):
        return
    observation, slot = broken[0]
    if attempts[observation, slot] == -1:
        raise BoundViolatedError(f"observation {first + observation}: a density is above its bound")
    raise BudgetExceededError(f"observation {first + observation}: no sample in {MAX_ATTEMPTS} attempts")


def _run_reference(
    target: _Target, first: int, key: tuple[int, int], x: FloatArray, attempts: Attempts
) -> None:
    from fastinv.kernels.rejection import ballistics_reference, kinematics_reference

    seed = key[0] | key[1] << 32
    for i, y in enumerate(target.y):
        if target.problem == "kinematics":
            drawn = kinematics_reference.sample_one(y, x.shape[1], seed, first + i, target.settings)
        else:
            drawn = ballistics_reference.sample_one(float(y[0]), x.shape[1], seed, first + i, target.settings)
        x[i], attempts[i] = drawn


def _run_native(target: _Target, first: int, key: tuple[int, int], x: FloatArray, attempts: Attempts) -> None:
    module = backends.native_module()
    assert module is not None  # select() has seen it
    sample = getattr(module, f"sample_{target.problem}")
    sample(target.y, target.parameters, first, *key, x, attempts)


def _run_numba(target: _Target, first: int, key: tuple[int, int], x: FloatArray, attempts: Attempts) -> None:
    import numba

    from fastinv.kernels.rejection.numba_cpu import ballistics, kinematics

    module: ModuleType = kinematics if target.problem == "kinematics" else ballistics
    threads = numba.get_num_threads()
    sample = module.sample_batch if len(target.y) >= threads else module.sample_few
    sample(target.y, target.parameters, first, *key, threads * CHUNKS_PER_THREAD, x, attempts)


_Run = Callable[[_Target, int, tuple[int, int], FloatArray, Attempts], None]
_RUN: dict[str, _Run] = {"native": _run_native, "numba": _run_numba, "reference": _run_reference}
SERVING = tuple(_RUN)
