"""What a person or another program sees of a run: tables and exports."""

from fastinv.reports.compare import Change, ComparisonError, compare, parse_gate, print_comparison
from fastinv.reports.entry import Entry, EntryError, check_claims, parse_entry
from fastinv.reports.export import FORMATS, export_format, render
from fastinv.reports.gates import AccuracyGate, parse_accuracy_gate
from fastinv.reports.parquet import parquet_bytes
from fastinv.reports.published import Published, published
from fastinv.reports.results import ProblemResult, Row, load_results
from fastinv.reports.submissions import make_entry, run_entries, submission_result
from fastinv.reports.tables import print_results

__all__ = [
    "FORMATS",
    "AccuracyGate",
    "Change",
    "ComparisonError",
    "Entry",
    "EntryError",
    "ProblemResult",
    "Published",
    "Row",
    "check_claims",
    "compare",
    "export_format",
    "load_results",
    "make_entry",
    "parquet_bytes",
    "parse_accuracy_gate",
    "parse_entry",
    "parse_gate",
    "print_comparison",
    "print_results",
    "published",
    "render",
    "run_entries",
    "submission_result",
]
