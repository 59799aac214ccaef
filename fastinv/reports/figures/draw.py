"""The list of figures, and how they are drawn and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastinv.reports.figures.boxes import draw_boxes
from fastinv.reports.figures.calibration import draw_coverage, draw_ranks
from fastinv.reports.figures.corner import draw_corner
from fastinv.reports.figures.data import FigureData
from fastinv.reports.figures.learning import draw_learning
from fastinv.reports.figures.speed import draw_speed
from fastinv.reports.figures.style import styled
from fastinv.reports.figures.throughput import draw_throughput
from fastinv.reports.figures.worlds import draw_posteriors, draw_priors

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Callable[[], "Figure | None"]

FORMATS = ("pdf", "png")
# Embedding fonts takes most of the time that a PDF takes; figures drawn unasked do without.
QUICK_FORMATS = ("svg", "png")
# Dates would make two files of one run differ.
_METADATA = {
    "pdf": {"CreationDate": None, "Producer": None, "Creator": "fastinv"},
    "svg": {"Date": None, "Creator": "fastinv"},
    "png": {"Software": "fastinv"},
}


@dataclass(frozen=True)
class Drawing:
    """A figure that is ready to be written.

    Attributes:
        name: stem of its file.
        problem: what it is about, empty for all.
        title: heading.
        caption: what it shows and how to read it.
        figure: matplotlib's figure, its layout settled.
    """

    name: str
    problem: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class _Kind:
    name: str
    title: str
    caption: str
    draw: Callable[[FigureData], Figure | None]


_KINDS = (
    _Kind(
        "posteriors",
        "Posteriors at y* = {y}",
        "Samples of the true posterior and of each model's for one observation. {world}",
        draw_posteriors,
    ),
    _Kind(
        "errors",
        "Errors over the observations",
        "Err_post (squared MMD to the true posterior) and Err_resim (squared distance to y* after simulating "
        "again), logarithmic. Boxes: quartiles; whiskers: the full range; diamonds: means; grey band: 5% to "
        "95% of what true samples score against true samples.",
        draw_boxes,
    ),
    _Kind(
        "speed",
        "Error against sampling time",
        "Mean Err_post with its 95% interval against milliseconds for 1000 samples; lower left is better. "
        "Dashed: the models that no other beats in both. Solid: the floor.",
        draw_speed,
    ),
    _Kind(
        "throughput",
        "Throughput",
        "Samples per second over samples per call, of each model whose inference was profiled, in its "
        "fastest mode that keeps float32.",
        draw_throughput,
    ),
    _Kind(
        "coverage",
        "Calibration: coverage",
        "How often central credible intervals hold the true value, less their level, over all coordinates. "
        "Below zero: overconfident; above zero: too wide.",
        draw_coverage,
    ),
    _Kind(
        "calibration",
        "Calibration: ranks of the true value",
        "Simulation-based calibration over 400 draws from the prior: the distribution of the rank of the "
        "true value among 99 samples, less the uniform one. A calibrated model stays within the grey band "
        "(95%, each coordinate on its own); above zero at the left means too many low ranks.",
        draw_ranks,
    ),
    _Kind(
        "learning",
        "Learning curves",
        "Loss on training batches (colour) and on held-out pairs (black). Scales differ: losses of different "
        "models cannot be compared.",
        draw_learning,
    ),
)
_WORLDS = {
    "kinematics": "Thick: the most likely arm (mean shift); contour: 97% of the end points; cross: y*.",
    "ballistics": "Below the ground: density of the impacts; triangle: y*.",
    "ballistics-2021code": "Below the ground: density of the impacts; triangle: y*.",
}
_PRIORS = {name: f"{text.rpartition(';')[0]}." for name, text in _WORLDS.items()}


def draw_all(
    all_data: Sequence[FigureData], on_step: Callable[[str], None] = lambda what: None
) -> Iterator[Drawing]:
    """Every figure that there are data for, one after the other.

    Args:
        all_data: one for each problem; reasons for figures that cannot be drawn are added to its notes.
        on_step: told what is being drawn.
    """
    drawn = (_PRIORS.get(data.problem.name, "") for data in all_data)
    caption = " ".join(
        dict.fromkeys(("What the prior says before anything is observed.", *filter(None, drawn)))
    )
    draw: Draw = partial(draw_priors, [data.problem for data in all_data])
    yield from _settled(all_data[0], "priors", "", "Priors", caption, draw)
    for data in all_data:
        on_step(f"{data.problem.name}: drawing")
        yield from _of_one_problem(data)


def _of_one_problem(data: FigureData) -> Iterator[Drawing]:
    name = data.problem.name
    texts = {"y": data.y_text, "world": _WORLDS.get(name, "")}
    for kind in _KINDS:
        title, caption = kind.title.format(**texts), kind.caption.format(**texts).strip()
        yield from _settled(data, f"{name}-{kind.name}", name, title, caption, partial(kind.draw, data))
    for model in data.corners:
        title = f"{data.title(model)} against the true posterior at y* = {texts['y']}"
        caption = "All marginals. Grey: true samples; colour: the model's. Contours hold 50% and 90%."
        draw = partial(draw_corner, data, model)
        yield from _settled(data, f"{name}-corner-{_plain(model)}", name, title, caption, draw)


def _settled(
    data: FigureData, name: str, problem: str, title: str, caption: str, draw: Draw
) -> Iterator[Drawing]:
    """The figure with its layout settled; nothing, and a note, where it cannot be drawn."""
    with styled():
        try:
            figure = draw()
            if figure is None:
                return
            _lay_out(figure)
        except (ValueError, ArithmeticError, RuntimeError) as error:
            # Scores of hopeless models reach beyond what axes can show; that must not cost the other figures.
            data.notes.append(f"figure {name} is left out: {' '.join(str(error).split())[:200]}")
            return
        # Three formats of one figure need only one layout.
        figure.set_layout_engine("none")
        yield Drawing(name, problem, title, caption, figure)


def _lay_out(figure: Figure) -> None:
    """Settle where everything is."""
    figure.draw_without_rendering()
    if any(ax.get_aspect() != "auto" for ax in figure.axes):
        # Axes of equal scales take their shape while they are drawn, and only then it is known what
        # room their titles need.
        figure.draw_without_rendering()


def write(drawing: Drawing, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a drawing in several formats of pdf, svg and png.

    Returns:
        The files.

    Raises:
        OSError: the folder cannot be written.
    """
    paths = [folder / f"{drawing.name}.{form}" for form in formats]
    with styled():
        for path, form in zip(paths, formats, strict=True):
            drawing.figure.savefig(path, format=form, metadata=_METADATA[form])
    return paths


def _plain(name: str) -> str:
    """A model's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:60]
