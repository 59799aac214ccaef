"""`fastinv profile`: how fast models draw samples, and how good that is for this machine."""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastinv.cli.errors import INTERRUPTED, OK, TERMINATED, Terminated, checking, command
from fastinv.cli.targets import STDOUT, Target, check_targets, run_folder, write_file

if TYPE_CHECKING:
    from fastinv.problems import Problem
    from fastinv.timing.profile import OnStep
    from fastinv.timing.records import ModeProfile

BATCHES = "1,10,100,1000,10000,100000,1000000"


@command
def profile(
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="A model or a group (all, paper, additions); repeatable. Default: cinn.",
        ),
    ] = None,
    problem: Annotated[
        str, typer.Option("--problem", "-p", metavar="NAME", help="A problem's name.")
    ] = "kinematics",
    mode: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODE",
            help="eager, packed, fused, compiled, compiled-max, cudagraph, tf32, bf16, bf16-packed, "
            "bf16-fused, bf16-cudagraph; repeatable. Default: all that the device has.",
        ),
    ] = None,
    batch_sizes: Annotated[
        str, typer.Option("--batch-sizes", metavar="LIST", help="Samples per call; empty for none.")
    ] = BATCHES,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="The MMD and the exact sampler over their back ends instead.")
    ] = False,
    run: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Take the weights from this run, and save the profile in it."),
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Sizes of models that no run has trained.")
    ] = "quick",
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the training.")] = 0,
    counts: Annotated[
        str, typer.Option(metavar="NAME", help="Treatment of counts of models that no run has trained.")
    ] = "factorised",
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto",
    export: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Also write to FILE (.json, .csv; - for JSON); repeatable."),
    ] = None,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="Time per latency of a mode, or per kernel, at most. Default: 2, or 1."
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Drop what an interrupted command measured, and start anew.")
    ] = False,
) -> int:
    """Measure latency and throughput of models in several execution modes.

    Weights are those of --run, else of the latest run that trained the model, else untrained ones (times
    hardly depend on them). A mode that is missing or draws other samples than eager gets a row that says so.
    What is measured is saved at once in the run of the weights; after Ctrl-C the same command goes on from
    there.

    Example: fastinv profile --model cinn --mode eager --mode packed --batch-sizes 1,1000
    """
    # Read when torch is imported: its profiler, which measures memory, and its allocator write to stderr.
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from fastinv.cli.profile_session import Asked, Session
    from fastinv.names import UnknownNameError
    from fastinv.problems import problem as problem_by_name
    from fastinv.problems import problem_names
    from fastinv.runner import resolve_models
    from fastinv.runner.settings import COUNTS, resolve_device
    from fastinv.training import preset as preset_by_name

    with checking():
        targets = check_targets(export or [], ("json", "csv"))
        batches = _batches(batch_sizes)
        if problem not in problem_names():
            raise UnknownNameError("problem", problem, problem_names())
        names = resolve_models(model or ["cinn"])
        preset_by_name(preset)
        if counts not in COUNTS:
            raise UnknownNameError("treatment of counts", counts, COUNTS)
        folder = None if run is None else run_folder(runs, run)
        chosen_device = resolve_device(device)
        _check_modes(mode or [])
        if budget is not None and not 0.0 < budget < math.inf:
            raise ValueError(f"--budget must be a positive number of seconds, got {budget:g}")
    if kernels:
        return _kernels(problem_by_name(problem), folder, targets, budget)
    asked = Asked(
        tuple(names), tuple(mode or ()), tuple(batches), problem, preset, counts, seed, chosen_device, budget
    )
    session = Session(asked, targets, runs, folder, fresh)
    try:
        session.measure(told)
    except KeyboardInterrupt as stop:
        session.show()
        typer.echo(f"stopped; {session.left()}", err=True)
        return TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
    session.finish()
    return OK


def _kernels(problem: Problem, folder: Path | None, targets: Sequence[Target], budget: float | None) -> int:
    """The kernels instead of models: seconds, so saved once they are all known."""
    from rich.console import Console

    from fastinv.cli.profile_session import SAVED, make_folder
    from fastinv.reports.profile import print_kernels
    from fastinv.reports.profile_export import profile_object, to_csv, to_json
    from fastinv.store.provenance import collect_provenance
    from fastinv.timing.kernels import profile_kernels

    with told("kernels") as tell:
        rows = profile_kernels(problem, budget_s=budget or 1.0, on_step=lambda step: tell((), step))
    text = to_json(profile_object([], rows, collect_provenance()))
    for target in targets:
        target.write(to_csv([], rows) if target.form == "csv" else text)
    if folder is not None:
        make_folder(folder / SAVED)
        write_file(folder / SAVED / "kernels.json", text.encode())
    print_kernels(rows, Console(stderr=any(t.name == STDOUT for t in targets), highlight=False))
    if folder is not None:
        typer.echo(f"saved in {folder / SAVED}", err=True)
    return OK


def _batches(text: str) -> list[int]:
    if not text.strip():
        return []
    try:
        numbers = [float(part) for part in text.split(",")]
        sizes = sorted({int(number) for number in numbers})
        if any(number % 1 for number in numbers):
            raise ValueError
    except (ValueError, OverflowError):
        raise ValueError(f"--batch-sizes must be whole numbers separated by commas, got {text!r}") from None
    if not 1 <= sizes[0] <= sizes[-1] <= 10**9:
        raise ValueError(f"--batch-sizes must lie between 1 and 10^9, got {text!r}")
    return sizes


def _check_modes(names: Sequence[str]) -> None:
    from fastinv.names import UnknownNameError
    from fastinv.timing.modes import MODES

    for name in names:
        if name not in MODES:
            raise UnknownNameError("mode", name, MODES)


@contextmanager
def told(name: str = "kernels") -> Iterator[OnStep]:
    """A listener that suits stderr: a live table on a terminal, a line per step elsewhere."""
    from rich.console import Console
    from rich.live import Live

    from fastinv.reports.profile import live_view
    from fastinv.reports.text import glyphs

    console = Console(stderr=True, highlight=False)
    started = time.monotonic()
    if not console.is_terminal or console.is_dumb_terminal:

        def line(so_far: Sequence[ModeProfile], step: str) -> None:
            print(f"{name}: {step}", file=sys.stderr, flush=True)

        yield line
        return
    signs = glyphs(console.encoding)
    with Live(console=console, transient=True, auto_refresh=False) as live:

        def view(so_far: Sequence[ModeProfile], step: str) -> None:
            elapsed = time.monotonic() - started
            live.update(live_view(so_far, f"{name}: {step}", elapsed, signs), refresh=True)

        yield view
