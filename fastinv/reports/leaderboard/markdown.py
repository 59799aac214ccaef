"""Boards as Markdown, for a README."""

from __future__ import annotations

import string
from collections.abc import Sequence

from fastinv.reports.leaderboard.board import Board, Place
from fastinv.reports.leaderboard.cells import HEADS, cells

SHOWN = (
    "rank",
    "model",
    "Err_post mean",
    "95% interval",
    "Err_post at 4000",
    "Err_resim mean",
    "ms per 1000",
    "parameters",
)
_HARMLESS = " .,-+%="


def boards_markdown(found: Sequence[Board]) -> str:
    """A heading and a table for each board."""
    parts = [_table(board) for board in found]
    return "\n".join([*parts, "Ranks are shared (=) where 95% intervals of Err_post overlap.\n"])


def _table(board: Board) -> str:
    lines = [
        f"### {escaped(board.problem)}\n",
        f"{escaped(board.protocol)}; protocol `{board.protocol_hash}`\n",
        f"| {' | '.join(SHOWN)} |",
        f"|---:|---{'|---:' * (len(SHOWN) - 2)}|",
        *(_row(place) for place in board.places),
    ]
    return "\n".join(lines) + "\n"


def _row(place: Place) -> str:
    texts = {head: escaped(cell.text) for head, cell in zip(HEADS, cells(place), strict=True)}
    if place.entry.url is not None:
        # A backslash or a bar would end the address or the cell; blanks and <> are refused in entries.
        address = place.entry.url.replace("\\", "%5C").replace("|", "%7C")
        texts["model"] = f"[{texts['model']}](<{address}>)"
    return f"| {' | '.join(texts[head] for head in SHOWN)} |"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is: no markup, no link, no mention of a user.

    Examples:
        >>> escaped("[x](javascript:1) | <b> @me")
        '&#91;x&#93;&#40;javascript&#58;1&#41; &#124; &#60;b&#62; &#64;me'
    """
    plain = " ".join(text.split())
    return "".join(f"&#{ord(c)};" if c in string.punctuation and c not in _HARMLESS else c for c in plain)
