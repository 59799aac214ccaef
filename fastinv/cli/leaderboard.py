"""`fastinv leaderboard`: a static site from entry files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastinv.cli.errors import FAILED, OK, checking, command

app = typer.Typer(help="Leaderboards from entry files.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keeps `build` a subcommand while it is the only one."""


@app.command(short_help="Build a static site from entry files.")
@command
def build(
    entries: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of entry files (.json).", show_default=False)
    ],
    to: Annotated[Path, typer.Option("--to", "-o", metavar="FOLDER", help="Folder of the site.")] = Path(
        "site"
    ),
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 if any file is refused; nothing is written then.")
    ] = False,
) -> int:
    """Build a static site from entry files: a page per problem and protocol, and a Markdown table.

    Entry files come from `fastinv score --entry`, here or elsewhere. What is not an acceptable entry is
    refused by name and left out.

    Example: fastinv leaderboard build entries --to site
    """
    from fastinv.reports.leaderboard import boards, read_entries, write_site
    from fastinv.reports.text import printable
    from fastinv.store.connection import translated

    with checking(), translated(entries, "read entries in"):
        accepted, refusals = read_entries(entries)
    for refusal in refusals:
        typer.echo(printable(f"refused {refusal.file}: {refusal.reason}"), err=True)
    if strict and refusals:
        return FAILED
    found = boards(accepted)
    with checking(), translated(to, "write site to"):
        write_site(found, refusals, to)
    typer.echo(f"{len(accepted)} entries on {len(found)} boards in {to}", err=True)
    return OK
