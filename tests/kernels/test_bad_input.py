"""Bad input of the exact samplers and of tolerance ABC: the argument is named, and the observation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pytest

from fastinv.kernels import ABCShortfallError, Normal, Poisson, Uniform, abc, available_backends
from fastinv.kernels.mcmc import mcmc_ballistics, mcmc_kinematics
from fastinv.kernels.rejection import (
    Arm,
    BudgetExceededError,
    Throw,
    envelope,
    sample_ballistics,
    sample_kinematics,
)
from fastinv.kernels.rejection.abc_batches import SimulatorError
from fastinv.posteriors import nearest_neighbour_abc
from fastinv.problems import NoPosteriorError, problem

ARM, THROW = [[0.0, 1.0], [0.1, 0.5]], [[5.0], [2.0]]
LINE_Y = [[0.5, 0.0], [0.0, 0.0], [1.0, -1.0]]
LINE = [Normal(0.0, 1.0), Uniform(-1.0, 2.0)]


@numba.njit
def line(x):
    return x[0] + x[1], x[0] - x[1]


def line_batch(x: np.ndarray) -> np.ndarray:
    return np.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], axis=1)


@numba.njit
def prior_tuple(u):
    return 2.0 * u[0] - 1.0, u[1]


def prior_batch(u: np.ndarray) -> np.ndarray:
    return np.stack([2.0 * u[:, 0] - 1.0, u[:, 1]], axis=1)


@numba.njit
def three_numbers(x):
    return x[0], x[1], 1.0


@numba.njit
def text(x):
    return "far"


@numba.njit
def undefined(x):
    return x.nonsense


@numba.njit
def raises(x):
    if x[0] < 1e9:
        raise ValueError("always")
    return x[0], x[0]


def raises_in_batches(x: np.ndarray) -> np.ndarray:
    raise KeyError("no such key")


@dataclass(frozen=True)
class Bad:
    """A call, what it raises, which argument the message names, what else it says, and about which y*."""

    call: Callable[[], object]
    error: type[Exception]
    argument: str
    words: str
    observation: int | None = None


def arm(y: Any = ARM, n: Any = 5, **options: Any) -> Callable[[], object]:
    return lambda: sample_kinematics(y, n, **options)


def throw(y: Any = THROW, n: Any = 5, **options: Any) -> Callable[[], object]:
    return lambda: sample_ballistics(y, n, **options)


def near(y: Any = ARM, **options: Any) -> Callable[[], object]:
    """Tolerance ABC of the arm."""
    mode = {} if "nearest" in options else {"tolerance": 1.0}
    return lambda: abc("kinematics", y, **{**mode, **options})


def own(simulator: Any = line, y: Any = LINE_Y, **options: Any) -> Callable[[], object]:
    """Tolerance ABC of a user's simulator; an option of None leaves it out."""
    given = {"tolerance": 1.0, "prior": LINE, "max_simulations": 1000, **options}
    return lambda: abc(simulator, y, **{k: v for k, v in given.items() if v is not None})


def posed(name: str, y: Any, n: Any = 5, **options: Any) -> Callable[[], object]:
    return lambda: problem(name).sample_posterior(y, n, **options)


