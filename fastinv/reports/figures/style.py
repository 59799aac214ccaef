"""The one place that says how figures look: sizes, type, colours and marks.

Figures are made at the widths of a two-column paper, so that 7 and 8 point type keeps its size in print.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

COLUMN_WIDTH = 3.4
PAGE_WIDTH = 7.0

# A report replaces these by its own variables, so that inline figures follow light and dark.
INK = "#1b1c20"
SOFT_INK = "#5a5d66"
GRID = "#dcdee3"
PAPER = "#ffffff"

TRUTH = "#6b7078"
ACCENT = "#b5362b"
LINE_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))

# Keys are matplotlib's, which only its own stubs can spell out.
RC: dict[Any, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": SOFT_INK,
    "xtick.color": SOFT_INK,
    "ytick.color": SOFT_INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 220,
    # Type 42 keeps text in PDF files selectable and editable.
    "pdf.fonttype": 42,
    # Glyphs as outlines look the same wherever a report is opened.
    "svg.fonttype": "path",
    "svg.hashsalt": "fastinv",
    # Names come from files that anyone may have made; a dollar sign in one is just a dollar sign.
    "text.parse_math": False,
    "text.usetex": False,
}


def styled() -> AbstractContextManager[None]:
    """A context in which matplotlib draws in this style."""
    from matplotlib import rc_context

    return rc_context(RC)


@dataclass(frozen=True)
class Look:
    """Colour and marker of a model, the same in every figure.

    Attributes:
        colour: as #rrggbb; at least 3:1 against white and against the dark report's background.
        marker: matplotlib's sign of it; together with the colour it is unique.
        line: a line style of matplotlib.
    """

    colour: str
    marker: str
    line: Any


# Hues that dichromats tell apart (after Okabe and Ito, darkened); relatives share a hue and differ in marker.
_BLUE, _ORANGE, _GREEN, _PINK, _PURPLE, _OLIVE, _BROWN = (
    "#1f77c4", "#d2620b", "#14936b", "#c9579a", "#8467c9", "#8a8420", "#a5624a",
)  # fmt: skip

_KNOWN = {
    "inn": Look(_BLUE, "o", LINE_STYLES[0]),
    "inn-l2-mmd": Look(_BLUE, "s", LINE_STYLES[1]),
    "cinn": Look(_ORANGE, "o", LINE_STYLES[0]),
    "iaf": Look(_GREEN, "^", LINE_STYLES[0]),
    "maf": Look(_GREEN, "v", LINE_STYLES[1]),
    "iresnet": Look(_PINK, "D", LINE_STYLES[0]),
    "invauto": Look(_PURPLE, "P", LINE_STYLES[0]),
    "autoencoder": Look(_PURPLE, "X", LINE_STYLES[1]),
    "cvae": Look(_OLIVE, "h", LINE_STYLES[0]),
    "mdn": Look(_BROWN, "*", LINE_STYLES[0]),
    "spline": Look(_ORANGE, "s", LINE_STYLES[1]),
    "flow-matching": Look(_BLUE, "D", LINE_STYLES[2]),
    "mcmc": Look(_GREEN, "p", LINE_STYLES[2]),
}
_OTHERS = tuple(
    Look(colour, marker, LINE_STYLES[3])
    for marker in "<>8d"
    for colour in (_PINK, _OLIVE, _BLUE, _ORANGE, _PURPLE, _GREEN, _BROWN)
)


def looks(names: Iterable[str]) -> dict[str, Look]:
    """A look for each model: fixed for the built-in ones, in order of their names for others.

    Examples:
        >>> looks(["cinn"])["cinn"].marker
        'o'
    """
    names = list(names)
    others = sorted({name for name in names if name not in _KNOWN})
    found = dict(_KNOWN)
    found.update({name: _OTHERS[i % len(_OTHERS)] for i, name in enumerate(others)})
    return {name: found[name] for name in names}
