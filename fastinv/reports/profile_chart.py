"""A chart of throughput over batch size for terminals of any kind: letters on a grid, no colour needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

HEIGHT = 12
# Left of the grid: a label of five places, a space, the axis and a space.
MARGIN = 8
SEVERAL = "+"

Series = Mapping[str, Sequence[tuple[float, float]]]


def letters(names: Sequence[str]) -> dict[str, str]:
    """A letter for each name: its own first one that is still free.

    Examples:
        >>> letters(["eager", "compiled", "cudagraph"])
        {'eager': 'e', 'compiled': 'c', 'cudagraph': 'u'}
    """
    chosen: dict[str, str] = {}
    for name in names:
        candidates = [c for c in name + name.upper() + "abcdefghijklmnopqrstuvwxyz" if c.isalnum()]
        chosen[name] = next(c for c in candidates if c not in chosen.values())
    return chosen


def short(value: float) -> str:
    """A positive figure in at most five places.

    Examples:
        >>> [short(v) for v in (0.5, 12.3, 999.6, 1234, 250_000, 3.2e6, 4.5e9)]
        ['0.50', '12', '1.0k', '1.2k', '250k', '3.2M', '4.5G']
    """
    if value < 9.995:
        return f"{value:.2f}"
    for unit, size in (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        scaled = value / size
        if scaled < 999.5:
            return f"{scaled:.0f}{unit}" if scaled >= 9.95 or not unit else f"{scaled:.1f}{unit}"
    return f"{value:.0e}"


def chart(series: Series, *, width: int = 78, height: int = HEIGHT) -> list[str]:
    """Lines of a chart with logarithmic axes.

    Each series is drawn with the letter of its name; a cell that several share shows "+".

    Args:
        series: (x, y) by name, all positive.
        width: columns of the whole chart.
        height: rows of the grid.

    Returns:
        The grid with its axes and a legend; no lines where there is nothing to draw.
    """
    points = [p for line in series.values() for p in line]
    if not points:
        return []
    columns = width - MARGIN
    x_low, x_high = _decades([x for x, _ in points])
    y_low, y_high = _decades([y for _, y in points])
    grid = [[" "] * columns for _ in range(height)]
    signs = letters(list(series))
    for name, line in series.items():
        for x, y in line:
            column = round((math.log10(x) - x_low) / (x_high - x_low) * (columns - 1))
            row = round((math.log10(y) - y_low) / (y_high - y_low) * (height - 1))
            cell = grid[height - 1 - row][column]
            grid[height - 1 - row][column] = signs[name] if cell in (" ", signs[name]) else SEVERAL
    labels = _row_labels(y_low, y_high, height)
    body = [f"{labels.get(i, ''):>5} | {''.join(row).rstrip()}" for i, row in enumerate(grid)]
    ticks, names = _x_axis(x_low, x_high, columns)
    legend = [f"{sign} {name}" for name, sign in signs.items()]
    legend.append(f"{SEVERAL} several")
    return [*body, f"{'':5} +-{ticks}", f"{'':8}{names}".rstrip(), *_folded(legend, width)]


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Exponents of ten that enclose the values, at least one apart."""
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    return low, max(high, low + 1)


def _row_labels(low: int, high: int, height: int) -> dict[int, str]:
    """Labels of powers of ten by row from the top; where two would share a row, the higher stays."""
    rows: dict[int, str] = {}
    for exponent in range(high, low - 1, -1):
        row = height - 1 - round((exponent - low) / (high - low) * (height - 1))
        rows.setdefault(row, short(10.0**exponent).replace(".00", "").replace(".0", ""))
    return rows


def _x_axis(low: int, high: int, columns: int) -> tuple[str, str]:
    ticks, names = ["-"] * columns, [" "] * columns
    for exponent in range(low, high + 1):
        column = round((exponent - low) / (high - low) * (columns - 1))
        ticks[column] = "+"
        label = short(10.0**exponent).replace(".00", "").replace(".0", "")
        start = min(max(0, column - len(label) // 2), columns - len(label))
        if all(c == " " for c in names[max(0, start - 1) : start + len(label)]):
            names[start : start + len(label)] = label
    return "".join(ticks), "".join(names)


def _folded(words: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 3 + len(word) <= width:
            lines[-1] += f"   {word}"
        else:
            lines.append(f"{'':{MARGIN}}{word}")
    return lines
