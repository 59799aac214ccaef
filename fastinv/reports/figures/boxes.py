"""The paper's Figures 4 and 5: the distribution of both errors over the observations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.reports.figures.data import FigureData
from fastinv.reports.figures.panels import new_figure, plain_decades
from fastinv.reports.figures.style import INK, PAGE_WIDTH, SOFT_INK, TRUTH
from fastinv.store import FLOOR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

LABELS = {"err_post": "Err_post (squared MMD)", "err_resim": "Err_resim (squared distance)"}
# A floor below this is rounding of an exact sampler, and no band could be seen.
ROUNDING = 1e-15
# Scores of hopeless models may be anything; axes of more decades than this cannot be drawn.
SHOWABLE = (1e-30, 1e30)


def draw_boxes(data: FigureData) -> Figure | None:
    """Box plots of both errors, log scale, whiskers over the full range, the floor as a band."""
    rows = data.scored
    if not rows:
        return None
    figure = new_figure(PAGE_WIDTH, 0.75 + 0.22 * len(rows))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, metric in zip(axes, LABELS, strict=True):
        for place, row in enumerate(rows):
            values = data.scores[row.name].get(metric, np.empty(0))
            _box(ax, place, _showable(values), data.looks[row.name].colour)
        ax.set_xscale("log")
        _floor(ax, data.scores[FLOOR].get(metric, np.empty(0)))
        plain_decades(ax.xaxis)
        ax.set_xlabel(LABELS[metric])
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
    axes[0].set_yticks(range(len(rows)), [data.title(row.name) for row in rows])
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _showable(values: FloatArray) -> FloatArray:
    return np.clip(values[np.isfinite(values) & (values > 0.0)], *SHOWABLE)


def _box(ax: Axes, place: int, values: FloatArray, colour: str) -> None:
    if not len(values):
        ax.text(0.5, place, "no finite score", transform=ax.get_yaxis_transform(), ha="center", va="center",
                fontsize=6.5, color=SOFT_INK)  # fmt: skip
        return
    ax.boxplot(
        [values], positions=[place], orientation="horizontal", widths=0.56, whis=(0, 100), manage_ticks=False,
        patch_artist=True, boxprops={"facecolor": f"{colour}59", "edgecolor": colour, "linewidth": 0.8},
        whiskerprops={"color": colour, "linewidth": 0.8}, capprops={"color": colour, "linewidth": 0.8},
        medianprops={"color": INK, "linewidth": 1.4},
    )  # fmt: skip
    ax.plot([values.mean()], [place], marker="D", markersize=3.2, color=INK, markerfacecolor="none", zorder=4)


def _floor(ax: Axes, floor: FloatArray) -> None:
    floor = _showable(floor)
    if not len(floor):
        return
    if np.median(floor) > ROUNDING:
        ax.axvspan(*np.quantile(floor, [0.05, 0.95]), color=TRUTH, alpha=0.22, linewidth=0.0, zorder=0)
        ax.axvline(np.median(floor), color=TRUTH, linewidth=0.9, linestyle=(0, (3, 2)), zorder=1)
        text, where = "floor", float(np.median(floor))
        ax.text(where, 1.01, text, transform=ax.get_xaxis_transform(), ha="center", va="bottom",
                fontsize=7, color=SOFT_INK)  # fmt: skip
    else:
        ax.text(0.0, 1.01, f"← floor below {ROUNDING:g}", transform=ax.transAxes, ha="left", va="bottom",
                fontsize=7, color=SOFT_INK)  # fmt: skip
