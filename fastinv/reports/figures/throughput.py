"""Throughput over batch size, from the inference profiles that a run holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastinv.reports.figures.panels import new_figure, plain_decades
from fastinv.reports.figures.style import COLUMN_WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastinv.reports.figures.data import FigureData

PROFILES = "profiles"
# Profiles are a few kB; a larger file is none.
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Throughput:
    """A model's samples per second.

    Attributes:
        mode: the execution mode, the fastest that keeps float32.
        device: where it was measured.
        points: (samples per call, samples per second), in rising order.
    """

    mode: str
    device: str
    points: tuple[tuple[float, float], ...]


def read_throughput(folder: Path, problem: str, model: str) -> Throughput | None:
    """What a run's saved profile says of a model, a GPU's before a CPU's; None where none can be read.

    Args:
        folder: of the run.
        problem: the problem's name.
        model: the model's name.
    """
    for device in ("cuda", "cpu"):
        path = folder / PROFILES / f"{problem}-{model}-{device}.json"
        try:
            if not path.is_file() or path.stat().st_size > MAX_BYTES:
                continue
            found = _parse(json.loads(path.read_text()), device)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            continue  # anybody's file
        if found.points:
            return found
    return None


def _parse(content: Any, device: str) -> Throughput:
    profile = content["models"][0]
    mode = {mode["mode"]: mode for mode in profile["modes"]}[profile["best"]]
    points = []
    for point in mode["points"]:
        if point["timing"] is not None:
            batch, ms = float(point["batch"]), float(point["timing"]["median_ms"])
            if 0.0 < batch < math.inf and 0.0 < ms < math.inf:
                points.append((batch, batch / (1e-3 * ms)))
    return Throughput(str(mode["mode"])[:20], device, tuple(sorted(points)))


def draw_throughput(data: FigureData) -> Figure | None:
    """Samples per second over samples per call, log-log, a line per model."""
    found: Mapping[str, Throughput] = data.throughput
    if not found:
        return None
    figure = new_figure(COLUMN_WIDTH, 2.6 + 0.12 * len(found))
    ax = figure.subplots()
    ax.set(xscale="log", yscale="log", xlabel="samples per call", ylabel="samples per second")
    # The legend in the order in which the lines end.
    for name in sorted(found, key=lambda name: -found[name].points[-1][1]):
        look, line = data.looks[name], found[name]
        where = f", {line.device}" if len({t.device for t in found.values()}) > 1 else ""
        ax.plot(
            *zip(*line.points, strict=True),
            marker=look.marker, linestyle=look.line, color=look.colour, markersize=4.0,
            label=f"{data.title(name)} ({line.mode}{where})",
        )  # fmt: skip
    ax.grid(which="major")
    plain_decades(ax.xaxis)
    plain_decades(ax.yaxis)
    figure.legend(loc="outside lower center", ncols=2 if len(found) > 1 else 1)
    return figure
