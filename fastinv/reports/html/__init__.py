"""A run as one page that needs no network. Nothing of jinja2 is imported before one is made."""

from fastinv.reports.html.inline import InlineFigure, inline_figure
from fastinv.reports.html.page import render_page

__all__ = ["InlineFigure", "inline_figure", "render_page"]
