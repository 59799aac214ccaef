"""Tolerance ABC for any simulator: its arguments, and where its simulations come from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastinv.kernels import backends
from fastinv.kernels.random import split_seed
from fastinv.kernels.rejection.abc_batches import BatchSource
from fastinv.kernels.rejection.abc_call import Call
from fastinv.kernels.rejection.abc_checks import (
    check_integer,
    check_observations,
    check_prior,
    check_scale,
    check_tolerance,
)
from fastinv.kernels.rejection.abc_priors import Coordinates
from fastinv.kernels.rejection.abc_report import ABCResult, ABCShortfallError
from fastinv.kernels.rejection.abc_rounds import OnProgress
from fastinv.kernels.rejection.abc_sources import (
    BallisticsSource,
    CompiledSource,
    KinematicsSource,
    ReferenceSource,
    Source,
    is_compiled,
)
from fastinv.kernels.rejection.ballistics_reference import Throw
from fastinv.kernels.rejection.checks import check_arm, check_throw
from fastinv.kernels.rejection.kinematics_cells import Arm

FloatArray = NDArray[np.float64]
Simulator = Literal["kinematics", "ballistics"] | Arm | Throw | Callable[..., Any]
Prior = Coordinates | Callable[..., Any]
Shortfall = Literal["raise", "return"]

BUILT_IN: dict[str, Arm | Throw] = {"kinematics": Arm(), "ballistics": Throw()}
DEFAULT_SAMPLES = 1000
DEFAULT_BUDGET = 10**8
DEFAULT_BATCH = 1 << 16


def abc(
    simulator: Simulator,
    y: ArrayLike,
    n: int = DEFAULT_SAMPLES,
    *,
    tolerance: float | None = None,
    nearest: bool = False,
    prior: Prior | None = None,
    dim_x: int | None = None,
    scale: ArrayLike | None = None,
    max_simulations: int = DEFAULT_BUDGET,
    seed: int = 0,
    on_shortfall: Shortfall = "raise",
    on_progress: OnProgress | None = None,
    batch_size: int = DEFAULT_BATCH,
    device: Any = None,
    backend: str = "auto",
) -> ABCResult:
    """Approximate posterior samples of many observations at once, from one stream of simulations.

    Every simulation is looked up in a grid over all observations, so that a thousand of them cost little
    more than one. Simulation number i is a pure function of (seed, i): the result depends neither on the
    number of threads nor on batch sizes. Samples are biased by the tolerance; the exact samplers are not.

    A simulator is a name ("kinematics", "ballistics"), the constants of one (`Arm`, `Throw`), or a function:

    * @numba.njit, of one row: simulator(x) -> y with x float64 (d_x,), y a tuple or 1-D array of d_y numbers
      (a plain number if d_y is 1). Its loop is compiled together with the prior's and runs in all threads.
    * any other callable, of a batch: simulator(x) -> y, (m, d_x) -> (m, d_y), NumPy or torch.

    Draws for which it raises, or returns NaN or infinity, are counted and rejected. A simulator must not
    depend on anything but x; one that is noisy takes its noise from further coordinates of the prior.

    Args:
        simulator: see above.
        y: observations, shape (B, d_y).
        n: samples per observation.
        tolerance: accept the first n simulations whose distance to y* is below this.
        nearest: accept the n nearest of `max_simulations` simulations instead.
        prior: of a simulator that is a function: a sequence of `Normal`, `Uniform` and `Poisson`, one per
            coordinate, or a function of uniforms u in (0, 1) to x, one u per coordinate: @njit of a row
            (d_x,), or NumPy of a batch (m, d_x).
        dim_x: number of parameters, needed where `prior` is a function.
        scale: the distance is ||(f(x) - y*) / scale||, shape (d_y,) or a number; 1 by default.
        max_simulations: budget.
        seed: integer in [0, 2**64).
        on_shortfall: "raise" ABCShortfallError when an observation has fewer than n samples (the error's
            `result` has what was accepted), or "return" the result, NaN where samples are missing.
        on_progress: called with an `ABCProgress` about ten times a second.
        batch_size: most rows that a batch simulator is called with.
        device: torch device on which a batch simulator gets its x; None hands over NumPy arrays.
        backend: "auto", "numba" or "reference" (NumPy; every simulation is compared with every observation).

    Returns:
        Samples and a report per observation.

    Raises:
        ValueError: an invalid argument, named with what is accepted; a simulator or a prior of wrong shape.
        TypeError: an argument of the wrong type, or a function that Numba cannot compile.
        SimulatorError: a batch simulator that raised for every draw it was tried on.
        ABCShortfallError: see `on_shortfall`.
        BackendUnavailable: the back end cannot serve here.

    Examples:
        >>> result = abc("kinematics", [[0.1, 1.6], [-0.2, 1.8]], 100, tolerance=0.05, seed=1)
        >>> result.x.shape, bool((result.distance < 0.05).all())
        ((2, 100, 4), True)
        >>> from fastinv.kernels import Uniform
        >>> prior = [Uniform(0.0, 2.0)]
        >>> result = abc(lambda x: x**2, [[2.0]], 10, nearest=True, prior=prior, max_simulations=10_000)
        >>> bool(result.x.std() < 0.01)
        True
    """
    call = Call(
        check_observations(y),
        check_integer("n", n, 1, 2**31),
        check_tolerance(tolerance, nearest),
        check_integer("max_simulations", max_simulations, 1, 2**62),
        check_integer("batch_size", batch_size, 1, 2**31),
        on_progress,
    )
    split_seed(seed)
    if on_shortfall not in get_args(Shortfall):
        raise ValueError(f"on_shortfall must be 'raise' or 'return', got {on_shortfall!r}")
    if nearest and n > max_simulations:
        raise ValueError(
            f"n must be at most max_simulations in nearest mode, got n={n} of {max_simulations} simulations"
        )
    compiled = backends.select(backend, device="cpu", serving=SERVING, operation="abc") == "numba"
    source = _source(simulator, prior, dim_x, call.y.shape[1], seed, device, compiled)
    result = call.run(source, check_scale(scale, source.dim_y), compiled)
    if on_shortfall == "raise" and len(result.short):
        raise ABCShortfallError(result)
    return result


SERVING = ("numba", "reference")


def _source(
    simulator: Any, prior: Any, dim_x: int | None, dim_y: int, seed: int, device: Any, compiled: bool
) -> Source:
    if isinstance(simulator, str) and simulator not in BUILT_IN:
        raise ValueError(
            f"simulator {simulator!r} is unknown; accepted: {', '.join(BUILT_IN)}, or a function"
        )
    if isinstance(simulator, str):
        simulator = BUILT_IN[simulator]
    if isinstance(simulator, Arm | Throw):
        if prior is not None or dim_x is not None:
            raise ValueError("prior and dim_x are those of the problem when simulator is a built-in one")
        return _built_in(simulator, dim_y, seed, compiled)
    if not callable(simulator):
        raise TypeError(
            f"simulator must be a name, an Arm, a Throw or a function, got {type(simulator).__name__}"
        )
    dim = check_prior(prior, dim_x)
    if compiled and is_compiled(simulator) and (is_compiled(prior) or not callable(prior)):
        return CompiledSource(simulator, prior, dim, dim_y, seed)
    return BatchSource(simulator, prior, dim, dim_y, seed, device=device, compiled=compiled)


def _built_in(problem: Arm | Throw, dim_y: int, seed: int, compiled: bool) -> Source:
    wanted = 2 if isinstance(problem, Arm) else 1
    if dim_y != wanted:
        raise ValueError(f"y must have shape (B, {wanted}) for this simulator, got (B, {dim_y})")
    if isinstance(problem, Arm):
        check_arm(problem)
    else:
        check_throw(problem)
    if not compiled:
        return ReferenceSource(problem, seed)
    return KinematicsSource(problem, seed) if isinstance(problem, Arm) else BallisticsSource(problem, seed)
