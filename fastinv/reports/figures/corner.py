"""Corner plots: all marginals of one posterior, the truth against a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.problems import Coordinate
from fastinv.reports.figures.data import FigureData
from fastinv.reports.figures.density import contour, profile
from fastinv.reports.figures.panels import new_figure
from fastinv.reports.figures.style import PAGE_WIDTH, TRUTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

SHARES = (0.9, 0.5)
SMALLEST = 0.02  # bandwidth at least, in units of the axis


def draw_corner(data: FigureData, model: str) -> Figure | None:
    """Marginals of the true posterior (grey) and of a model's (its colour) for one observation.

    Args:
        data: what there is to draw.
        model: a name.

    Returns:
        The figure; None where the model has no samples.
    """
    from matplotlib.patches import Patch

    if model not in data.samples:
        return None
    x, colour = data.samples[model], data.looks[model].colour
    coordinates = data.problem.parameters
    d = len(coordinates)
    limits = [_limits(data.truth[:, i], x[:, i]) for i in range(d)]
    figure = new_figure(0.75 * PAGE_WIDTH, 0.75 * PAGE_WIDTH)
    axes = figure.subplots(d, d, sharex="col")
    for row in range(d):
        for column in range(d):
            ax = axes[row][column]
            if column > row:
                ax.set_axis_off()
            elif column == row:
                _marginal(ax, coordinates[row], limits[row], data.truth[:, row], x[:, row], colour)
            else:
                pair = [column, row]
                _joint(ax, data.truth[:, pair], x[:, pair], [limits[i] for i in pair], colour)
            _label(ax, row, column, coordinates, limits)
    handles = [Patch(edgecolor=ink, facecolor=f"{ink}59") for ink in (TRUTH, colour)]
    figure.legend(
        handles, ["true posterior", data.title(model)], title=f"{data.problem.name}, y* = {data.y_text}",
        loc="upper right", fontsize=8, title_fontsize=8, alignment="left", bbox_to_anchor=(0.97, 0.97),
    )  # fmt: skip
    return figure


def _limits(truth: FloatArray, model: FloatArray) -> tuple[float, float]:
    both = np.concatenate([truth, model])
    low, high = np.quantile(both, [0.005, 0.995])
    # A model's wild tails must not squeeze the truth into a corner.
    reach = 2.0 * max(float(np.ptp(truth)), 1e-6)
    low, high = max(low, truth.min() - reach), min(high, truth.max() + reach)
    margin = 0.08 * max(high - low, 1e-6)
    return float(low - margin), float(high + margin)


def _marginal(
    ax: Axes,
    coordinate: Coordinate,
    limits: tuple[float, float],
    truth: FloatArray,
    x: FloatArray,
    colour: str,
) -> None:
    for values, edge, face in ((truth, TRUTH, f"{TRUTH}59"), (x, colour, f"{colour}33")):
        if coordinate.kind == "count":
            where = np.arange(np.floor(limits[0]) - 0.5, np.ceil(limits[1]) + 1.0)
            height = np.histogram(values, where)[0] / len(values)
            ax.stairs(height, where, edgecolor=edge, facecolor=face, fill=True, linewidth=1.0)
        else:
            grid = np.linspace(*limits, 200)
            smallest = SMALLEST / 2 * (limits[1] - limits[0])
            height = profile(values, grid, smallest)
            height = height / (height.sum() or 1.0)
            ax.fill_between(grid, height, edgecolor=edge, facecolor=face, linewidth=1.0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_ylim(bottom=0.0)


def _joint(
    ax: Axes, truth: FloatArray, x: FloatArray, limits: list[tuple[float, float]], colour: str
) -> None:
    spans = np.array([high - low for low, high in limits])
    # Contours in units of the axes, so that both directions are smoothed alike.
    for values, ink in ((truth, TRUTH), (x, colour)):
        unit = (values - [low for low, _ in limits]) / spans
        unit = unit[((unit > -0.5) & (unit < 1.5)).all(axis=1)]
        if len(unit) < 10:
            continue
        for share in SHARES:
            c = contour(unit, share, SMALLEST)
            across, up = (
                grid * span + low for grid, span, (low, _) in zip((c.x, c.y), spans, limits, strict=True)
            )
            if ink == TRUTH:
                ax.contourf(across, up, c.density, levels=[c.level, np.inf], colors=[ink], alpha=0.28)
            else:
                ax.contour(across, up, c.density, levels=[c.level], colors=[ink], linewidths=1.0)
    ax.set_ylim(*limits[1])


def _label(
    ax: Axes, row: int, column: int, coordinates: tuple[Coordinate, ...], limits: list[tuple[float, float]]
) -> None:
    ax.set_xlim(*limits[column])
    ax.locator_params(axis="x", nbins=3)
    last = row == len(coordinates) - 1
    if last:
        ax.set_xlabel(_name(coordinates[column]))
    if column == 0 and row > 0:
        ax.set_ylabel(_name(coordinates[row]))
    if column != row:
        ax.locator_params(axis="y", nbins=3)
    ax.tick_params(labelbottom=last, labelleft=column == 0 and row > 0)


def _name(coordinate: Coordinate) -> str:
    return f"{coordinate.name} ({coordinate.unit})" if coordinate.unit else coordinate.name
