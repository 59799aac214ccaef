"""The `fastinv` command and its subcommands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from fastinv.cli import (
    bench,
    check,
    compare,
    doctor,
    export,
    export_model,
    leaderboard,
    listing,
    observations,
    profile,
    report,
    score,
)

app = typer.Typer(
    name="fastinv",
    help="Benchmark posterior models on inverse problems against exact ground truth.",
    epilog=(
        "Exit codes: 0 ok, 1 a run or one of its models failed, 2 wrong usage, 3 regression, "
        "4 accuracy gate missed, 130 interrupted."
    ),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "bench": (bench.bench, "Train, score and time models; print the table."),
    "score": (score.score, "Score samples that another program made."),
    "compare": (compare.compare, "Compare two runs, observation by observation."),
    "profile": (profile.profile, "Measure how fast models draw samples, mode by mode."),
    "report": (report.report, "Write a run's figures and its page."),
    "export": (export.export, "Write the results of a run to files."),
    "export-model": (export_model.export_model, "Write a trained model as a package (torch.export)."),
    "observations": (observations.observations, "Write the published observations y*."),
    "check-problem": (check.check_problem, "Check that a problem keeps its promises."),
    "check-model": (check.check_model, "Check that a model keeps its promises."),
    "list": (listing.list_names, "List problems, models, presets, kernels or runs."),
    "doctor": (doctor.doctor, "Check the installation; each problem with its fix."),
}
for _name, (_body, _summary) in _COMMANDS.items():
    app.command(_name, short_help=_summary)(_body)
app.add_typer(leaderboard.app, name="leaderboard")


def _version(wanted: bool) -> None:
    if wanted:
        import fastinv

        typer.echo(f"fastinv {fastinv.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options that come before the command."""
