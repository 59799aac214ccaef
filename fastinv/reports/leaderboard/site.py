"""Boards as a static site: an overview, a page per problem and protocol, and the tables as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fastinv
from fastinv.reports.html.page import environment, script_policy
from fastinv.reports.leaderboard.board import Board, Refusal
from fastinv.reports.leaderboard.cells import HEADS, BoardCell, cells
from fastinv.reports.leaderboard.markdown import boards_markdown

MARK = '<meta name="generator" content="fastinv leaderboard">'
MARKDOWN = "leaderboard.md"
_HEAD_BYTES = 4096


class SiteError(ValueError):
    """The site cannot be written there; the message says why."""


@dataclass(frozen=True)
class SiteRow:
    """A row of a board's page, with an anchor that others can link to."""

    anchor: str
    cells: tuple[BoardCell, ...]
    url: str | None


def write_site(found: Sequence[Board], refusals: Sequence[Refusal], folder: Path) -> list[Path]:
    """Write the site; pages of an earlier build that are no longer needed go.

    Args:
        found: the boards.
        refusals: files that were refused; they are listed with their reasons.
        folder: where to; made if missing.

    Returns:
        The files.

    Raises:
        SiteError: a page there was not written by this command.
        OSError: the folder cannot be written.
    """
    pages = _pages(found, refusals)
    pages[MARKDOWN] = boards_markdown(found)
    folder.mkdir(parents=True, exist_ok=True)
    old = [path for path in folder.glob("*.html") if path.is_file()]
    for path in old:
        if not _is_ours(path) and path.name in pages:
            raise SiteError(f"{str(path)!r} was not made by fastinv; choose another folder")
    for path in old:
        if _is_ours(path) and path.name not in pages:
            path.unlink()
    for name, text in pages.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in pages]


def _pages(found: Sequence[Board], refusals: Sequence[Refusal]) -> dict[str, str]:
    templates = environment()
    script = templates.get_template("sort.js").render()
    shared = {
        "version": fastinv.__version__,
        "policy": script_policy(script),
        "script": script,
        "style": templates.get_template("style.css").render(),
    }
    index = [(board, page_name(board)) for board in found]
    pages = {
        "index.html": templates.get_template("boards.html").render(index=index, refusals=refusals, **shared)
    }
    for board, name in index:
        pages[name] = templates.get_template("board.html").render(
            board=board, heads=HEADS, rows=_rows(board), **shared
        )
    return pages


def page_name(board: Board) -> str:
    """The file of a board's page."""
    return f"{re.sub(r'[^A-Za-z0-9-]', '_', board.problem)}-{board.protocol_hash}.html"


def _rows(board: Board) -> list[SiteRow]:
    # The samples' checksum makes an anchor that stays when the order changes.
    return [
        SiteRow(f"e{p.entry.samples_sha256[:16]}-{i}", cells(p), p.entry.url)
        for i, p in enumerate(board.places)
    ]


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return MARK.encode() in file.read(_HEAD_BYTES)
