"""A point in the plane of which only the squared distance from the origin is observed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from fastinv.problems import Coordinate, Problem
from fastinv.problems.base import by_array_type

if TYPE_CHECKING:
    import torch


class Ring(Problem):
    """y = x1^2 + x2^2 with x ~ N(0, I): the posterior is uniform on the circle of radius sqrt(y)."""

    name = "ring"
    title = "Ring"
    parameters = (Coordinate("x1"), Coordinate("x2"))
    observed = (Coordinate("y"),)
    has_exact_posterior = True

    def _prior_from_uniforms(self, u: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(ndtri(u))

    def log_prior(self, x: Any) -> Any:
        return -0.5 * (x * x).sum(-1) - np.log(2.0 * np.pi)

    def simulate(self, x: Any) -> Any:
        def numpy_version(x: NDArray[Any]) -> NDArray[Any]:
            return np.square(x).sum(-1, keepdims=True)

        def torch_version(x: torch.Tensor) -> torch.Tensor:
            return x.square().sum(-1, keepdim=True)

        # Checks the shape, and takes lists and integers as well.
        return by_array_type(x, numpy_version, torch_version, self.dim_x)

    def _sample_exact_posterior(
        self, y_star: NDArray[np.float64], n: int, seed: int, backend: str
    ) -> NDArray[np.float64]:
        # One generator per observation: its samples depend on nothing but the seed, its index and its y*.
        angles = [np.random.default_rng((seed, i)).uniform(0.0, 2.0 * np.pi, n) for i in range(len(y_star))]
        t = np.stack(angles)
        return np.sqrt(y_star)[:, :, None] * np.stack([np.cos(t), np.sin(t)], axis=-1)
