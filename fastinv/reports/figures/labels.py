"""Names beside points, so that no legend has to be matched by colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.reports.figures.style import INK, PAPER, SOFT_INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

FONT_SIZE = 7.0
# Offsets in points and alignments, the most natural first; the far ones get a leader line.
_PLACES = [
    (dx * r, dy * r, "left" if dx > 0.1 else "right" if dx < -0.1 else "center", r)
    for r in (6.0, 10.0, 16.0, 24.0, 34.0, 46.0)
    for dx, dy in ((1, 0), (0.8, 0.8), (0.8, -0.8), (0, 1.1), (0, -1.1), (-1, 0), (-0.8, 0.8), (-0.8, -0.8))
]
_LEADER_FROM = 12.0


def place_labels(
    ax: Axes, points: Sequence[tuple[float, float]], names: Sequence[str], lines: Sequence[Line2D] = ()
) -> None:
    """Write a name beside each point where it covers neither another name nor another point.

    Args:
        ax: axes with their final limits.
        points: in data coordinates.
        names: one for each point.
        lines: vertical lines (intervals) that names had better not cover either.
    """
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    frame = ax.get_window_extent()
    scale = figure.get_dpi() / 72.0
    taken = [_around(ax.transData.transform(np.array(point)), 4.0 * scale) for point in points]
    upright = [_upright(line) for line in lines if line.get_transform() == ax.transData]
    # From the outside in: a name at the rim has fewer places to go.
    centre = (frame.x0 + frame.width / 2, frame.y0 + frame.height / 2)
    order = sorted(range(len(points)), key=lambda i: -_distance(taken[i], centre))
    for i in order:
        others = [*taken[:i], *taken[i + 1 :], *(box for box in upright if box is not None)]
        taken.append(_write(ax, points[i], names[i], others, frame))


def _upright(line: Line2D) -> Bbox | None:
    """The box around a vertical line in pixels, None for any other line."""
    from matplotlib.transforms import Bbox

    at = line.get_transform().transform(line.get_xydata())
    if len(at) != 2 or at[0, 0] != at[1, 0]:
        return None
    return Bbox([[at[0, 0] - 1.0, at[:, 1].min()], [at[0, 0] + 1.0, at[:, 1].max()]])


def _write(ax: Axes, point: tuple[float, float], name: str, others: Sequence[Bbox], frame: Bbox) -> Bbox:
    """Write one name at the first free place; at the least crowded one where none is free."""
    best: tuple[float, tuple[float, float, str, float]] | None = None
    for place in _PLACES:
        text = _annotate(ax, point, name, place)
        box = text.get_window_extent()
        text.remove()
        covered = sum(_overlap(box, other) for other in others) + 10.0 * _outside(box, frame)
        if best is None or covered < best[0]:
            best = covered, place
        if covered == 0.0:
            break
    assert best is not None
    return _annotate(ax, point, name, best[1]).get_window_extent()


def _annotate(
    ax: Axes, point: tuple[float, float], name: str, place: tuple[float, float, str, float]
) -> Annotation:
    from matplotlib.patheffects import withStroke

    dx, dy, side, radius = place
    leader = {"arrowstyle": "-", "color": SOFT_INK, "linewidth": 0.4, "shrinkA": 0.0, "shrinkB": 3.0}
    return ax.annotate(
        name, point, (dx, dy), textcoords="offset points", ha=side, va="center", fontsize=FONT_SIZE,
        color=INK, arrowprops=leader if radius >= _LEADER_FROM else None, zorder=5,
        path_effects=[withStroke(linewidth=2.0, foreground=PAPER)],
    )  # fmt: skip


def _around(centre: NDArray[np.float64], radius: float) -> Bbox:
    from matplotlib.transforms import Bbox

    x, y = centre
    return Bbox([[x - radius, y - radius], [x + radius, y + radius]])


def _distance(box: Bbox, centre: tuple[float, float]) -> float:
    return float((box.x0 - centre[0]) ** 2 + (box.y0 - centre[1]) ** 2)


def _overlap(a: Bbox, b: Bbox) -> float:
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    return float(width * height) if width > 0.0 and height > 0.0 else 0.0


def _outside(box: Bbox, frame: Bbox) -> float:
    inside = _overlap(box, frame)
    return float(box.width * box.height - inside)
