"""Exact posterior samplers: validation and the choice of a back end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from fastinv.kernels import backends
from fastinv.kernels.memory import check_fits
from fastinv.kernels.random import split_seed
from fastinv.kernels.rejection.ballistics_reference import Throw
from fastinv.kernels.rejection.checks import (
    FARTHEST_IMPACT,
    FARTHEST_RAIL,
    MOST_COUNTS,
    check_arm,
    check_integer,
    check_observations,
    check_range,
    check_throw,
)
from fastinv.kernels.rejection.envelope import (
    MAX_ATTEMPTS,
    NO_MASS,
    BoundViolatedError,
    BudgetExceededError,
    FloatArray,
    NoMassError,
)
from fastinv.kernels.rejection.kinematics_cells import Arm
from fastinv.kernels.rejection.runners import (
    CUT_WITHIN_OBSERVATIONS,
    RUN,
    SAMPLES_PER_CALL,
    SAMPLES_PER_ENVELOPE,
    SERVING,
    SERVING_CUDA,
    Attempts,
    Start,
    Target,
)

if TYPE_CHECKING:
    from torch import Tensor


@overload
def sample_kinematics(
    y: Tensor,
    n: int,
    *,
    seed: int = 0,
    arm: Arm | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> Tensor: ...


@overload
def sample_kinematics(
    y: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    arm: Arm | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> FloatArray: ...


def sample_kinematics(
    y: Any,
    n: int,
    *,
    seed: int = 0,
    arm: Arm | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> Any:
    """Exact posterior samples of the planar arm: y = f(x) holds to rounding for every sample.

    Args:
        y: observations (vertical, horizontal) in units of `arm.lengths`, shape (B, 2). A torch tensor
            yields a tensor on its device; one on a CUDA device is served by the "triton" back end.
        n: samples per observation, at least 1.
        seed: integer in [0, 2**64). Sample j of observation i depends on (seed, first_observation + i, j)
            and y[i] alone.
        arm: segment lengths and prior sigmas; by default those of the benchmark.
        first_observation: index of y[0] in the random stream, so that split calls agree with a whole one.
        backend: "auto", "native", "numba", "reference" or "triton".
        attempts_out: int64 array (B, n) to be filled with the number of proposals that each sample took.

    Returns:
        float64 array (B, n, 4): rail position and three joint angles in radians.

    Raises:
        TypeError: an argument of the wrong type, named.
        ValueError: y has the wrong shape, is not finite, or is out of the arm's reach (the message names
            the observation), or arm, n, seed or first_observation is out of range.
        BackendUnavailable: the back end cannot serve here.

    Examples:
        >>> sample_kinematics([[0.0, 1.5]], 1000, seed=1).shape
        (1, 1000, 4)
    """
    arm = arm or Arm()
    check_arm(arm)
    observations = check_observations(y, 2)
    farthest = sum(arm.lengths) + FARTHEST_RAIL * arm.sigmas[0]
    check_range(observations[:, 0], farthest, "y1 is too far for the rail's prior: |y1|")
    check_range(observations[:, 1], sum(arm.lengths), "y2 is out of the arm's reach: |y2|")
    parameters = np.array([*arm.lengths, *arm.sigmas])
    target = Target("kinematics", observations, parameters, arm)
    return _sample(target, y, n, seed, first_observation, backend, attempts_out)


@overload
def sample_ballistics(
    y: Tensor,
    n: int,
    *,
    seed: int = 0,
    throw: Throw | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> Tensor: ...


@overload
def sample_ballistics(
    y: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    throw: Throw | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> FloatArray: ...


def sample_ballistics(
    y: Any,
    n: int,
    *,
    seed: int = 0,
    throw: Throw | None = None,
    first_observation: int = 0,
    backend: str = "auto",
    attempts_out: Attempts | None = None,
) -> Any:
    """Exact posterior samples of the throw: y = f(x) holds to rounding for every sample.

    Args:
        y: points of impact in metres, shape (B, 1), |y| <= 1000. A torch tensor yields a tensor on
            its device; one on a CUDA device is served by the "triton" back end.
        n: samples per observation, at least 1.
        seed: integer in [0, 2**64). Sample j of observation i depends on (seed, first_observation + i, j)
            and y[i] alone.
        throw: constants of the throw and its prior; by default those of the benchmark.
        first_observation: index of y[0] in the random stream, so that split calls agree with a whole one.
        backend: "auto", "native", "numba", "reference" or "triton".
        attempts_out: int64 array (B, n) to be filled with the number of proposals that each sample took.

    Returns:
        float64 array (B, n, 4): start (m), height (m), angle (rad) and speed (m/s, a whole number).

    Raises:
        TypeError: an argument of the wrong type, named.
        ValueError: y has the wrong shape, is not finite or is too far (the message names the observation), or
            throw, n, seed or first_observation is out of range.
        BackendUnavailable: the back end cannot serve here.

    Examples:
        >>> sample_ballistics([[5.0]], 1000, seed=1).shape
        (1, 1000, 4)
    """
    throw = throw or Throw()
    check_throw(throw, MOST_COUNTS)
    observations = check_observations(y, 1)
    check_range(observations[:, 0], FARTHEST_IMPACT, "the point of impact is too far: |y|")
    parameters = np.array(dataclasses.astuple(throw))
    target = Target("ballistics", observations, parameters, throw)
    return _sample(target, y, n, seed, first_observation, backend, attempts_out)


def _sample(
    target: Target, y: Any, n: int, seed: int, first: int, backend: str, attempts_out: Attempts | None
) -> Any:
    check_integer("n", n, 1, 32)
    check_integer("first_observation", first, 0, 32)
    key = split_seed(seed)
    batch = len(target.y)
    check_fits(batch * n * 5 * 8, f"n={n} samples of {batch} observations")
    device = y.device.type if backends.is_torch_tensor(y) else "cpu"
    serving = {"cpu": SERVING, "cuda": SERVING_CUDA}.get(device, ())
    chosen = backends.select(backend, device=device, serving=serving, operation=f"sample_{target.problem}")
    if attempts_out is not None and (attempts_out.shape != (batch, n) or attempts_out.dtype != np.int64):
        raise ValueError(
            f"attempts_out must be int64 of shape {(batch, n)}, got {attempts_out.dtype} {attempts_out.shape}"
        )
    x, attempts = _allocate(device, y, batch, n)
    for rows, slots in _parts(chosen, batch, n):
        part = target.part(rows.start, rows.stop)
        start = Start(first + rows.start, slots.start)
        RUN[chosen](part, start, key, x[rows, slots], attempts[rows, slots])
        _raise_for_codes(attempts[rows, slots], start.observation)
    if attempts_out is not None:
        attempts_out[...] = attempts.cpu() if device == "cuda" else attempts
    return _as_tensor(x) if backends.is_torch_tensor(y) else x


def _parts(backend: str, batch: int, n: int) -> Iterator[tuple[slice, slice]]:
    """Observations and samples of each call into a back end; every part of an array (B, n) is contiguous."""
    most = SAMPLES_PER_CALL[backend]
    rows = max(1, most // (n + SAMPLES_PER_ENVELOPE))
    columns = min(n, most) if backend in CUT_WITHIN_OBSERVATIONS else n
    for i in range(0, batch, rows):
        for j in range(0, n, columns):
            yield slice(i, min(i + rows, batch)), slice(j, min(j + columns, n))


def _allocate(device: str, y: Any, batch: int, n: int) -> tuple[Any, Any]:
    """Samples and attempts to fill: arrays, or tensors where y is on a CUDA device."""
    if device == "cpu":
        return np.empty((batch, n, 4)), np.empty((batch, n), dtype=np.int64)
    import torch

    x = torch.empty((batch, n, 4), dtype=torch.float64, device=y.device)
    return x, torch.empty((batch, n), dtype=torch.int64, device=y.device)


def _as_tensor(x: Any) -> Any:
    import torch

    return torch.as_tensor(x)


def _raise_for_codes(attempts: Any, first: int) -> None:
    if attempts.min() >= 0:
        return
    codes = np.asarray(attempts.cpu() if backends.is_torch_tensor(attempts) else attempts)
    observation, slot = np.argwhere(codes < 0)[0]
    if codes[observation, slot] == NO_MASS:
        raise NoMassError(first + int(observation))
    if codes[observation, slot] == -1:
        raise BoundViolatedError(f"observation {first + observation}: a density is above its bound")
    raise BudgetExceededError(f"observation {first + observation}: no sample in {MAX_ATTEMPTS} attempts")
