"""Leaderboards from entry files that anyone may have made."""

from fastinv.reports.leaderboard.board import Board, Place, Refusal, boards, read_entries
from fastinv.reports.leaderboard.markdown import boards_markdown
from fastinv.reports.leaderboard.site import SiteError, write_site

__all__ = [
    "Board",
    "Place",
    "Refusal",
    "SiteError",
    "boards",
    "boards_markdown",
    "read_entries",
    "write_site",
]
