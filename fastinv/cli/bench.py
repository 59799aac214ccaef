"""`fastinv bench`: train, score and time models, and show the table."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastinv.cli.completion import models, presets, problems
from fastinv.cli.errors import (
    ACCURACY,
    FAILED,
    INTERRUPTED,
    OK,
    TERMINATED,
    Terminated,
    UsageError,
    checking,
    command,
)
from fastinv.cli.report import draw_quickly
from fastinv.cli.targets import STDOUT, Target, check_targets, export_all

if TYPE_CHECKING:
    from fastinv.reports import AccuracyGate
    from fastinv.runner import BenchSettings

RUNS = Path("runs")
MAX_JOBS = 256
MAX_THREADS = 1024


@command
def bench(
    problem: Annotated[
        str,
        typer.Option(
            "--problem",
            "-p",
            metavar="NAME",
            help="A problem's name, or 'all' for the paper's two.",
            autocompletion=problems,
        ),
    ] = "kinematics",
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            autocompletion=models,
            help="A model or a group (all, paper, additions, baselines); repeatable. Default: all.",
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(metavar="NAME", help="Sizes: smoke, quick, standard or paper.", autocompletion=presets),
    ] = "quick",
    seed: Annotated[int | None, typer.Option(metavar="N", help="Seed of the training. Default: 0.")] = None,
    seeds: Annotated[str | None, typer.Option(metavar="LIST", help="Several seeds, as in 0,1,2.")] = None,
    repeats: Annotated[
        int | None, typer.Option(metavar="N", help="This many seeds, counted up from --seed.")
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    counts: Annotated[
        str, typer.Option(metavar="NAME", help="Treatment of counts: factorised, rounded or continuous.")
    ] = "factorised",
    kernel: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Kernel of Err_post: paper, hint, multiscale, median or gaussian(h1, h2, ...).",
        ),
    ] = "paper",
    observations: Annotated[
        int | None, typer.Option(metavar="N", help="Number of y*, instead of the preset's.")
    ] = None,
    samples: Annotated[
        int | None, typer.Option(metavar="N", help="Samples per y*, instead of the preset's.")
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Also write results to FILE (.json, .csv, .md; - for JSON on stdout); repeatable.",
        ),
    ] = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", metavar="N", help="Rows at once, each in a process of its own.")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            help="Threads that torch uses in each process. Default: OMP_NUM_THREADS, else 1 for networks of "
            "up to 300 000 parameters, else its own choice.",
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Let the workers of this Dask scheduler do the rows."),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GATE", help="Exit code 4 unless e.g. err_post<=0.03, or cinn.err_post<=0.03; repeatable."
        ),
    ] = None,
    clamp_outliers: Annotated[
        bool, typer.Option("--clamp-outliers", help="Clamp outliers before averaging, as the paper does.")
    ] = False,
    figures: Annotated[
        bool, typer.Option("--figures/--no-figures", help="Draw figures into the run's folder at the end.")
    ] = True,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = RUNS,
    run: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the run. Default: made from the settings.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Drop what the run holds and start anew.")] = False,
    redo: Annotated[
        list[str] | None, typer.Option(metavar="MODEL", help="Compute this model again; repeatable.")
    ] = None,
    only_missing: Annotated[
        bool, typer.Option("--only-missing", help="Do not try failed models again.")
    ] = False,
) -> int:
    """Train, score and time models on a problem and print the table.

    The same command goes on where it was stopped, and shows a finished run again without computing anything.

    Examples:

      fastinv bench --problem kinematics

      fastinv bench --problem all --model cinn --model inn --preset smoke --export result.json

      fastinv bench --preset standard --repeats 3 --jobs 4
    """

    from fastinv.runner import resolve_models, resolve_settings

    with checking():
        targets = check_targets(export or [])
        gates = _gates(gate or [])
        # Names first: a typo is answered before torch is imported to look for a GPU.
        models = resolve_models(model or [])
        settings = resolve_settings(
            problem=problem,
            preset_name=preset,
            seeds=_seeds(seed, seeds, repeats),
            counts=counts,
            kernel=kernel,
            device=device,
            observations=observations,
            samples=samples,
        )
        _check_jobs(jobs, cluster, settings)
        _set_threads(threads)
        again = _redo(redo or [], models)
        folder = runs / _run_name(run or settings.run_name)
    options: dict[str, Any] = {"redo": again, "only_missing": only_missing, "jobs": jobs, "cluster": cluster}
    code, changed = _carry_out(settings, models, folder, fresh, options)
    missed = _show(folder, models, targets, clamp_outliers, gates)
    if figures and code in (OK, FAILED):
        draw_quickly(folder, changed)
    return ACCURACY if missed and code == OK else code


def _seeds(seed: int | None, seeds: str | None, repeats: int | None) -> list[int]:
    if seeds is not None:
        if seed is not None or repeats is not None:
            raise ValueError("--seeds goes neither with --seed nor with --repeats")
        try:
            return [int(part) for part in seeds.split(",")]
        except ValueError:
            raise ValueError(f"--seeds must be whole numbers separated by commas, got {seeds!r}") from None
    first = seed or 0
    if repeats is not None and not 1 <= repeats <= 1000:
        raise ValueError(f"--repeats must be between 1 and 1000, got {repeats}")
    return list(range(first, first + (repeats or 1)))


def _check_jobs(jobs: int, cluster: str | None, settings: BenchSettings) -> None:
    from fastinv.runner.memory import check_memory

    if not 1 <= jobs <= MAX_JOBS:
        raise ValueError(f"--jobs must be between 1 and {MAX_JOBS}, got {jobs}")
    if cluster is not None and jobs > 1:
        raise ValueError(
            "--jobs does not go with --cluster, whose workers decide how many rows go on at once"
        )
    check_memory(settings.preset, jobs=jobs)


def _set_threads(threads: int | None) -> None:
    """Through the environment, which processes of `--jobs` inherit."""
    if threads is None:
        return
    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"--threads must be between 1 and {MAX_THREADS}, got {threads}")
    os.environ["OMP_NUM_THREADS"] = str(threads)


def _redo(redo: list[str], models: tuple[str, ...]) -> tuple[str, ...]:
    from fastinv.runner import resolve_models

    chosen = resolve_models(redo) if redo else ()
    left_out = [name for name in chosen if name not in models]
    if left_out:
        raise ValueError(f"--redo {left_out[0]}: it is not among the models of this command (see --model)")
    return chosen


def _run_name(name: str) -> str:
    if name in ("", ".", "..") or Path(name).name != name or name.startswith("-"):
        raise ValueError(f"--run must be a plain folder name, got {name!r}")
    return name


def _carry_out(
    settings: BenchSettings,
    models: tuple[str, ...],
    folder: Path,
    fresh: bool,
    options: dict[str, Any],
) -> tuple[int, bool]:
    """Do what is due; returns the exit code and whether anything came in.

    What is finished stays saved, whatever happens.
    """
    from fastinv.cli.estimate import Estimate, due_stages
    from fastinv.cli.progress import watching
    from fastinv.posteriors import cache_folder
    from fastinv.runner import ClusterError, run_benchmark
    from fastinv.runner.threads import torch_threads
    from fastinv.store import RunWriter, SettingsMismatchError
    from fastinv.store.provenance import collect_provenance

    try:
        writer = RunWriter(
            folder,
            settings=settings.as_dict(),
            settings_hash=settings.hash,
            provenance=collect_provenance(
                device=settings.device, torch_threads=torch_threads(settings.preset.parameters)
            ),
            fresh=fresh,
        )
    except SettingsMismatchError as error:
        raise UsageError(str(error)) from error
    try:
        due = due_stages(settings, models, writer.stages(), options["redo"], options["only_missing"])
        with writer as store, watching(Estimate(set(due))) as on_event:
            outcome = run_benchmark(
                settings,
                models,
                store,
                cache=cache_folder(),
                on_event=on_event,
                **options,
            )
    except ClusterError as error:
        raise UsageError(str(error)) from error
    except KeyboardInterrupt as stop:
        typer.echo("stopped; what is finished is saved, and the same command goes on from here", err=True)
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED, True
    return FAILED if outcome.failed else OK, outcome.computed > 0


def _gates(texts: list[str]) -> list[AccuracyGate]:
    from fastinv.models import model_names
    from fastinv.reports import parse_accuracy_gate

    return [parse_accuracy_gate(text, model_names()) for text in texts]


def _show(
    folder: Path, models: tuple[str, ...], targets: list[Target], clamp: bool, gates: list[AccuracyGate]
) -> bool:
    """Export and print the results; returns whether an accuracy gate was missed."""
    from rich.console import Console

    from fastinv.reports import load_results, print_results
    from fastinv.store import RunReader

    with RunReader(folder) as reader:
        results = load_results(reader, models=models, clamp=clamp)
    # With an export on stdout, the table makes room for it: data must stay parseable.
    to_stderr = any(target.name == STDOUT for target in targets)
    # Files first: whoever reads our output may stop reading (`| head`), and that must not cost the export.
    export_all(results, targets)
    print_results(results, Console(stderr=to_stderr, highlight=False))
    missed = [line for gate in gates for line in gate.misses(results)]
    for line in missed:
        typer.echo(f"accuracy gate missed: {line}", err=True)
    typer.echo(f"saved in {folder}", err=True)
    return bool(missed)
