"""Densities of a few thousand points: modes by mean shift, contours that hold a share of the points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

STARTS = 100
MAX_STEPS = 200
GRID_SIZE = 120


def most_likely(points: FloatArray, bandwidth: float | None = None) -> FloatArray:
    """The highest mode of a Gaussian kernel density, found by mean shift.

    Args:
        points: shape (n, d), finite.
        bandwidth: of the kernel, in standard deviations of each coordinate; Scott's n^(-1/(d+4)) if None.

    Returns:
        Shape (d,).

    Source: Comaniciu and Meer (2002), *Mean shift*, IEEE TPAMI 24.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> heap = rng.normal(3.0, 0.1, size=(300, 1))
        >>> rest = rng.uniform(-5.0, 5.0, size=(100, 1))
        >>> bool(abs(most_likely(np.concatenate([heap, rest]), 0.05)[0] - 3.0) < 0.05)
        True
    """
    n, d = points.shape
    scale = points.std(axis=0)
    scale[scale == 0.0] = 1.0
    width = bandwidth if bandwidth is not None else n ** (-1.0 / (d + 4))
    z = points / (scale * width)
    at = z[:: max(1, n // STARTS)]
    weights = _kernel(at, z)
    # The densest starts lead to the highest mode; the others would be carried along for nothing.
    at = at[np.argsort(weights.sum(axis=1))[-STARTS // 4 :]]
    for _ in range(MAX_STEPS):
        weights = _kernel(at, z)
        moved = weights @ z / weights.sum(axis=1, keepdims=True)
        step = np.abs(moved - at).max()
        at = moved
        if step < 1e-3:
            break
    best: FloatArray = at[np.argmax(_kernel(at, z).sum(axis=1))] * scale * width
    return best


def _kernel(a: FloatArray, b: FloatArray) -> FloatArray:
    distance = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2.0 * a @ b.T
    return np.asarray(np.exp(-0.5 * np.maximum(distance, 0.0)))


@dataclass(frozen=True)
class Contour:
    """A density on a grid and the level whose contour holds a given share of the points.

    Attributes:
        x: grid abscissae, shape (G,).
        y: grid ordinates, shape (G,).
        density: shape (G, G), rows along y.
        level: density of the contour.
    """

    x: FloatArray
    y: FloatArray
    density: FloatArray
    level: float


def contour(points: FloatArray, share: float, smallest: float) -> Contour:
    """The contour of a kernel density that holds a share of two-dimensional points.

    Args:
        points: shape (n, 2), finite.
        share: in (0, 1).
        smallest: bandwidth at least, so that points that all coincide still have a visible contour.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> c = contour(rng.normal(size=(2000, 2)), 0.97, 0.01)
        >>> inside = (c.density > c.level).sum() * (c.x[1] - c.x[0]) * (c.y[1] - c.y[0])
        >>> bool(19.0 < inside < 25.0)  # the exact contour is a circle of area 22.0
        True
    """
    n = len(points)
    quartiles = np.quantile(points, [0.25, 0.75], axis=0)
    # The interquartile range: a few wild points must not smear the contour of all others.
    spread = np.minimum(points.std(axis=0), (quartiles[1] - quartiles[0]) / 1.349)
    width = np.maximum(spread * n ** (-1.0 / 6.0), smallest)
    low, high = np.quantile(points, [0.002, 0.998], axis=0)
    axes = [np.linspace(low[i] - 4 * width[i], high[i] + 4 * width[i], GRID_SIZE) for i in range(2)]
    along = [_gauss((axes[i][:, None] - points[None, :, i]) / width[i]) for i in range(2)]
    density = along[1] @ along[0].T
    at_points = _kernel(points / width, points / width).sum(axis=1)
    return Contour(axes[0], axes[1], density, float(np.quantile(at_points, 1.0 - share)))


def profile(values: FloatArray, grid: FloatArray, smallest: float) -> FloatArray:
    """A one-dimensional kernel density on a grid, its highest value 1.

    Args:
        values: shape (n,), finite.
        grid: shape (G,).
        smallest: bandwidth at least.
    """
    quartiles = np.quantile(values, [0.25, 0.75])
    spread = min(float(values.std()), float(quartiles[1] - quartiles[0]) / 1.349)
    width = max(0.9 * spread * len(values) ** -0.2, smallest)
    density = _gauss((grid[:, None] - values[None]) / width).sum(axis=1)
    top = density.max()
    return np.asarray(density / top if top > 0.0 else density)


def _gauss(z: FloatArray) -> FloatArray:
    return np.asarray(np.exp(-0.5 * z**2))
