"""Figures of a run. Nothing of matplotlib is imported before one is drawn."""

from fastinv.reports.figures.data import FigureData, collect
from fastinv.reports.figures.draw import FORMATS, QUICK_FORMATS, Drawing, draw_all, write

__all__ = ["FORMATS", "QUICK_FORMATS", "Drawing", "FigureData", "collect", "draw_all", "write"]
