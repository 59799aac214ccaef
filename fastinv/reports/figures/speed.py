"""Error against sampling time, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.reports.figures.data import FigureData
from fastinv.reports.figures.labels import place_labels
from fastinv.reports.figures.panels import new_figure, plain_decades
from fastinv.reports.figures.style import COLUMN_WIDTH, SOFT_INK, TRUTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other point beats or equals in both coordinates, from left to right.

    Of several equal points the first counts.

    Examples:
        >>> pareto_front([(1.0, 5.0), (2.0, 2.0), (3.0, 3.0), (4.0, 1.0)])
        [0, 1, 3]
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if not front or points[i][1] < points[front[-1]][1]:
            front.append(i)
    return front


def draw_speed(data: FigureData) -> Figure | None:
    """Mean Err_post against milliseconds per 1000 samples, log-log; lower left is better."""
    rows = [row for row in data.scored if row.inference_ms and row.scores["err_post"].mean > 0.0]
    if len(rows) < 2:
        return None
    figure = new_figure(COLUMN_WIDTH, 3.15)
    ax = figure.subplots()
    ax.set(xscale="log", yscale="log", xlabel="ms for 1000 samples of one y*", ylabel="Err_post, mean")
    points = [(row.inference_ms or 0.0, row.scores["err_post"].mean) for row in rows]
    front = np.array([points[i] for i in pareto_front(points)])
    ax.step(
        front[:, 0], front[:, 1], where="post", color=TRUTH, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1,
        label="Pareto front: no other is better in both",
    )  # fmt: skip
    for row, point in zip(rows, points, strict=True):
        look, score = data.looks[row.name], row.scores["err_post"]
        ax.plot(*point, marker=look.marker, color=look.colour, markersize=5.5, linestyle="none", zorder=3)
        if np.isfinite(score.low) and score.low > 0.0:
            ax.plot([point[0]] * 2, [score.low, score.high], color=look.colour, linewidth=1.0, zorder=2)
    ax.margins(0.14)
    floor = data.result.floor.scores.get("err_post")
    if floor is not None and floor.mean > 0.0:
        ax.axhline(floor.mean, color=TRUTH, linewidth=0.9, zorder=0)
        # At the left: what is nearest to the floor is rarely the fastest.
        ax.text(0.01, floor.mean, "floor", transform=ax.get_yaxis_transform(), ha="left", va="bottom",
                fontsize=7, color=SOFT_INK)  # fmt: skip
    ax.grid(which="major")
    plain_decades(ax.xaxis)
    plain_decades(ax.yaxis)
    figure.legend(loc="outside lower center")
    place_labels(ax, points, [data.title(row.name) for row in rows], ax.lines)
    return figure