OBSERVATIONS = {
    "arm, out of reach": Bad(
        arm([[0, 1], [0, 2.1]]), ValueError, "y", "y2 is out of the arm's reach.* at most 2, got 2.1", 1
    ),
    "arm, rail too far": Bad(
        arm([[0, 1], [0, 1], [-28, 1]]), ValueError, "y", r"y1 is too far .* at most 27, got -28", 2
    ),
    "arm, huge": Bad(arm([[1e155, 1]]), ValueError, "y", "no posterior", 0),
    "arm, NaN": Bad(arm([[0, 1], [np.nan, 1]]), ValueError, "y", "finite", 1),
    "arm, vector": Bad(arm([0.0, 1.0]), ValueError, "y", r"shape \(B, 2\), got \(2,\)"),
    "arm, text": Bad(arm([["a", "b"]]), TypeError, "y", "array of real numbers"),
    "arm, ragged": Bad(arm([[0, 1], [1]]), TypeError, "y", "array of real numbers"),
    "throw, too far": Bad(
        throw([[0], [1e4]]), ValueError, "y", "point of impact is too far.*1000, got 10000", 1
    ),
    "throw, infinite": Bad(throw([[np.inf]]), ValueError, "y", "finite", 0),
    "throw, two columns": Bad(throw([[0.0, 1.0]]), ValueError, "y", r"shape \(B, 1\)"),
    "abc, one column": Bad(near([[0.0]]), ValueError, "y", r"shape \(B, 2\) for this simulator"),
    "abc, vector": Bad(near([0.0, 1.0]), ValueError, "y", "must have shape"),
    "abc, none": Bad(near(np.empty((0, 2))), ValueError, "y", "at least one observation"),
    "abc, NaN": Bad(near([[0, 1], [0, np.nan]]), ValueError, "y", "finite", 1),
    "abc, text": Bad(near([["a", "b"]]), TypeError, "y", "array of real numbers"),
    "problem, out of reach": Bad(
        posed("kinematics", [[0, 1], [0, 2], [0, 2.001]]), NoPosteriorError, "y2", "has no posterior", 2
    ),
    "problem, with a tolerance": Bad(
        posed("kinematics", [[0, 2.5]], tolerance=0.1), NoPosteriorError, "y2", "has no posterior", 0
    ),
    "problem, NaN": Bad(posed("ballistics", [[1.0], [np.nan]]), ValueError, "y_star", "finite", 1),
    "problem, text": Bad(posed("ballistics", [["far"]]), TypeError, "y_star", "array of real numbers"),
    "problem, three columns": Bad(
        posed("kinematics", [[1.0, 2.0, 3.0]]), ValueError, "y_star", r"must have shape \(B, 2\)"
    ),
    "mcmc, out of reach": Bad(
        lambda: mcmc_kinematics([[0, 1], [0, -2.1]], 8), ValueError, "y", "out of the arm's reach", 1
    ),
}
NUMBERS = {
    "n = 0": Bad(arm(n=0), ValueError, "n", r"in \[1"),
    "n < 0": Bad(throw(n=-3), ValueError, "n", r"in \[1"),
    "n not whole": Bad(throw(n=2.0), TypeError, "n", "an integer, got float"),
    "n beyond memory": Bad(arm(n=2**31), MemoryError, "n", "n=2147483648 samples of 2 observations"),
    "first_observation": Bad(arm(first_observation=-1), ValueError, "first_observation", r"in \[0"),
    "seed": Bad(throw(seed=-1), ValueError, "seed", r"in \[0"),
    "seed not whole": Bad(arm(seed=1.5), TypeError, "seed", "an integer"),
    "back end": Bad(throw(backend="cuda"), ValueError, "backend", "'cuda' is unknown; accepted"),
    "attempts_out": Bad(
        arm(attempts_out=np.empty((1, 1), np.int64)), ValueError, "attempts_out", r"int64 of shape \(2, 5\)"
    ),
    "abc, n = 0": Bad(near(n=0), ValueError, "n", r"in \[1"),
    "abc, n not whole": Bad(near(n=1.5), TypeError, "n", "an integer"),
    "abc, seed": Bad(near(seed=-1), ValueError, "seed", "in"),
    "abc, k > N": Bad(
        near(nearest=True, n=11, max_simulations=10),
        ValueError,
        "n",
        "at most max_simulations .* n=11 of 10",
    ),
    "problem, k > N": Bad(
        lambda: nearest_neighbour_abc(problem("ballistics-2021code"), np.array([[5.0]]), 30, prior_draws=20),
        ValueError,
        "n",
        "at most max_simulations",
    ),
    "abc, no budget": Bad(near(max_simulations=0), ValueError, "max_simulations", r"in \[1"),
    "abc, budget not whole": Bad(near(max_simulations=1e6), TypeError, "max_simulations", "an integer"),
    "abc, batch_size": Bad(own(line_batch, batch_size=0), ValueError, "batch_size", r"in \[1"),
    "problem, n = 0": Bad(posed("kinematics", ARM, 0), ValueError, "n", "must be"),
    "problem, n not whole": Bad(posed("kinematics", ARM, 2.5), TypeError, "n", "must be"),
}
TOLERANCES = {
    "neither": Bad(near(tolerance=None), ValueError, "tolerance", "either a tolerance or nearest"),
    "both": Bad(near(tolerance=1.0, nearest=True), ValueError, "nearest", "either a tolerance or nearest"),
    **{
        f"tolerance {value!r}": Bad(
            near(tolerance=value), ValueError, "tolerance", f"positive finite number, got {value!r}"
        )
        for value in (0.0, -1.0, np.nan, np.inf, "0.1")
    },
    "problem, tolerance": Bad(posed("kinematics", ARM, tolerance=-1.0), ValueError, "tolerance", "positive"),
    "scale 0": Bad(near(scale=0.0), ValueError, "scale", "must be positive"),
    "scale NaN": Bad(near(scale=[1.0, np.nan]), ValueError, "scale", "must be positive and finite"),
    "scale too long": Bad(near(scale=[1, 2, 3]), ValueError, "scale", r"a number or have shape \(2,\)"),
    "scale text": Bad(near(scale="wide"), TypeError, "scale", "array of real numbers"),
    "on_shortfall": Bad(near(on_shortfall="no"), ValueError, "on_shortfall", "'raise' or 'return', got 'no'"),
}
CONSTANTS = {
    "length 0": Bad(arm(arm=Arm(lengths=(0.5, 0.0, 1.0))), ValueError, "arm", "must be positive"),
    "length NaN": Bad(arm(arm=Arm(lengths=(0.5, np.nan, 1.0))), ValueError, "arm", "must be positive"),
    "joint too wide": Bad(arm(arm=Arm(sigmas=(1, 1, 11, 1))), ValueError, "arm", "joints must be at most 10"),
    "not an arm": Bad(arm(arm=3), TypeError, "arm", "must be an Arm, got int"),
    "rate < 0": Bad(throw(throw=Throw(rate=-1.0)), ValueError, "throw", "rate must be positive"),
    "rate too high": Bad(throw(throw=Throw(rate=40.0)), ValueError, "throw", "rate must .* to 20"),
    "sigma 0": Bad(throw(throw=Throw(x1_sigma=0.0)), ValueError, "throw", "x1_sigma must be positive"),
    "gravity": Bad(throw(throw=Throw(gravity=1e300)), ValueError, "throw", "gravity must be positive, from"),
    "height NaN": Bad(throw(throw=Throw(x2_mean=np.nan)), ValueError, "throw", r"\|x2_mean\| must be"),
    "angles": Bad(
        throw(throw=Throw(angle_min=1.0, angle_max=0.5)), ValueError, "throw", "angle_min < angle_max"
    ),
    "not a throw": Bad(throw(throw=Arm()), TypeError, "throw", "must be a Throw, got Arm"),
    "abc, arm": Bad(
        lambda: abc(Arm((1.0, 1.0, -1.0)), ARM, tolerance=1.0), ValueError, "arm", "must be positive"
    ),
    "abc, throw": Bad(
        lambda: abc(Throw(x2_sigma=-1.0), THROW, tolerance=1.0), ValueError, "throw", "x2_sigma must be"
    ),
    "mcmc, throw": Bad(
        lambda: mcmc_ballistics(THROW, 8, throw=Throw(mass=0.0)), ValueError, "throw", "mass must be positive"
    ),
    "Normal": Bad(lambda: Normal(0.0, 0.0), ValueError, "prior", "sigma must be positive"),
    "Normal's mean": Bad(lambda: Normal(np.nan, 1.0), ValueError, "prior", "mean must be finite"),
    "Uniform": Bad(lambda: Uniform(1.0, 1.0), ValueError, "prior", "low < high"),
    "Poisson": Bad(lambda: Poisson(-1.0), ValueError, "prior", "Poisson"),
}
SIMULATORS = {
    "unknown": Bad(
        lambda: abc("kinematic", ARM, tolerance=1.0), ValueError, "simulator", "unknown; accepted"
    ),
    "no function": Bad(lambda: abc(3, [[0.0]], tolerance=1.0), TypeError, "simulator", "must be .* got int"),
    "prior of a built-in": Bad(near(prior=LINE), ValueError, "prior", "those of the problem"),
    "no prior": Bad(own(prior=None), ValueError, "prior", "is needed"),
    "no dim_x": Bad(own(prior=prior_tuple), ValueError, "dim_x", "is needed"),
    "dim_x of a list": Bad(own(dim_x=3), ValueError, "dim_x", "must be 2"),
    "prior of numbers": Bad(own(prior=[1.0, 2.0]), TypeError, "prior", r"prior\[0\] must be Normal"),
    "empty prior": Bad(own(prior=[]), TypeError, "prior", "a function or a non-empty sequence"),
    "prior of wrong length": Bad(own(prior=prior_tuple, dim_x=3), ValueError, "prior", "must return 3"),
    "prior of wrong shape": Bad(
        own(line_batch, prior=lambda u: u[:, :1], dim_x=2), ValueError, "prior", r"return shape \(\d+, 2\)"
    ),
    "too few numbers asked": Bad(own(y=[[1.0]]), ValueError, "simulator", "must return 1 number per"),
    "too many numbers": Bad(own(three_numbers), ValueError, "simulator", "must return 2 num"),
    "batch of wrong shape": Bad(own(lambda x: x[:, :1]), ValueError, "simulator", r"shape \(\d+, 2\)"),
    "returns None": Bad(own(lambda x: None), ValueError, "simulator", "must return shape"),
    "returns an object": Bad(own(lambda x: object()), TypeError, "simulator", "must return an array"),
    "returns text": Bad(own(text, [[1.0]]), TypeError, "simulator", "it returns"),
    "returns text, not fused": Bad(
        own(text, [[1.0]], prior=prior_batch, dim_x=2), TypeError, "simulator", "simulator: "
    ),
    "does not compile": Bad(own(undefined, [[1.0]]), TypeError, "simulator", "'nonsense'"),
    "always raises in batches": Bad(
        own(raises_in_batches), SimulatorError, "simulator", "raised KeyError for each of the 32 draws"
    ),
    "always raises": Bad(
        own(raises), ABCShortfallError, "max_simulations", r"\(1,000 raised\).* below 0.003 per simulation", 0
    ),
    "always NaN": Bad(
        own(lambda x: x * np.nan),
        ABCShortfallError,
        "max_simulations",
        "1,000 simulations were not finite",
        0,
    ),
}
GROUPS = {
    "observations": OBSERVATIONS,
    "numbers": NUMBERS,
    "tolerances": TOLERANCES,
    "constants": CONSTANTS,
    "simulators": SIMULATORS,
}
TABLE = {f"{group}: {name}": bad for group, rows in GROUPS.items() for name, bad in rows.items()}


