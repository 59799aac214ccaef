"""Learning curves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.reports.figures.data import FigureData
from fastinv.reports.figures.panels import grid, heading
from fastinv.reports.figures.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]


def draw_learning(data: FigureData) -> Figure | None:
    """Training and held-out loss over batches, a panel per model: their losses differ in kind."""
    curves = {name: found for name, found in data.curves.items() if found.get("loss")}
    if not curves:
        return None
    figure, axes = grid(len(curves), 0.62, share=False, extra=0.55)
    for ax, (name, found) in zip(axes, curves.items(), strict=True):
        steps, loss = np.array(found["loss"]).T
        (training,) = ax.plot(steps, loss, color=data.looks[name].colour, linewidth=0.7, alpha=0.55)
        held_out = np.array(found.get("validation_loss") or [(0, np.nan)]).T
        (validation,) = ax.plot(*held_out, color=INK, linewidth=1.1)
        _fit(ax, np.concatenate([loss, held_out[1]]))
        ax.locator_params(axis="both", nbins=3)
        heading(ax, data.title(name), data.looks[name].colour)
    figure.supxlabel("batches", fontsize=8)
    figure.supylabel("loss", fontsize=8)
    labels = ("training", "held out, averaged weights")
    legend = figure.legend([training, validation], labels, loc="outside upper center", ncols=2)
    legend.get_lines()[0].set_color(INK)
    return figure


def _fit(ax: Axes, loss: FloatArray) -> None:
    """Limits that the first few batches, far above all others, do not dictate."""
    finite = loss[np.isfinite(loss)]
    if not len(finite):
        return
    low, high = finite.min(), np.quantile(finite, 0.97)
    margin = 0.06 * (high - low) or 1.0
    ax.set_ylim(low - margin, high + margin)
