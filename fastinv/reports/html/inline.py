"""Figures as SVG that lives inside a page: small, with ids of its own, following light and dark."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastinv.reports.figures.style import GRID, INK, PAPER, SOFT_INK, styled

if TYPE_CHECKING:
    from fastinv.reports.figures import Drawing

# Variables of the page's style sheet.
_VARIABLES = {INK: "var(--ink)", SOFT_INK: "var(--soft)", GRID: "var(--grid)", PAPER: "var(--panel)"}
_COLOUR = re.compile("|".join(map(re.escape, _VARIABLES)))
_ROOT = re.compile(r"<svg [^>]*?viewBox=\"0 0 ([\d.]+) ([\d.]+)\"[^>]*>")
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|^.*?(?=<svg )", re.DOTALL)
_ID = re.compile(r"(\bid=\"|url\(#|href=\"#)")
_PATH = re.compile(r" d=\"[^\"]*\"")
_LONG = re.compile(r"-?\d+\.\d{2,}")
SCREEN_SCALE = 1.45  # screens are read from further away than paper
WIDE = 300.0  # points; wider figures get a frame that scrolls on a phone


@dataclass(frozen=True)
class InlineFigure:
    """A figure inside a page.

    Attributes:
        name: unique in the page.
        problem: what it is about, empty for all.
        title: heading.
        caption: what it shows and how to read it; also its description for those who cannot see it.
        svg: the element.
        wide: whether it fills the page's width.
    """

    name: str
    problem: str
    title: str
    caption: str
    svg: str
    wide: bool


def inline_figure(drawing: Drawing) -> InlineFigure:
    """A drawing as an element of a page."""
    out = io.StringIO()
    with styled():
        drawing.figure.savefig(out, format="svg", metadata={"Date": None})
    svg = _UNWANTED.sub("", out.getvalue())
    found = _ROOT.search(svg)
    assert found is not None, "matplotlib writes a viewBox"
    width, height = float(found[1]), float(found[2])
    name = re.sub(r"[^\w-]", "_", drawing.name)
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-caption" '
        f'viewBox="0 0 {width:g} {height:g}" style="max-width: {SCREEN_SCALE * width:.0f}pt">'
    )
    svg = _ID.sub(rf"\g<1>{name}.", svg)
    svg = _PATH.sub(lambda path: _LONG.sub(_shorter, path[0]), svg)
    svg = _COLOUR.sub(lambda colour: _VARIABLES[colour[0]], svg)
    svg = _ROOT.sub(lambda _: root, svg, count=1)
    return InlineFigure(name, drawing.problem, drawing.title, drawing.caption, svg.strip(), width > WIDE)


def _shorter(number: re.Match[str]) -> str:
    """A hundredth of a point is finer than any screen or printer."""
    text = f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
