"""`fastinv export-model`: a trained model as a package that runs without fastinv."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastinv.cli.errors import FAILED, OK, checking, command
from fastinv.cli.targets import check_targets, run_folder

FORMS = ("program", "aot")


@command
def export_model(
    model: Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help="A model's name.")],
    to: Annotated[Path, typer.Option("--to", "-o", metavar="FILE", help="File to write (.pt2).")],
    problem: Annotated[
        str, typer.Option("--problem", "-p", metavar="NAME", help="A problem's name.")
    ] = "kinematics",
    form: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="program (torch.export, any machine) or aot (machine code, AOTInductor)."
        ),
    ] = "program",
    samples: Annotated[int, typer.Option(metavar="N", help="Samples per call of the package.")] = 1000,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Run with the weights. Default: the latest that has them."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the training.")] = 0,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "cpu",
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
) -> int:
    """Write a trained model's sampling to a file, load it again and compare it with the model.

    The package maps (y, noise) to samples; see docs/timing.md for how to load it.

    Example: fastinv export-model --model cinn --to cinn.pt2
    """
    from fastinv.names import UnknownNameError
    from fastinv.problems import problem as problem_by_name
    from fastinv.problems import problem_names
    from fastinv.problems.base import check_count
    from fastinv.runner import resolve_models
    from fastinv.runner.settings import resolve_device

    with checking():
        check_targets([str(to)], ("pt2",))
        if problem not in problem_names():
            raise UnknownNameError("problem", problem, problem_names())
        names = resolve_models([model])
        if len(names) != 1:
            raise ValueError(f"--model must name a single model, got {model!r}")
        if form not in FORMS:
            raise UnknownNameError("form of package", form, FORMS)
        check_count("samples", samples)
        chosen = resolve_device(device)
        folder = None if run is None else run_folder(runs, run)
    from fastinv.models import load
    from fastinv.models.exporting import ExportError
    from fastinv.models.exporting import export_model as write
    from fastinv.runner.profiling import find_weights, runs_to_search
    from fastinv.timing.modes import available

    with checking():
        weights = find_weights(runs_to_search(runs, folder), problem, names[0], seed)
        if weights is None:
            where = f"run {run!r}" if run else f"any run in {str(runs)!r}"
            raise ValueError(
                f"no trained weights of model {names[0]!r} on {problem!r}, seed {seed}, in {where}: "
                f"train it with `fastinv bench --problem {problem} --model {names[0]}`"
            )
        if form == "aot" and (reason := available("compiled", chosen)) is not None:
            raise ValueError(reason)
        trained = load(weights, problem_by_name(problem), model=names[0], device=chosen)
    try:
        difference = write(trained, to, n=samples, form="aot" if form == "aot" else "program")
    except ExportError as error:
        typer.echo(f"fastinv: {error}", err=True)
        return FAILED
    typer.echo(
        f"wrote {to}: {samples} samples per call, within {difference:.1e} standard deviations of the model",
        err=True,
    )
    return OK
