"""Inverse ballistics: a throw with linear drag, seen where it hits the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri, pdtr

from fastinv.problems.base import (
    Array,
    Coordinate,
    FloatArray,
    FusedSimulator,
    Problem,
    by_array_type,
)

if TYPE_CHECKING:
    import torch

NEWTON_STEPS = 60


@dataclass(frozen=True)
class BallisticsSettings:
    """Constants of the throw and its prior.

    Attributes:
        gravity: g, m/s^2.
        drag: k, kg/s.
        mass: m, kg.
        x1_sigma: standard deviation of the horizontal start x1 ~ N(0, x1_sigma^2), m.
        x2_mean: mean of the starting height x2, m.
        x2_sigma: standard deviation of the starting height, m.
        angle_min: lower end of the uniform angle x3, rad.
        angle_max: upper end of the uniform angle x3, rad.
        rate: mean of the Poisson speed x4, m/s.
    """

    gravity: float = 9.81
    drag: float = 0.25
    mass: float = 0.2
    x1_sigma: float = 0.5
    x2_mean: float = 1.5
    x2_sigma: float = 0.5
    angle_min: float = math.radians(9.0)
    angle_max: float = math.radians(72.0)
    rate: float = 15.0


class Ballistics(Problem):
    """A throw from (x1, x2) at angle x3 with speed x4 hits the ground at y.

        T1(t) = x1 - (v1 m / k) (exp(-k t / m) - 1)
        T2(t) = x2 - (m / k^2) [(g m + v2 k) (exp(-k t / m) - 1) + g k t]
        y = T1(t*),  T2(t*) = 0 at the rightmost crossing,  v1 = x4 cos x3,  v2 = x4 sin x3

    Prior: x1 ~ N(0, 1/4), x2 ~ N(3/2, 1/4), x3 ~ U(9 deg, 72 deg), x4 ~ Poisson(15), given that the throw
    comes down to the ground at all. x4 is a count. `simulate` returns NaN for a throw that does not.

    Source: Kruse et al. (2021), section "Inverse ballistics"; g, k and m from their public code.
    """

    name = "ballistics"
    title = "Inverse ballistics"
    parameters = (
        Coordinate("x1", "m"),
        Coordinate("x2", "m"),
        Coordinate("x3", "rad", "angle"),
        Coordinate("x4", "m/s", "count"),
    )
    observed = (Coordinate("y", "m"),)
    has_exact_posterior = True
    fused_simulator: FusedSimulator | None = "ballistics"
    settings = BallisticsSettings()

    def _prior_from_uniforms(self, u: FloatArray) -> FloatArray:
        s = self.settings
        return np.stack(
            [
                s.x1_sigma * ndtri(u[:, 0]),
                s.x2_mean + s.x2_sigma * ndtri(u[:, 1]),
                s.angle_min + (s.angle_max - s.angle_min) * u[:, 2],
                _poisson_quantile(u[:, 3], s.rate),
            ],
            axis=1,
        )

    def _in_prior(self, x: FloatArray) -> NDArray[np.bool_]:
        lands: NDArray[np.bool_] = np.isfinite(self.simulate(x)).all(axis=-1)
        return lands

    def log_prior(self, x: Array) -> Array:
        """Log-density in (x1, x2, x3), log-mass in x4; see `Problem.log_prior`.

        The constant that accounts for throws which never land (3e-3 of all draws or less) is left out.
        """

        def numpy_version(x: NDArray[Any]) -> NDArray[Any]:
            inside = self._inside_support(x) & np.isfinite(self.simulate(x)).all(-1)
            speed = np.where(inside, x[..., 3], 0.0)
            return np.where(inside, self._log_density(x, speed, gammaln(speed + 1.0)), -np.inf)

        def torch_version(x: torch.Tensor) -> torch.Tensor:
            import torch

            inside = self._inside_support(x) & torch.isfinite(self.simulate(x)).all(-1)
            speed = torch.where(inside, x[..., 3], torch.zeros_like(x[..., 3]))
            density = self._log_density(x, speed, torch.lgamma(speed + 1.0))
            return torch.where(inside, density, torch.full_like(density, -math.inf))

        result: Array = by_array_type(x, numpy_version, torch_version, self.dim_x)
        return result

    def _inside_support(self, x: Any) -> Any:
        s = self.settings
        angle, speed = x[..., 2], x[..., 3]
        return (angle >= s.angle_min) & (angle <= s.angle_max) & (speed >= 0) & (speed == speed.round())

    def _log_density(self, x: Any, speed: Any, log_factorial: Any) -> Any:
        s = self.settings
        z1 = x[..., 0] / s.x1_sigma
        z2 = (x[..., 1] - s.x2_mean) / s.x2_sigma
        log_norm = math.log(2.0 * math.pi * s.x1_sigma * s.x2_sigma * (s.angle_max - s.angle_min))
        return speed * math.log(s.rate) - s.rate - log_factorial - 0.5 * (z1 * z1 + z2 * z2) - log_norm

    def simulate(self, x: Array) -> Array:
        """Where the throw lands, NaN where it never does; see `Problem.simulate`."""
        result: Array = by_array_type(x, self._simulate_numpy, self._simulate_torch, self.dim_x)
        return result

    def _simulate_numpy(self, x: NDArray[Any]) -> NDArray[Any]:
        rows = x.reshape(-1, self.dim_x)
        impact = np.concatenate([self._impact(chunk) for chunk in _in_chunks(rows)])
        return impact.reshape(*x.shape[:-1], 1)

    def _impact(self, x: NDArray[Any]) -> NDArray[Any]:
        s = self.settings
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            a, b, c = self._impact_equation(x, np.sin(x[:, 2]))
            # A throw lands unless its highest point is below the ground or lies in the past.
            lowest = np.log(np.maximum(a, b) / b)
            lands = (a * np.exp(-lowest) + b * lowest <= c) | (a <= b)
            time = c / b
            # Each row goes on until its own step vanishes, whatever rows are beside it.
            going = np.flatnonzero(lands)
            for _ in range(NEWTON_STEPS):
                now, up, level = time[going], a[going], c[going]
                decay = up * np.exp(-now)
                step = (decay + b * now - level) / (b - decay)
                time[going] = now = now - np.where(np.isfinite(step), step, 0.0)
                going = going[np.abs(step) > 4.0 * np.finfo(x.dtype).eps * np.abs(now)]
                if not len(going):
                    break
            lands &= time >= 0
            distance = -x[:, 3] * np.cos(x[:, 2]) * (s.mass / s.drag) * np.expm1(-time)
            impact = np.where(lands, x[:, 0] + distance, np.nan)
        return np.asarray(impact, dtype=x.dtype)

    def _simulate_torch(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        s = self.settings
        a, b, c = self._impact_equation(x, x[..., 2].sin())
        with torch.no_grad():
            time = c / b
            for _ in range(NEWTON_STEPS):
                decay = a * torch.exp(-time)
                step = (decay + b * time - c) / (b - decay)
                time = time - torch.nan_to_num(step, nan=0.0, posinf=0.0, neginf=0.0)
            lowest = torch.log(torch.clamp(a, min=b) / b)
            lands = (a * torch.exp(-lowest) + b * lowest <= c) | (a <= b)
            lands &= time >= 0
        # One Newton step inside the graph gives the implicit derivative of the impact time exactly.
        decay = a * torch.exp(-time)
        time = time - torch.where(
            lands, (decay + b * time - c) / (b - decay).detach(), torch.zeros_like(time)
        )
        distance = -x[..., 3] * x[..., 2].cos() * (s.mass / s.drag) * torch.expm1(-time)
        impact = torch.where(lands, x[..., 0] + distance, torch.full_like(distance, math.nan))
        return impact.unsqueeze(-1)

    def _impact_equation(self, x: Any, sin_angle: Any) -> tuple[Any, float, Any]:
        """(A, B, C) of A exp(-s) + B s = C for the impact at s = k t* / m."""
        s = self.settings
        a = s.gravity * s.mass + s.drag * x[..., 3] * sin_angle
        return a, s.gravity * s.mass, a + x[..., 1] * (s.drag**2 / s.mass)

    def _sample_exact_posterior(self, y_star: FloatArray, n: int, seed: int, backend: str) -> FloatArray:
        from fastinv.kernels.rejection import sample_ballistics

        return sample_ballistics(y_star, n, seed=seed, backend=backend)


class Ballistics2021Code(Ballistics):
    """Ballistics as the public code of 2021 computes it, for comparison with results made by it.

    Differences: the angle is uniform on (9 deg, 81 deg), x2 is clipped at 0, the impact is read off a time
    grid of 1500 points on [0, 6] (the last one above the ground, no interpolation), and throws still in the
    air at t = 6 or already below the ground are dropped (here: NaN, and redrawn in the prior). It has no
    exact posterior sampler.
    """

    name = "ballistics-2021code"
    title = "Inverse ballistics (public code of 2021)"
    has_exact_posterior = False
    fused_simulator = None
    settings = BallisticsSettings(angle_max=math.radians(81.0))
    time_grid = np.linspace(0.0, 6.0, 1500)

    def _prior_from_uniforms(self, u: FloatArray) -> FloatArray:
        x = super()._prior_from_uniforms(u)
        x[:, 1] = np.maximum(x[:, 1], 0.0)
        return x

    def _simulate_numpy(self, x: NDArray[Any]) -> NDArray[Any]:
        flat = x.reshape(-1, self.dim_x)
        return np.concatenate([self._on_grid(rows) for rows in _in_chunks(flat)]).reshape(*x.shape[:-1], 1)

    def _simulate_torch(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        y = self._simulate_numpy(x.detach().cpu().numpy())
        return torch.as_tensor(y, dtype=x.dtype, device=x.device)

    def _on_grid(self, x: NDArray[Any]) -> NDArray[Any]:
        s = self.settings
        time = self.time_grid.astype(x.dtype)
        a, _, _ = self._impact_equation(x, np.sin(x[:, 2]))
        decay = np.expm1(-time * (s.drag / s.mass))
        height = x[:, 1, None] - (s.mass / s.drag**2) * (a[:, None] * decay + s.gravity * s.drag * time)
        # The last grid interval in which the height changes sign from above to below the ground.
        falling = (height[:, :-1] > 0) & (height[:, 1:] <= 0)
        last = falling.shape[1] - 1 - np.argmax(falling[:, ::-1], axis=1)
        distance = -x[:, 3] * np.cos(x[:, 2]) * (s.mass / s.drag) * decay[last]
        return np.where(falling.any(axis=1), x[:, 0] + distance, np.nan).astype(x.dtype)


def _poisson_quantile(u: FloatArray, rate: float) -> FloatArray:
    """The smallest count whose distribution function reaches u, as SciPy's `poisson.ppf`, by table."""
    # Ends where the function is 1 in float64: u, of 53 bits, is below that.
    reach = pdtr(np.arange(rate + 12.0 * math.sqrt(rate) + 40.0), rate)
    return np.searchsorted(reach, u).astype(np.float64)


def _in_chunks(rows: NDArray[Any], size: int = 4096) -> list[NDArray[Any]]:
    return [rows[i : i + size] for i in range(0, max(len(rows), 1), size)]
