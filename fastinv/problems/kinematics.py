"""Inverse kinematics: a planar arm of three segments on a vertical rail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from fastinv.problems.base import (
    Array,
    Coordinate,
    FloatArray,
    NoPosteriorError,
    Problem,
    by_array_type,
)

if TYPE_CHECKING:
    import torch

LENGTHS = (0.5, 0.5, 1.0)
SIGMAS = (0.25, 0.5, 0.5, 0.5)


class Kinematics(Problem):
    """The rail position x1 and three joint angles x2, x3, x4 (radians) place the arm's end at y.

        y1 = x1 + l1 sin(x2) + l2 sin(x2 + x3) + l3 sin(x2 + x3 + x4)    vertical
        y2 =      l1 cos(x2) + l2 cos(x2 + x3) + l3 cos(x2 + x3 + x4)    horizontal

    with l = (1/2, 1/2, 1) and prior x ~ N(0, diag(1/16, 1/4, 1/4, 1/4)).

    Source: Kruse et al. (2021), section "Inverse kinematics"; the order (vertical, horizontal) is that of
    their equation.
    """

    name = "kinematics"
    title = "Inverse kinematics"
    parameters = (
        Coordinate("x1", "m"),
        Coordinate("x2", "rad", "angle"),
        Coordinate("x3", "rad", "angle"),
        Coordinate("x4", "rad", "angle"),
    )
    observed = (Coordinate("y1", "m"), Coordinate("y2", "m"))
    has_exact_posterior = True
    fused_simulator = "kinematics"

    def _prior_from_uniforms(self, u: FloatArray) -> FloatArray:
        return np.asarray(ndtri(u) * np.array(SIGMAS))

    def log_prior(self, x: Array) -> Array:
        """Log-density of the Gaussian prior; see `Problem.log_prior`."""
        log_norm = sum(math.log(s) for s in SIGMAS) + 2.0 * math.log(2.0 * math.pi)

        def numpy_version(x: FloatArray) -> FloatArray:
            z = x / np.asarray(SIGMAS, dtype=x.dtype)
            return np.asarray(-0.5 * (z * z).sum(-1) - log_norm)

        def torch_version(x: torch.Tensor) -> torch.Tensor:
            z = x / x.new_tensor(SIGMAS)
            return -0.5 * (z * z).sum(-1) - log_norm

        result: Array = by_array_type(x, numpy_version, torch_version, self.dim_x)
        return result

    def simulate(self, x: Array) -> Array:
        """End of the arm, (vertical, horizontal); see `Problem.simulate`."""
        l1, l2, l3 = LENGTHS

        def numpy_version(x: FloatArray) -> FloatArray:
            a = x[..., 1]
            b = a + x[..., 2]
            c = b + x[..., 3]
            vertical = x[..., 0] + l1 * np.sin(a) + l2 * np.sin(b) + l3 * np.sin(c)
            return np.stack([vertical, l1 * np.cos(a) + l2 * np.cos(b) + l3 * np.cos(c)], axis=-1)

        def torch_version(x: torch.Tensor) -> torch.Tensor:
            import torch

            a = x[..., 1]
            b = a + x[..., 2]
            c = b + x[..., 3]
            vertical = x[..., 0] + l1 * a.sin() + l2 * b.sin() + l3 * c.sin()
            return torch.stack([vertical, l1 * a.cos() + l2 * b.cos() + l3 * c.cos()], dim=-1)

        result: Array = by_array_type(x, numpy_version, torch_version, self.dim_x)
        return result

    def check_observations(self, y_star: ArrayLike) -> FloatArray:
        """As `Problem.check_observations`; the horizontal y2 must be within the arm's reach."""
        y = super().check_observations(y_star)
        reach = sum(LENGTHS)
        bad = np.flatnonzero(np.abs(y[:, 1]) > reach)
        if len(bad):
            raise NoPosteriorError(
                f"y_star: observation {bad[0]} has no posterior: |y2| must be at most {reach:g} "
                f"(the arm's reach), got {y[bad[0], 1]:g}"
            )
        return y

    def _sample_exact_posterior(self, y_star: FloatArray, n: int, seed: int, backend: str) -> FloatArray:
        from fastinv.kernels.rejection import sample_kinematics

        return sample_kinematics(y_star, n, seed=seed, backend=backend)
