"""`fastinv report`: figures and a page of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastinv.cli import completion
from fastinv.cli.errors import checking, command
from fastinv.cli.targets import check_writable, run_folder, write_file

if TYPE_CHECKING:
    from fastinv.reports import ProblemResult


@command
def report(
    run: Annotated[
        str,
        typer.Argument(
            help="Name of a run, or its folder.", show_default=False, autocompletion=completion.runs
        ),
    ],
    figures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write all figures there, as PDF and PNG.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one page that needs no network.")
    ] = None,
    problem: Annotated[
        str | None, typer.Option("--problem", "-p", metavar="NAME", help="Only this problem of the run.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", metavar="MODEL", help="Only these models, each with a corner plot."),
    ] = None,
    y_star: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="Observation whose posteriors are shown, as in 0,1.5."),
    ] = None,
    clamp_outliers: Annotated[
        bool, typer.Option("--clamp-outliers", help="Clamp outliers before averaging, as the paper does.")
    ] = False,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
) -> None:
    """Write a run's figures and its page; both into the run's folder if neither is asked for.

    Samples in the figures are drawn from the run's checkpoints.

    Examples:

      fastinv report kinematics-quick-seed0-1a2b3c4d

      fastinv report RUN --figures figures --y-star 0,1.5 --model cinn --model mdn
    """
    from fastinv.reports import load_results
    from fastinv.reports.making import FIGURES, PAGE, make_report
    from fastinv.store import RunReader
    from fastinv.store.connection import translated

    folder = run_folder(runs, run)
    with RunReader(folder) as reader:
        if figures is None and html is None:
            figures, html = folder / FIGURES, folder / PAGE
        with checking():
            observation = None if y_star is None else _numbers(y_star)
            results = _chosen(load_results(reader, clamp=clamp_outliers), problem, model or [])
            if observation is not None and len(results) > 1:
                raise ValueError("--y-star needs --problem, for the run has several problems")
            if html is not None:
                check_writable(html)
        with translated(figures or folder, "write figures to"):
            if figures is not None:
                figures.mkdir(parents=True, exist_ok=True)
            with checking(), working() as on_step:
                made = make_report(
                    reader,
                    results,
                    figures=figures,
                    page=html is not None,
                    y_star=observation,
                    corners=model or None,
                    on_step=on_step,
                )
    if made.page is not None and html is not None:
        write_file(html, made.page.encode())
    _say(made.notes, figures, html)


@contextmanager
def working() -> Iterator[Callable[[str], None]]:
    """Shows on a terminal what is being done; silent elsewhere."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda what: None
        return
    with console.status("report") as status:
        yield lambda what: status.update(Text(what))


def _chosen(
    results: Sequence[ProblemResult], problem: str | None, models: Sequence[str]
) -> list[ProblemResult]:
    """The results of the problem and models that were asked for."""
    from fastinv.names import UnknownNameError

    names = [result.problem for result in results]
    if problem is not None and problem not in names:
        raise UnknownNameError("problem of this run", problem, names)
    kept = [result for result in results if problem in (None, result.problem)]
    known = [row.name for result in kept for row in result.rows]
    for name in models:
        if name not in known:
            raise UnknownNameError("model of this run", name, known)
    if not models:
        return kept
    return [replace(r, rows=tuple(row for row in r.rows if row.name in models)) for r in kept]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--y-star must be numbers separated by commas, got {text!r}") from None


def _say(notes: Sequence[str], figures: Path | None, html: Path | None) -> None:
    from fastinv.reports.text import printable

    for note in notes:
        typer.echo(printable(note), err=True)
    for what, path in (("figures", figures), ("page", html)):
        if path is not None:
            typer.echo(f"{what} in {path}", err=True)


def draw_quickly(folder: Path, changed: bool) -> None:
    """Draw a run's figures into its folder, unless they are there and nothing has changed.

    Nobody asked for them, so nothing that goes wrong here may end in an error.
    """
    from fastinv.reports import load_results
    from fastinv.reports.figures import QUICK_FORMATS
    from fastinv.reports.making import FIGURES, make_report
    from fastinv.store import RunReader

    target = folder / FIGURES
    if not changed and target.is_dir() and any(target.iterdir()):
        return
    try:
        target.mkdir(exist_ok=True)
        with RunReader(folder) as reader, working() as on_step:
            made = make_report(
                reader, load_results(reader), figures=target, formats=QUICK_FORMATS, on_step=on_step
            )
    except Exception as error:
        typer.echo(f"no figures: {' '.join(str(error).split())[:300]}", err=True)
        return
    _say(made.notes, target, None)
