"""`fastinv leaderboard`: entry files, and a static site from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastinv.cli import completion
from fastinv.cli.errors import FAILED, OK, checking, command
from fastinv.cli.targets import run_folder, write_file

if TYPE_CHECKING:
    from fastinv.reports import Entry

app = typer.Typer(help="Leaderboards from entry files.", no_args_is_help=True, rich_markup_mode=None)


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

    Entry files come from `fastinv score --entry` and `fastinv leaderboard enter`, here or elsewhere. What
    is not an acceptable entry is refused by name and left out.

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


@app.command(short_help="Write entry files of a run's models.")
@command
def enter(
    run: Annotated[
        str,
        typer.Argument(
            help="Name of a run, or its folder.", show_default=False, autocompletion=completion.runs
        ),
    ],
    to: Annotated[Path, typer.Option("--to", "-o", metavar="FOLDER", help="Folder of entry files.")] = Path(
        "entries"
    ),
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Where the models are described.")
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
) -> None:
    """Write an entry file for each finished model of a run; a file of that name is replaced.

    Example: fastinv leaderboard enter kinematics-quick-seed0-1a2b3c4d --to entries
    """
    from fastinv.reports import check_claims, run_entries
    from fastinv.store import RunReader
    from fastinv.store.connection import translated

    with checking():
        check_claims("run", url, None, None)
        with RunReader(run_folder(runs, run)) as reader:
            entries = run_entries(reader, url=url)
        if not entries:
            raise ValueError(f"run {run!r} has no finished model yet")
        with translated(to, "write entries to"):
            to.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        write_file(to / _file_name(entry), entry.to_json().encode())
    typer.echo(f"{len(entries)} entries in {to}", err=True)


def _file_name(entry: Entry) -> str:
    words = re.findall(r"[a-z0-9]+", f"{entry.problem} {entry.name}".lower())
    return f"{'-'.join(words)}-{entry.protocol_hash[:8]}.json"
