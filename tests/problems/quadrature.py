"""Posterior moments by numerical integration, in other coordinates than those the samplers use."""

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection.ballistics_reference import Throw, reach

FloatArray = NDArray[np.float64]

LENGTHS = (0.5, 0.5, 1.0)
SIGMA_RAIL, SIGMA_JOINT = 0.25, 0.5
TURNS = 2.0 * np.pi * np.arange(-2, 3)


def moments_of(x: FloatArray) -> FloatArray:
    """First and second moments of samples, shape (n, 4) -> (n, 14): x_i, then x_i x_j for i <= j."""
    i, j = np.triu_indices(4)
    return np.concatenate([x, x[:, i] * x[:, j]], axis=1)


def _joint_moments(angle: FloatArray) -> FloatArray:
    """Sums over full turns of density, density x, density x^2; shape (3, ...)."""
    total = np.zeros((3, *angle.shape))
    for turn in TURNS:
        x = angle + turn
        density = np.exp(-0.5 * (x / SIGMA_JOINT) ** 2)
        total += np.stack([density, density * x, density * x * x])
    return total


def kinematics_moments(y: FloatArray, n_a: int = 600, n_b: int = 300) -> FloatArray:
    """The 14 posterior moments of the arm, by integrating over the absolute angles (a, b) of the inner links.

    c = +-arccos(u) with u = y2 - l1 cos a - l2 cos b has the measure da db / (l3 |sin c|). For the lengths of
    the benchmark and y2 >= 0 the sine vanishes where cos b falls to a limit (for y2 < 0: rises to one), and a
    has such a limit, too; angle = middle + half sin(phi) takes the square roots out of the integrand.
    """
    middle = 0.0 if y[1] >= 0 else np.pi
    widest = np.arccos(np.clip(2.0 * abs(y[1]) - 3.0, -1.0, 1.0))
    a, jacobian_a = _nodes(middle, np.array([widest]), n_a)
    limit = 2.0 * (abs(y[1]) - 0.5 * np.cos(a[0] - middle) - 1.0)
    b, jacobian = _nodes(middle, np.arccos(np.clip(limit, -1.0, 1.0)), n_b)
    jacobian = jacobian * jacobian_a[0, :, None]
    a = np.broadcast_to(a[0, :, None], b.shape)
    u = np.clip(y[1] - 0.5 * np.cos(a) - 0.5 * np.cos(b), -1.0, 1.0)
    sine = np.sqrt((1.0 - u) * (1.0 + u))
    total = np.zeros((3, 3, 3, 3))
    inner = _outer(_joint_moments(_wrap(a)), _joint_moments(_wrap(b - a)))
    for sign in (-1.0, 1.0):
        c = sign * np.arccos(u)
        rail = y[0] - 0.5 * np.sin(a) - 0.5 * np.sin(b) - sign * sine
        weight = np.exp(-0.5 * (rail / SIGMA_RAIL) ** 2) * jacobian / np.maximum(sine, 1e-300)
        powers = np.stack([weight, weight * rail, weight * rail * rail])
        outer = _outer(powers, _joint_moments(_wrap(c - b)))
        # A joint's powers are summed over its turns; indices: powers of x1, x4, x2, x3.
        total += (outer @ inner.T).reshape(3, 3, 3, 3)
    total = total.transpose(0, 2, 3, 1) / total[0, 0, 0, 0]
    unit = np.eye(4, dtype=int)
    pairs = zip(*np.triu_indices(4), strict=True)
    return np.array([total[tuple(p)] for p in (*unit, *(unit[i] + unit[j] for i, j in pairs))])


def _outer(one: FloatArray, other: FloatArray) -> FloatArray:
    """All products of a row of each, at all nodes; shapes (3, ...), (3, ...) -> (9, n)."""
    return (one[:, None] * other[None]).reshape(9, -1)


def _nodes(middle: float, half: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Midpoint nodes and weights on middle +- half: the whole circle as it is, less of it through a sine."""
    phi = np.pi * (np.arange(n) + 0.5) / n - 0.5 * np.pi
    whole = half[:, None] >= np.pi
    position = np.where(whole, phi / (0.5 * np.pi), np.sin(phi))
    weight = np.where(whole, 1.0 / (0.5 * np.pi), np.cos(phi)) * half[:, None]
    return middle + half[:, None] * position, weight


def _wrap(angle: FloatArray) -> FloatArray:
    return np.asarray(angle - 2.0 * np.pi * np.round(angle / (2.0 * np.pi)))


class BallisticsQuadrature:
    """Posterior moments of the throw: a sum over counts and a product rule over height and angle."""

    def __init__(self, counts: int = 70, n_height: int = 160, n_angle: int = 60) -> None:
        throw = self.throw = Throw()
        nodes, weights = np.polynomial.legendre.leggauss(n_angle)
        middle = 0.5 * (throw.angle_min + throw.angle_max)
        angle = middle + 0.5 * (throw.angle_max - throw.angle_min) * nodes
        z = np.linspace(-7.0, 7.0, n_height)
        x4, x2, x3 = np.meshgrid(np.arange(counts), throw.x2_mean + throw.x2_sigma * z, angle, indexing="ij")
        self.x = np.stack([x4, x2, x3], axis=-1).reshape(-1, 3)
        self.reach = reach(self.x[:, 1], self.x[:, 2], self.x[:, 0], throw)
        mass = np.concatenate([[1.0], np.cumprod(throw.rate / np.arange(1, counts))])
        grid = mass[:, None, None] * np.exp(-0.5 * z**2)[None, :, None] * weights[None, None, :]
        self.weight = np.where(np.isnan(self.reach), 0.0, grid.ravel())
        self.reach = np.nan_to_num(self.reach)

    def moments(self, y: float) -> FloatArray:
        """The 14 posterior moments."""
        x1 = y - self.reach
        weight = self.weight * np.exp(-0.5 * (x1 / self.throw.x1_sigma) ** 2)
        x = np.stack([np.ones_like(x1), x1, self.x[:, 1], self.x[:, 2], self.x[:, 0]])
        all_moments = (x * weight) @ x.T / weight.sum()
        return np.concatenate([all_moments[0, 1:], all_moments[1:, 1:][np.triu_indices(4)]])
