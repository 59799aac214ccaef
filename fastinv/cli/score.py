"""`fastinv score`: score samples that another program made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastinv.cli.errors import checking, command
from fastinv.cli.targets import STDOUT, check_targets, export_all, write_file


@command
def score(
    samples: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Samples (observations, n, d): .npy, .npz, .safetensors or .parquet."
        ),
    ],
    problem: Annotated[
        str, typer.Option("--problem", "-p", metavar="NAME", help="A problem's name.")
    ] = "kinematics",
    name: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Name of the model. Default: the file's.")
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="Where the model is described.")] = None,
    params: Annotated[
        int | None, typer.Option(metavar="N", help="Number of its trainable parameters.")
    ] = None,
    inference_ms: Annotated[
        float | None,
        typer.Option(
            "--inference-ms", metavar="MS", help="Milliseconds it takes for 1000 samples of one y*."
        ),
    ] = None,
    counts: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Treatment of counts behind the samples. Default: found out."),
    ] = None,
    kernel: Annotated[str, typer.Option(metavar="NAME", help="Kernel of Err_post.")] = "paper",
    observations: Annotated[
        int, typer.Option(metavar="N", help="Number of published y* that the file covers.")
    ] = 1000,
    entry: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a leaderboard entry to this .json file.")
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Also write results to FILE (.json, .csv, .md, -); repeatable."),
    ] = None,
) -> None:
    """Score samples for the published observations, whatever made them, exactly like our own models.

    Example: fastinv score --problem kinematics --samples mine.npz --name "my model" --entry entry.json
    """
    from rich.console import Console

    from fastinv.cli.progress import watching
    from fastinv.names import UnknownNameError
    from fastinv.posteriors import cache_folder
    from fastinv.problems import problem as problem_by_name
    from fastinv.problems.base import check_count
    from fastinv.reports import check_claims, make_entry, print_results, submission_result
    from fastinv.runner import check_kernel, score_submission
    from fastinv.runner.settings import COUNTS
    from fastinv.scoring.files import read_samples

    title = name if name is not None else samples.stem
    with checking():
        targets = check_targets(export or [])
        if entry is not None:
            check_targets([str(entry)], ("json",))
        chosen = problem_by_name(problem)
        check_count("observations", observations)
        check_kernel(kernel)
        if counts is not None and counts not in COUNTS:
            raise UnknownNameError("treatment of counts", counts, COUNTS)
        check_claims(title, url, params, inference_ms)
        file = read_samples(samples, chosen, observations)
        if counts in ("factorised", "rounded") and not file.whole_counts:
            raise ValueError(f"--counts {counts}: {samples} has counts that are not whole numbers")
    with watching() as on_event:
        found = score_submission(
            chosen, file, kernel=kernel, counts=counts, cache=cache_folder(), on_event=on_event
        )
    made = make_entry(
        title,
        found.protocol,
        found.scores,
        file.sha256,
        url=url,
        parameters=params,
        inference_ms=inference_ms,
    )
    result = submission_result(made, found.protocol, found.scores, found.floor)
    to_stderr = any(target.name == STDOUT for target in targets)
    export_all([result], targets)
    if entry is not None:
        write_file(entry, made.to_json().encode())
    print_results([result], Console(stderr=to_stderr, highlight=False))
