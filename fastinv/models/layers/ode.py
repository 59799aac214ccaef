"""Explicit Runge-Kutta steps for flows, by number of network calls."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from torch import Tensor

from fastinv.names import UnknownNameError

Velocity = Callable[[Tensor, float], Tensor]


def time_grid(steps: int, power: float) -> list[float]:
    """steps + 1 times from 0 to 1; a power above 1 makes the steps near 1 smaller.

    Examples:
        >>> time_grid(2, 2.0)
        [0.0, 0.75, 1.0]
    """
    return [1.0 - (1.0 - k / steps) ** power for k in range(steps + 1)]


def _euler(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * v(x, t)


def _midpoint(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    return x + h * v(x + 0.5 * h * v(x, t), t + 0.5 * h)


def _heun(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    first = v(x, t)
    return x + 0.5 * h * (first + v(x + h * first, t + h))


def _rk4(v: Velocity, x: Tensor, t: float, h: float) -> Tensor:
    k1 = v(x, t)
    k2 = v(x + 0.5 * h * k1, t + 0.5 * h)
    k3 = v(x + 0.5 * h * k2, t + 0.5 * h)
    k4 = v(x + h * k3, t + h)
    return x + (h / 6.0) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


# name: (one step, network calls per step)
SOLVERS: dict[str, tuple[Callable[[Velocity, Tensor, float, float], Tensor], int]] = {
    "euler": (_euler, 1),
    "midpoint": (_midpoint, 2),
    "heun": (_heun, 2),
    "rk4": (_rk4, 4),
}


def integrate(velocity: Velocity, x: Tensor, grid: list[float], solver: str) -> Tensor:
    """Carry x along dx/dt = velocity(x, t) through the times of `grid`, forwards or backwards.

    Raises:
        UnknownNameError: no such solver.
    """
    if solver not in SOLVERS:
        raise UnknownNameError("ODE solver", solver, SOLVERS)
    step, _ = SOLVERS[solver]
    for t, t_next in pairwise(grid):
        x = step(velocity, x, t, t_next - t)
    return x
