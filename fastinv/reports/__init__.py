"""What a person or another program sees of a run: tables and exports."""

from fastinv.reports.entry import Entry, EntryError, check_claims, parse_entry
from fastinv.reports.export import FORMATS, export_format, render
from fastinv.reports.parquet import parquet_bytes
from fastinv.reports.published import Published, published
from fastinv.reports.results import ProblemResult, Row, load_results
from fastinv.reports.submissions import make_entry, submission_result
from fastinv.reports.tables import print_results

__all__ = [
    "FORMATS",
    "Entry",
    "EntryError",
    "ProblemResult",
    "Published",
    "Row",
    "check_claims",
    "export_format",
    "load_results",
    "make_entry",
    "parquet_bytes",
    "parse_entry",
    "print_results",
    "published",
    "render",
    "submission_result",
]
