"""Small multiples: the truth and one panel per model, all on the same axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fastinv.reports.figures.style import INK, PAGE_WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MAX_COLUMNS = 5
HEADING_HEIGHT = 0.28


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that spaces its axes by itself; sizes in inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(w_pad=0.04, h_pad=0.05))


def grid(n: int, aspect: float, *, share: bool = True, extra: float = 0.3) -> tuple[Figure, list[Axes]]:
    """A figure with n panels, as wide as a page or, for a few panels, narrower.

    Args:
        n: number of panels.
        aspect: height of a panel over its width.
        share: whether all panels share their axes.
        extra: inches for labels and legend.

    Returns:
        The figure and its axes, row by row.
    """
    # 6 panels look better as 3 + 3 than as 5 + 1.
    columns = math.ceil(n / math.ceil(n / MAX_COLUMNS))
    rows = math.ceil(n / columns)
    width = PAGE_WIDTH * min(1.0, columns / 3)
    figure = new_figure(width, rows * (width / columns * aspect + HEADING_HEIGHT) + extra)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=share, sharey=share)
    flat = list(axes.flat)
    for ax in flat[n:]:
        ax.set_axis_off()
    for ax in flat[n - columns : n]:
        # The last row may be shorter: whoever has nobody below shows the labels.
        ax.tick_params(labelbottom=True)
    return figure, flat[:n]


def heading(ax: Axes, text: str, colour: str) -> None:
    """A panel's title over a bar in the model's colour; the text itself must stay legible."""
    ax.set_title(text, color=INK, loc="left", pad=6)
    ax.plot(
        [0.0, 0.2], [1.02, 1.02], transform=ax.transAxes, color=colour, linewidth=1.8, clip_on=False,
        solid_capstyle="butt",
    )  # fmt: skip


def plain_decades(axis: Axis) -> None:
    """Ticks of a logarithmic axis as plain numbers; 1, 2, 5 where there is room for no two decades.

    Raised exponents would need mathematical text, which is off (see `style.RC`).
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    decades = math.log10(high / low) if low > 0.0 else 9.0
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 1.6 else (1.0,), numticks=7))
    axis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:g}".replace("e-0", "e-").replace("e+0", "e"))
    )
    axis.set_minor_formatter(NullFormatter())