@pytest.mark.parametrize("case", TABLE)
def test_bad_input_is_named(case: str) -> None:
    bad = TABLE[case]
    with pytest.raises(bad.error) as caught:
        bad.call()
    message = str(caught.value)
    assert re.search(rf"\b{bad.argument}\b", message), message
    assert re.search(bad.words, message), message
    assert bad.observation is None or f"observation {bad.observation}" in message, message


def test_what_a_simulator_raised_is_chained() -> None:
    with pytest.raises(SimulatorError) as caught:
        own(raises_in_batches)()
    assert isinstance(caught.value.__cause__, KeyError)


BACKENDS = [name for name in ("native", "numba", "reference") if available_backends()[name].available]


@pytest.mark.parametrize("observations", [1, 40])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_posterior_without_mass_is_named(backend: str, observations: int) -> None:
    """Every throw starts a kilometre below the ground, and none can be thrown out of there."""
    y = np.zeros((observations, 1))
    with pytest.raises(ValueError, match=r"y: no posterior for observation 3: its density is zero"):
        sample_ballistics(y, 5, throw=Throw(x2_mean=-1000.0), first_observation=3, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hopeless_search_ends(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joints a hundred times as stiff as the benchmark's: cells are never small enough for their bounds."""
    most = 100_000
    if backend == "reference":  # it is slow, and the others have their limit compiled in
        most = 300
        monkeypatch.setattr(envelope, "MAX_ATTEMPTS", most)
    with pytest.raises(BudgetExceededError, match=rf"observation 7: .* {most} attempts"):
        sample_kinematics(
            [[0.0, 0.7]],
            1,
            arm=Arm(sigmas=(0.25, 5e-3, 5e-3, 5e-3)),
            first_observation=7,
            backend=backend,
        )
