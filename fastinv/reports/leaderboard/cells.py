"""What a board shows of an entry, for pages and Markdown alike."""

from __future__ import annotations

from dataclasses import dataclass

from fastinv.reports.entry import Entry
from fastinv.reports.leaderboard.board import Place
from fastinv.reports.text import UNICODE, count, figure

HEADS = (
    "rank",
    "model",
    "Err_post mean",
    "95% interval",
    "Err_post median",
    "Err_post unbiased",
    "Err_post at 4000",
    "Err_resim mean",
    "Err_resim median",
    "no image",
    "ms per 1000",
    "parameters",
    "scored with",
    "date",
)


@dataclass(frozen=True)
class BoardCell:
    """A cell: its text, and what rows are sorted by (empty where there is nothing)."""

    text: str
    key: str


def cells(place: Place) -> tuple[BoardCell, ...]:
    """The cells of a row, in the order of `HEADS`; the model's name is the second."""
    entry = place.entry
    post = entry.scores["err_post"]
    low, high = figure(post["low"]), figure(post["high"])
    interval = f"[{low} {high}]" if low is not None and high is not None else None
    lost = entry.scores["lost"]["mean"]
    return (
        BoardCell(place.label, "" if place.rank is None else str(place.rank)),
        BoardCell(entry.name, entry.name),
        _score(entry, "err_post", "mean"),
        BoardCell(interval or UNICODE.dash, repr(post["low"]) if interval else ""),
        _score(entry, "err_post", "median"),
        _score(entry, "err_post_unbiased", "mean"),
        _score(entry, "err_post_4000", "mean"),
        _score(entry, "err_resim", "mean"),
        _score(entry, "err_resim", "median"),
        _cell(None if lost is None else f"{100 * lost:.2g}%", lost),
        _cell(figure(entry.inference_ms), entry.inference_ms),
        _cell(None if entry.parameters is None else count(entry.parameters), entry.parameters),
        BoardCell(entry.scored_with, entry.scored_with),
        BoardCell(entry.created[:10], entry.created),
    )


def _score(entry: Entry, metric: str, statistic: str) -> BoardCell:
    value = entry.scores[metric][statistic]
    return _cell(figure(value), value)


def _cell(text: str | None, value: float | None) -> BoardCell:
    return BoardCell(UNICODE.dash, "") if text is None or value is None else BoardCell(text, repr(value))
