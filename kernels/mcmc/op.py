"""Markov chain Monte Carlo on the exact posteriors, batched over observations."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastinv.kernels.mcmc.diagnostics import r_hat_and_ess
from fastinv.kernels.memory import check_fits
from fastinv.kernels.random import split_seed
from fastinv.kernels.rejection import Arm, Throw
from fastinv.kernels.rejection.checks import (
    FARTHEST_IMPACT,
    MOST_COUNTS,
    check_arm,
    check_integer,
    check_observations,
    check_range,
    check_throw,
)

FloatArray = NDArray[np.float64]
OnProgress = Callable[[int, int], Any]

# One compiled call cannot be interrupted: it is kept to a fraction of a second.
STEPS_PER_CALL = 300_000


@dataclass(frozen=True)
class MCMCResult:
    """Samples and how far to trust them.

    Attributes:
        x: float64 (B, n, 4); sample j is draw j // chains of chain j % chains.
        r_hat: float64 (B,), the largest split R-hat of any coordinate.
        ess: float64 (B,), the least effective sample size of any coordinate, out of n.
        acceptance: float64 (B,), share of accepted proposals.
    """

    x: FloatArray
    r_hat: FloatArray
    ess: FloatArray
    acceptance: FloatArray


def mcmc_kinematics(
    y: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    arm: Arm | None = None,
    chains: int = 8,
    warmup: int = 500,
    thin: int = 40,
    first_observation: int = 0,
    on_progress: OnProgress | None = None,
) -> MCMCResult:
    """Chains on the surface of all poses of the planar arm that explain an observation.

    The state is the three absolute angles. A step moves two of them and solves the third for the horizontal
    observation, or mirrors and swaps links, which jumps between modes; the rail is solved for the vertical
    observation. There is no observation noise: y = f(x) holds to rounding.

    Args:
        y: observations (vertical, horizontal), shape (B, 2).
        n: samples per observation.
        seed: integer in [0, 2**64).
        arm: segment lengths and prior sigmas; by default those of the benchmark.
        chains: chains per observation, started in different poses.
        warmup: steps of each chain that are dropped.
        thin: steps per kept draw.
        first_observation: index of y[0] in the random stream, so that split calls agree with a whole one.
        on_progress: called with (observations done, observations).

    Returns:
        Samples with R-hat and effective sample size per observation.

    Raises:
        ValueError: y has the wrong shape, is not finite or is out of the arm's reach (the message names the
            observation), or another argument is out of range.

    Examples:
        >>> result = mcmc_kinematics([[0.0, 1.5]], 400, seed=1)
        >>> result.x.shape, bool(result.r_hat[0] < 1.1)
        ((1, 400, 4), True)
    """
    from fastinv.kernels.mcmc.numba_cpu import kinematics

    arm = arm or Arm()
    check_arm(arm)
    targets = check_observations(y, 2)
    check_range(targets[:, 1], sum(arm.lengths), "y2 is out of the arm's reach: |y2|")
    parameters = np.array([*arm.lengths, *arm.sigmas])
    plan = _Plan.checked(n, chains, warmup, thin, seed, first_observation)
    return plan.run(kinematics.run_chains, targets, parameters, on_progress)


def mcmc_ballistics(
    y: ArrayLike,
    n: int,
    *,
    seed: int = 0,
    throw: Throw | None = None,
    chains: int = 8,
    warmup: int = 100,
    thin: int = 6,
    first_observation: int = 0,
    on_progress: OnProgress | None = None,
) -> MCMCResult:
    """Chains over the throws that explain an observation; the start is solved.

    A step moves height and angle, the count being summed out; when a state is kept, its count is drawn given
    the rest (Gibbs). There is no observation noise: y = f(x) holds to rounding.

    Args:
        y: points of impact, shape (B, 1), |y| <= 1000.
        n: samples per observation.
        seed: integer in [0, 2**64).
        throw: constants of the throw and its prior; by default those of the benchmark.
        chains: chains per observation, started at different angles.
        warmup: steps of each chain that are dropped.
        thin: steps per kept draw.
        first_observation: index of y[0] in the random stream, so that split calls agree with a whole one.
        on_progress: called with (observations done, observations).

    Returns:
        Samples with R-hat and effective sample size per observation.

    Raises:
        ValueError: y has the wrong shape, is not finite or is too far (the message names the observation), or
            another argument is out of range.

    Examples:
        >>> result = mcmc_ballistics([[5.0]], 400, seed=1)
        >>> result.x.shape, bool(result.r_hat[0] < 1.1)
        ((1, 400, 4), True)
    """
    from fastinv.kernels.mcmc.numba_cpu import ballistics

    throw = throw or Throw()
    check_throw(throw, MOST_COUNTS)
    targets = check_observations(y, 1)
    check_range(targets[:, 0], FARTHEST_IMPACT, "the point of impact is too far: |y|")
    parameters = np.array(dataclasses.astuple(throw))
    plan = _Plan.checked(n, chains, warmup, thin, seed, first_observation)
    return plan.run(ballistics.run_chains, targets, parameters, on_progress)


@dataclass(frozen=True)
class _Plan:
    n: int
    chains: int
    warmup: int
    thin: int
    key: tuple[int, int]
    first: int

    @classmethod
    def checked(cls, n: int, chains: int, warmup: int, thin: int, seed: int, first: int) -> _Plan:
        limits = {"n": (n, 1), "chains": (chains, 2), "warmup": (warmup, 0), "thin": (thin, 1)}
        for argument, (value, least) in {**limits, "first_observation": (first, 0)}.items():
            check_integer(argument, value, least, 31)
        return cls(int(n), int(chains), int(warmup), int(thin), split_seed(seed), int(first))

    def run(
        self,
        run_chains: Callable[..., None],
        y: FloatArray,
        parameters: FloatArray,
        on_progress: OnProgress | None,
    ) -> MCMCResult:
        batch, kept = len(y), -(-self.n // self.chains)
        check_fits(batch * self.n * 4 * 8, f"n={self.n} samples of {batch} observations")
        x = np.empty((batch, self.n, 4))
        r_hat, ess, acceptance = np.empty(batch), np.empty(batch), np.empty(batch)
        steps = self.chains * (self.warmup + kept * self.thin)
        size = max(1, STEPS_PER_CALL // steps)
        for start in range(0, batch, size):
            part = slice(start, min(start + size, batch))
            draws = np.empty((len(y[part]), self.chains, kept, 4))
            accepted = np.empty(draws.shape[:2])
            run_chains(
                y[part], parameters, self.first + start, *self.key, self.warmup, self.thin, draws, accepted
            )
            x[part] = draws.transpose(0, 2, 1, 3).reshape(len(draws), -1, 4)[:, : self.n]
            each_r_hat, each_ess = r_hat_and_ess(draws.transpose(0, 3, 1, 2))
            r_hat[part], ess[part] = each_r_hat.max(axis=1), each_ess.min(axis=1)
            acceptance[part] = accepted.mean(axis=1)
            if on_progress is not None:
                on_progress(part.stop, batch)
        return MCMCResult(x, r_hat, ess, acceptance)
