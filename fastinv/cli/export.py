"""`fastinv export`: a run's results as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastinv.cli import completion
from fastinv.cli.errors import checking, command
from fastinv.cli.targets import check_targets, export_all, run_folder, write_file

FORMATS = ("json", "csv", "md", "parquet")


@command
def export(
    run: Annotated[
        str,
        typer.Argument(
            help="Name of a run, or its folder.", show_default=False, autocompletion=completion.runs
        ),
    ],
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            "-o",
            metavar="FILE",
            help="FILE (.json, .csv, .md, .parquet; - for JSON on stdout); repeatable.",
        ),
    ],
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
    clamp_outliers: Annotated[
        bool, typer.Option("--clamp-outliers", help="Clamp outliers before averaging, as the paper does.")
    ] = False,
) -> None:
    """Write the results of a run to files; works while the run goes on.

    JSON, CSV and Markdown hold the table, Parquet every score of every observation.

    Example: fastinv export kinematics-quick-seed0-1a2b3c4d --to result.json --to result.md
    """
    from fastinv.reports import load_results, parquet_bytes
    from fastinv.store import RunReader

    with checking():
        targets = check_targets(to, FORMATS)
    with RunReader(run_folder(runs, run)) as reader:
        results = load_results(reader, clamp=clamp_outliers)
        scores = parquet_bytes(reader) if any(target.form == "parquet" for target in targets) else b""
    export_all(results, [target for target in targets if target.form != "parquet"])
    for target in targets:
        if target.form == "parquet":
            write_file(Path(target.name), scores)
