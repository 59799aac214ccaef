"""Tolerance ABC: bad input is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from fastinv.kernels import Normal, Poisson, Uniform, abc

LINE = [Normal(0.0, 1.0), Uniform(-1.0, 2.0)]


@numba.njit
def line(x):
    return x[0] + x[1], x[0] - x[1]


def line_batch(x: np.ndarray) -> np.ndarray:
    return np.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], axis=1)


LINE_Y = np.array([[0.5, 0.0], [0.0, 0.0], [1.0, -1.0]])


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


@pytest.mark.parametrize(
    ("simulator", "y", "options", "error", "words"),
    [
        (
            "kinematic",
            [[0, 1]],
            {"tolerance": 1.0},
            ValueError,
            r"simulator 'kinematic' is unknown; accepted",
        ),
        (3, [[0.0]], {"tolerance": 1.0}, TypeError, r"simulator must be .* got int"),
        ("kinematics", [[0.0]], {"tolerance": 1.0}, ValueError, r"y must have shape \(B, 2\)"),
        ("kinematics", [0.0, 1.0], {"tolerance": 1.0}, ValueError, r"y must have shape"),
        ("kinematics", np.empty((0, 2)), {"tolerance": 1.0}, ValueError, r"y must have shape"),
        ("kinematics", [[0, 1], [0, np.nan]], {"tolerance": 1.0}, ValueError, r"finite; observation 1"),
        ("kinematics", [[0, 1]], {}, ValueError, r"either a tolerance or nearest"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "nearest": True}, ValueError, r"either a tolerance or"),
        ("kinematics", [[0, 1]], {"tolerance": 0.0}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": -1.0}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": np.nan}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": np.inf}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": "0.1"}, ValueError, r"tolerance must be a positive"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "n": 0}, ValueError, r"n must be in \[1"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "n": 1.5}, TypeError, r"n must be an integer"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "seed": -1}, ValueError, r"seed must be in"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "scale": 0.0}, ValueError, r"scale must be positive"),
        (
            "kinematics",
            [[0, 1]],
            {"tolerance": 1.0, "scale": [1, 2, 3]},
            ValueError,
            r"scale must be a number",
        ),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "prior": LINE}, ValueError, r"prior and dim_x are those"),
        ("kinematics", [[0, 1]], {"tolerance": 1.0, "on_shortfall": "no"}, ValueError, r"on_shortfall must"),
        (
            "kinematics",
            [[0, 1]],
            {"nearest": True, "n": 11, "max_simulations": 10},
            ValueError,
            r"n must be at most max_simulations .* n=11 of 10",
        ),
        (
            "kinematics",
            [[0, 1]],
            {"tolerance": 1.0, "max_simulations": 0},
            ValueError,
            r"max_simulations must",
        ),
        (line, LINE_Y, {"tolerance": 1.0}, ValueError, r"prior is needed"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": prior_tuple}, ValueError, r"dim_x is needed"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": LINE, "dim_x": 3}, ValueError, r"dim_x must be 2"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": [1.0, 2.0]}, TypeError, r"prior\[0\] must be Normal"),
        (line, LINE_Y, {"tolerance": 1.0, "prior": []}, TypeError, r"prior must be a function or"),
        (line, [[1.0]], {"tolerance": 1.0, "prior": LINE}, ValueError, r"simulator must return 1 number per"),
        (
            three_numbers,
            LINE_Y,
            {"tolerance": 1.0, "prior": LINE},
            ValueError,
            r"simulator must return 2 num",
        ),
        (
            line,
            LINE_Y,
            {"tolerance": 1.0, "prior": prior_tuple, "dim_x": 3},
            ValueError,
            r"prior must return 3",
        ),
        (text, [[1.0]], {"tolerance": 1.0, "prior": LINE}, TypeError, r"simulator: .* it returns"),
        (undefined, [[1.0]], {"tolerance": 1.0, "prior": LINE}, TypeError, r"simulator: .*'nonsense'"),
        (text, [[1.0]], {"tolerance": 1.0, "prior": prior_batch, "dim_x": 2}, TypeError, r"simulator: "),
        (
            lambda x: x[:, :1],
            LINE_Y,
            {"tolerance": 1.0, "prior": LINE},
            ValueError,
            r"simulator must return s",
        ),
        (lambda x: None, LINE_Y, {"tolerance": 1.0, "prior": LINE}, ValueError, r"simulator must return sh"),
        (
            lambda x: object(),
            LINE_Y,
            {"tolerance": 1.0, "prior": LINE},
            TypeError,
            r"simulator must return an",
        ),
        (
            line_batch,
            LINE_Y,
            {"tolerance": 1.0, "prior": lambda u: u[:, :1], "dim_x": 2},
            ValueError,
            r"prior must return shape \(\d+, 2\)",
        ),
    ],
)
def test_bad_input_is_named(
    simulator: Any, y: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        abc(simulator, y, **options)


@pytest.mark.parametrize(
    "bad",
    [lambda: Normal(0.0, 0.0), lambda: Normal(np.nan, 1.0), lambda: Uniform(1.0, 1.0), lambda: Poisson(-1.0)],
)
def test_bad_priors(bad: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="prior: "):
        bad()
