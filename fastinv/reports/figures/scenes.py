"""What x stands for, drawn: arms of inverse kinematics, throws of inverse ballistics."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.problems import Problem
from fastinv.problems.ballistics import BallisticsSettings
from fastinv.problems.kinematics import LENGTHS
from fastinv.reports.figures.density import contour, most_likely, profile
from fastinv.reports.figures.style import ACCENT, GRID, INK, SOFT_INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = NDArray[np.float64]
View = tuple[tuple[float, float], tuple[float, float]]
Scene = Callable[["Axes", Problem, FloatArray, str, View], None]

SHOWN = 60
THROW_POINTS = 24
SHARE = 0.97
# Contours of samples that are all but equal would be invisible below these widths (metres).
ARM_BANDWIDTH, IMPACT_BANDWIDTH = 0.015, 0.04
# (horizontal, vertical) limits: of a posterior, and of the prior, which reaches further.
ARM_VIEW: View = ((-0.45, 2.35), (-1.35, 1.35))
ARM_PRIOR_VIEW: View = ((-1.1, 2.5), (-2.5, 2.5))
THROW_VIEW: View = ((-2.0, 11.0), (-2.6, 8.5))
THROW_PRIOR_VIEW: View = ((-2.0, 18.0), (-2.6, 8.5))


def joints(x: FloatArray) -> FloatArray:
    """Where an arm's joints are, from its base on the rail to its end.

    Args:
        x: shape (n, 4).

    Returns:
        Shape (n, 4, 2), (horizontal, vertical).

    Examples:
        >>> joints(np.zeros((1, 4)))[0].tolist()
        [[0.0, 0.0], [0.5, 0.0], [1.0, 0.0], [2.0, 0.0]]
    """
    angles = np.cumsum(x[:, 1:], axis=1)
    steps = np.stack([np.cos(angles), np.sin(angles)], axis=-1) * np.array(LENGTHS)[None, :, None]
    base = np.stack([np.zeros(len(x)), x[:, 0]], axis=-1)[:, None]
    return np.concatenate([base, base + np.cumsum(steps, axis=1)], axis=1)


def flights(x: FloatArray, impact: FloatArray, s: BallisticsSettings) -> FloatArray:
    """Points along throws, from the hand to the ground.

    Args:
        x: shape (n, 4).
        impact: where each lands, shape (n,); NaN for one that never does, which is followed for 2 s.
        s: constants of the throw.

    Returns:
        Shape (n, 24, 2), (horizontal, vertical).
    """
    rate = s.drag / s.mass
    v1, v2 = x[:, 3] * np.cos(x[:, 2]), x[:, 3] * np.sin(x[:, 2])
    with np.errstate(divide="ignore", invalid="ignore"):
        gone = -np.log1p(-(impact - x[:, 0]) * rate / v1) / rate
    gone = np.where(np.isfinite(gone) & (gone > 0.0), gone, 2.0)
    t = np.linspace(0.0, 1.0, THROW_POINTS)[None] * gone[:, None]
    decay = np.expm1(-rate * t)
    horizontal = x[:, :1] - v1[:, None] / rate * decay
    falling = (s.gravity * s.mass + v2[:, None] * s.drag) * decay + s.gravity * s.drag * t
    return np.stack([horizontal, x[:, 1:2] - s.mass / s.drag**2 * falling], axis=-1)


def draw_arms(ax: Axes, problem: Problem, x: FloatArray, colour: str, view: View) -> None:
    """Arms, the most likely one, and the contour that 97% of all end points lie within."""
    from matplotlib.collections import LineCollection

    ends = problem.simulate(x)[:, ::-1]
    lines = LineCollection(list(joints(x[:SHOWN])), colors=colour, linewidths=0.6, alpha=0.22)
    ax.add_collection(lines, autolim=False)
    ax.axvline(0.0, color=SOFT_INK, linewidth=1.0, zorder=0)
    c = contour(ends, SHARE, ARM_BANDWIDTH)
    ax.contour(c.x, c.y, c.density, levels=[c.level], colors=[INK], linewidths=0.8, zorder=4)
    likely = joints(most_likely(x)[None])[0]
    ax.plot(*likely.T, color=INK, linewidth=1.3, marker="o", markersize=2.2, zorder=5)
    ax.set(xlim=view[0], ylim=view[1], aspect="equal")
    ax.set(xticks=range(3), yticks=range(math.ceil(view[1][0]), math.floor(view[1][1]) + 1))
    _say_what_is_outside(ax, ends, view)


def draw_throws(ax: Axes, problem: Problem, x: FloatArray, colour: str, view: View) -> None:
    """Throws, and below the ground the density of all places where they land."""
    from matplotlib.collections import LineCollection

    s: BallisticsSettings = problem.settings  # type: ignore[attr-defined]
    impact = problem.simulate(x)[:, 0]
    paths = flights(x[:SHOWN], impact[:SHOWN], s)
    ax.add_collection(LineCollection(list(paths), colors=colour, linewidths=0.6, alpha=0.22), autolim=False)
    ax.axhline(0.0, color=SOFT_INK, linewidth=0.8, zorder=3)
    landed = impact[np.isfinite(impact)]
    if len(landed) > 1:
        where = np.linspace(*view[0], 240)
        depth = -0.82 * abs(view[1][0]) * profile(landed, where, IMPACT_BANDWIDTH)
        ax.fill_between(where, 0.0, depth, color=colour, alpha=0.55, linewidth=0.0)
        ax.plot(where, depth, color=INK, linewidth=0.5)
    ax.set(xlim=view[0], ylim=view[1], yticks=(0, 3, 6))
    ax.set_xticks(np.arange(0.0, view[0][1], 5.0))
    _say_what_is_outside(ax, np.stack([impact, np.zeros_like(impact)], axis=-1), view)


def _say_what_is_outside(ax: Axes, points: FloatArray, view: View) -> None:
    """An empty panel must not look like a mistake."""
    with np.errstate(invalid="ignore"):
        inside = np.logical_and.reduce(
            [(points[:, i] >= v[0]) & (points[:, i] <= v[1]) for i, v in enumerate(view)]
        )
    share = 1.0 - inside.mean()
    if share >= 0.02:
        text = f"{100 * share:.0f}% end outside"
        ax.text(
            0.97,
            0.96,
            text,
            transform=ax.transAxes,
            ha="right",
            va="top",
            fontsize=6.5,
            color=SOFT_INK,
            zorder=7,
        )


def mark_target(ax: Axes, problem: Problem, y_star: FloatArray) -> None:
    """The observation that the samples are conditioned on."""
    if problem.dim_y == 1:
        ax.plot([y_star[0]], [0.0], marker="v", markersize=4.5, color=ACCENT, zorder=6)
        return
    for line in (ax.axhline(y_star[0]), ax.axvline(y_star[1])):
        line.set(color=GRID, linewidth=0.6, zorder=-1)
    ax.plot([y_star[1]], [y_star[0]], marker="+", markersize=7, color=ACCENT, markeredgewidth=1.3, zorder=6)


@dataclass(frozen=True)
class World:
    """How a problem is drawn.

    Attributes:
        scene: draws samples into axes.
        horizontal: label of the abscissa.
        vertical: label of the ordinate.
        view: limits for posteriors.
        prior_view: limits for the prior.
        aspect: height of a panel over its width.
    """

    scene: Scene
    horizontal: str
    vertical: str
    view: View
    prior_view: View
    aspect: float


_ARM = World(draw_arms, "horizontal (m)", "vertical (m)", ARM_VIEW, ARM_PRIOR_VIEW, 0.8)
_THROW = World(draw_throws, "distance (m)", "height (m)", THROW_VIEW, THROW_PRIOR_VIEW, 0.66)
WORLDS = {"kinematics": _ARM, "ballistics": _THROW, "ballistics-2021code": _THROW}
