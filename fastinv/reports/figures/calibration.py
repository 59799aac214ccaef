"""Calibration: ranks of the truth among samples, and what they say of credible intervals."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.reports.figures.data import FigureData
from fastinv.reports.figures.panels import grid, heading, new_figure
from fastinv.reports.figures.samples import CALIBRATION_SAMPLES
from fastinv.reports.figures.style import COLUMN_WIDTH, GRID, INK, LINE_STYLES, SOFT_INK

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Of the Kolmogorov-Smirnov statistic at 5%; conservative for ranks, which are discrete.
KOLMOGOROV = 1.358


def rank_deviation(ranks: IntArray, samples: int = CALIBRATION_SAMPLES) -> FloatArray:
    """Distribution function of ranks less that of uniform ranks, at 0 ... L.

    Args:
        ranks: shape (N,), each in 0 ... L.
        samples: L.

    Examples:
        >>> rank_deviation(np.arange(4), samples=3).tolist()
        [0.0, 0.0, 0.0, 0.0]
    """
    counts = np.bincount(ranks, minlength=samples + 1)
    expected = np.arange(1, samples + 2) / (samples + 1)
    return np.asarray(np.cumsum(counts) / len(ranks) - expected)


def coverage(ranks: IntArray, levels: FloatArray, samples: int = CALIBRATION_SAMPLES) -> FloatArray:
    """How often central intervals of given levels hold the truth, over all observations and coordinates.

    Args:
        ranks: shape (N, d), each in 0 ... L.
        levels: in (0, 1), shape (K,).
        samples: L.

    Returns:
        Shape (K,); equal to the levels for a calibrated model.

    Examples:
        >>> coverage(np.arange(100)[:, None], np.array([0.5, 0.9])).tolist()
        [0.5, 0.9]
    """
    # A rank stands for an interval of the uniform distribution; its middle is what counts.
    centre = np.abs((ranks + 0.5) / (samples + 1) - 0.5)
    return np.asarray((centre[..., None] < levels / 2.0).mean(axis=(0, 1)))


def draw_ranks(data: FigureData) -> Figure | None:
    """Simulation-based calibration: per model, the ranks' distribution less the uniform one."""
    if not data.ranks:
        return None
    figure, axes = grid(len(data.ranks), 0.62, extra=0.55)
    at = np.linspace(0.0, 1.0, CALIBRATION_SAMPLES + 1)
    handles = []
    for ax, (name, ranks) in zip(axes, data.ranks.items(), strict=True):
        band = KOLMOGOROV / math.sqrt(len(ranks))
        ax.axhspan(-band, band, color=GRID, linewidth=0.0, zorder=0)
        handles = [
            ax.plot(
                at, rank_deviation(column), color=data.looks[name].colour, linestyle=style, linewidth=1.0
            )[0]
            for column, style in zip(ranks.T, LINE_STYLES * len(ranks.T), strict=False)
        ]
        heading(ax, data.title(name), data.looks[name].colour)
    limit = max(0.3, min(1.0, max(np.abs(ax.get_ylim()).max() for ax in axes)))
    axes[0].set(xlim=(0.0, 1.0), ylim=(-limit, limit), xticks=(0.0, 0.5, 1.0), xticklabels=("0", "0.5", "1"))
    figure.supxlabel("rank of the true value, as a share", fontsize=8)
    figure.supylabel("distribution less uniform", fontsize=8)
    names = [coordinate.name for coordinate in data.problem.parameters]
    legend = figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=3.0)
    for handle in legend.get_lines():
        handle.set_color(INK)
    return figure


def draw_coverage(data: FigureData) -> Figure | None:
    """Empirical coverage of central credible intervals less their level, one line per model."""
    if not data.ranks:
        return None
    columns = 3
    figure = new_figure(COLUMN_WIDTH, 2.4 + 0.14 * math.ceil(len(data.ranks) / columns))
    ax = figure.subplots()
    levels = np.linspace(0.02, 0.98, 49)
    for i, (name, ranks) in enumerate(data.ranks.items()):
        look = data.looks[name]
        ax.plot(
            levels, coverage(ranks, levels) - levels, color=look.colour, linestyle=look.line, linewidth=1.0,
            marker=look.marker, markersize=3.5, markevery=(2 + i % 8, 10), label=data.title(name),
        )  # fmt: skip
    ax.axhline(0.0, color=SOFT_INK, linewidth=0.8, zorder=1)
    ax.set(xlim=(0.0, 1.0), xlabel="level of the central interval", ylabel="coverage less level")
    ax.grid()
    figure.legend(
        loc="outside lower center", ncols=columns, handlelength=2.6, columnspacing=1.2, fontsize=6.5
    )
    return figure
