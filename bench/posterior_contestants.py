"""Ways to sample the posterior of the planar arm: our exact samplers and ABC, NumPy, sbi.

Every contestant turns observations y* of shape (B, 2) and settings into a call, which draws anew whenever it
is called and returns one array of samples (n_i, 4) per observation.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Call = Callable[[], list[Array]]
CHUNK = 100_000
"""Rows that NumPy simulates at once: larger ones leave its caches."""


@dataclass(frozen=True)
class Settings:
    """What all contestants work to.

    Attributes:
        simulations: of ABC, for each call of a library.
        tolerance: ABC accepts f(x) nearer to y* than this.
    """

    simulations: int
    tolerance: float

    @property
    def samples(self) -> int:
        """Exact samples per observation: about as many as ABC accepts."""
        return max(1, round(self.simulations * self.tolerance**2 * 2.0))


def exact(backend: str) -> Callable[[Array, Settings], Call]:
    """Our exact samplers: f(x) = y* to rounding."""

    def make(y: Array, settings: Settings) -> Call:
        from fastinv.kernels.rejection import sample_kinematics

        seeds = itertools.count()
        return lambda: list(sample_kinematics(y, settings.samples, seed=next(seeds), backend=backend))

    return make


def fastinv_abc(y: Array, settings: Settings) -> Call:
    """Our ABC: one stream of simulations for all observations."""
    from fastinv.kernels import abc

    seeds, room = itertools.count(), 8 * settings.samples

    def call() -> list[Array]:
        found = abc(
            "kinematics", y, room, tolerance=settings.tolerance, max_simulations=settings.simulations,
            seed=next(seeds), on_shortfall="return",
        )  # fmt: skip
        return [x[:n] for x, n in zip(found.x, found.accepted, strict=True)]

    return call


def numpy_abc(y: Array, settings: Settings) -> Call:
    """Vectorised NumPy: draw, simulate and compare with every observation."""
    import fastinv
    from fastinv.problems.kinematics import SIGMAS

    problem, rng = fastinv.problem("kinematics"), np.random.default_rng(0)

    def call() -> list[Array]:
        kept: list[list[Array]] = [[] for _ in y]
        for begin in range(0, settings.simulations, CHUNK):
            x = rng.standard_normal((min(CHUNK, settings.simulations - begin), 4)) * SIGMAS
            found = problem.simulate(x)
            for target, near in zip(y, kept, strict=True):
                near.append(x[np.square(found - target).sum(axis=1) < settings.tolerance**2])
        return [np.concatenate(near) for near in kept]

    return call


def sbi_abc(y: Array, settings: Settings) -> Call:
    """sbi's MCABC, all simulations in one batch; it takes one observation after the other."""
    import torch
    from sbi.inference import MCABC

    import fastinv
    from fastinv.problems.kinematics import SIGMAS

    normal = torch.distributions.Normal(torch.zeros(4), torch.tensor(SIGMAS))
    prior = torch.distributions.Independent(normal, 1)
    simulate = fastinv.problem("kinematics").simulate
    inference = MCABC(simulate, prior, simulation_batch_size=None, show_progress_bars=False)  # type: ignore[arg-type]
    targets = torch.from_numpy(y).float()

    def call() -> list[Array]:
        found = [inference(target, settings.simulations, eps=settings.tolerance) for target in targets]
        return [x.numpy() for x in found]

    return call


@dataclass(frozen=True)
class Contestant:
    """How to call a library.

    Attributes:
        make: observations and settings -> call.
        package: what has to be installed; none for our own and NumPy.
        exact: whether f(x) is y* itself; otherwise within the tolerance.
        shared: whether one stream of simulations serves all observations.
    """

    make: Callable[[Array, Settings], Call]
    package: str = ""
    exact: bool = False
    shared: bool = True


CONTESTANTS = {
    "fastinv exact, native": Contestant(exact("native"), exact=True),
    "fastinv exact, numba": Contestant(exact("numba"), exact=True),
    "fastinv ABC": Contestant(fastinv_abc),
    "NumPy ABC": Contestant(numpy_abc),
    "sbi MCABC": Contestant(sbi_abc, "sbi", shared=False),
}
