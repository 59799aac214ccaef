"""`fastinv compare`: what changed between two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastinv.cli import completion
from fastinv.cli.errors import OK, REGRESSION, checking, command
from fastinv.cli.targets import run_folder


@command
def compare(
    first: Annotated[
        str,
        typer.Argument(
            help="Name or folder of the run before.", show_default=False, autocompletion=completion.runs
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            help="Name or folder of the run after.", show_default=False, autocompletion=completion.runs
        ),
    ],
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GATE",
            help="Exit code 3 if METRIC got worse by more: err_post:5%, inference_ms:20%; repeatable.",
        ),
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
) -> int:
    """Compare two runs of one protocol, model by model, paired over the observations.

    Example: fastinv compare before after --fail-on err_post:5%
    """
    from rich.console import Console

    from fastinv.reports import compare as compare_runs
    from fastinv.reports import parse_gate, print_comparison
    from fastinv.store import RunReader

    with checking():
        gates = [parse_gate(text) for text in fail_on or []]
    with RunReader(run_folder(runs, first)) as a, RunReader(run_folder(runs, second)) as b, checking():
        changes = compare_runs(a, b)
    print_comparison(changes, Console(highlight=False))
    broken = [(g, c) for g in gates for c in changes if g.broken_by(c.changes[g.metric])]
    for gate, change in broken:
        found = change.changes[gate.metric]
        worse = 100 * found.relative if found else 0.0
        typer.echo(
            f"regression: {change.problem} {change.model} {gate.metric} {worse:+.1f}%, "
            f"tolerated {100 * gate.tolerance:g}%",
            err=True,
        )
    return REGRESSION if broken else OK
