"""What a person or another program sees of a run: tables and exports."""

from fastinv.reports.export import FORMATS, export_format, render
from fastinv.reports.published import Published, published
from fastinv.reports.results import ProblemResult, Row, load_results
from fastinv.reports.tables import print_results

__all__ = [
    "FORMATS",
    "ProblemResult",
    "Published",
    "Row",
    "export_format",
    "load_results",
    "print_results",
    "published",
    "render",
]
