"""From a run to its figures and its page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastinv.reports.figures import FORMATS, collect, draw_all, write
from fastinv.reports.results import ProblemResult
from fastinv.store import RunReader

FIGURES, PAGE = "figures", "report.html"


@dataclass(frozen=True)
class Made:
    """What a report consists of.

    Attributes:
        figures: files of the figures.
        page: the page's text, None if none was asked for.
        notes: what is missing from the figures, and why.
    """

    figures: tuple[Path, ...]
    page: str | None
    notes: tuple[str, ...]


def make_report(
    run: RunReader,
    results: Sequence[ProblemResult],
    *,
    figures: Path | None = None,
    formats: Sequence[str] = FORMATS,
    page: bool = False,
    y_star: Sequence[float] | None = None,
    corners: Sequence[str] | None = None,
    on_step: Callable[[str], None] = lambda what: None,
) -> Made:
    """Draw the figures of a run, write them and make its page.

    Args:
        run: the run; samples are drawn from its checkpoints.
        results: the run's tables; their rows are shown.
        figures: an existing folder for the figures, None for none.
        formats: of the figures' files.
        page: whether to make the page.
        y_star: observation of the posterior figures; the paper's if None.
        corners: models that get a corner plot; the best one of each problem if None.
        on_step: told what is being done.

    Raises:
        UnknownNameError: a problem that is not installed here.
        ValueError: y_star has a wrong shape or no posterior.
        StoreError: the run cannot be read.
        OSError: a figure cannot be written.
    """
    data = [collect(run, result, y_star=y_star, corners=corners, on_step=on_step) for result in results]
    paths: list[Path] = []
    drawings = []
    for drawing in draw_all(data, on_step):
        if figures is not None:
            paths += write(drawing, figures, formats)
        if page:
            from fastinv.reports.html import inline_figure

            drawings.append(inline_figure(drawing))
    notes = tuple(note for one in data for note in one.notes)
    text = None
    if page:
        from fastinv.reports.html import render_page

        on_step("page")
        text = render_page(run.folder.name, results, drawings, notes, run.settings)
    return Made(tuple(paths), text, notes)
