"""`fastinv list`: what there is to choose from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastinv.cli.completion import WHAT, lists
from fastinv.cli.errors import checking, command

if TYPE_CHECKING:
    from fastinv.models import ModelInfo


@command
def list_names(
    what: Annotated[
        str,
        typer.Argument(
            help="problems, models, presets, kernels or runs.", show_default=False, autocompletion=lists
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    runs: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of runs.")] = Path("runs"),
) -> None:
    """List problems, models, presets, kernels or runs.

    Of models: whether the inverse is exact by construction (hard) or learned (soft), the dimension of z,
    whether the loss is maximum likelihood (ML) and compares y (on y), and its equation in the paper.

    Example: fastinv list models
    """
    from fastinv.names import UnknownNameError

    tables: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "problems": _problems,
        "models": _models,
        "presets": _presets,
        "kernels": _kernels,
        "runs": lambda: _runs(runs),
    }
    with checking():
        if what not in tables:
            raise UnknownNameError("list", what, WHAT)
    if as_json:
        rows = _model_records() if what == "models" else tables[what]()
        typer.echo(json.dumps(rows, indent=2))
    else:
        _print(tables[what](), what)


def _problems() -> list[dict[str, Any]]:
    from fastinv.problems import PluginError, problem, problem_names

    def row(name: str) -> dict[str, Any]:
        try:
            p = problem(name)
        except PluginError as error:
            return {"name": name, "title": str(error), "dim(x)": "", "dim(y)": "", "posterior": "broken"}
        return {
            "name": p.name,
            "title": p.title,
            "dim(x)": p.dim_x,
            "dim(y)": p.dim_y,
            "posterior": "exact" if p.has_exact_posterior else "ABC",
        }

    return [row(name) for name in problem_names()]


def _models() -> list[dict[str, Any]]:
    def row(name: str, info: ModelInfo | str) -> dict[str, Any]:
        if isinstance(info, str):
            blank = dict.fromkeys(("inverse", "dim(z)", "ML", "on y", "eq."), "")
            return {"name": name, "family": info, **blank, "from": "broken"}
        return {
            "name": name,
            "family": info.family,
            "inverse": info.invertibility,
            "dim(z)": info.latent,
            "ML": "yes" if info.maximum_likelihood else "no",
            "on y": "yes" if info.supervised else "no",
            "eq.": info.equations or "-",
            "from": "paper" if not info.addition else "added" if info.trained else "base",
        }

    return [row(name, info) for name, info in _known_models()]


def _model_records() -> list[dict[str, Any]]:
    """The same for programs: every field under its own name."""
    return [
        {"name": name, "error": info} if isinstance(info, str) else asdict(info)
        for name, info in _known_models()
    ]


def _known_models() -> Iterator[tuple[str, ModelInfo | str]]:
    """Names with what is known of each, or why a plug-in does not load."""
    from fastinv.models import model_info, model_names
    from fastinv.problems import PluginError

    for name in (*model_names(), *model_names("baselines")):
        try:
            yield name, model_info(name)
        except PluginError as error:
            yield name, str(error)


def _presets() -> list[dict[str, Any]]:
    from fastinv.presets import PRESETS

    return [
        {
            "name": p.name,
            "parameters": p.parameters,
            "training pairs": p.training_pairs,
            "batch size": p.batch_size,
            "epochs": p.epochs,
            "observations": p.observations,
            "samples": p.samples,
        }
        for p in PRESETS.values()
    ]


def _kernels() -> list[dict[str, Any]]:
    return [
        {"name": "paper", "kernel": "inverse multiquadrics, three widths: the default score"},
        {"name": "hint", "kernel": "inverse multiquadrics, another three"},
        {"name": "multiscale", "kernel": "1 / (1 + d^2 / h^2), h = 0.05, 0.2, 0.9"},
        {"name": "gaussian", "kernel": "Gaussian of bandwidth 1"},
        {"name": "gaussian(h1, h2, ...)", "kernel": "sum of Gaussians of these bandwidths"},
        {"name": "median", "kernel": "Gaussian, its bandwidth the median distance per observation"},
    ]


def _runs(folder: Path) -> list[dict[str, Any]]:
    from fastinv.store import RunReader, StoreError, list_runs

    rows = []
    for path in list_runs(folder):
        row: dict[str, Any] = {"name": path.name, "problems": "", "preset": "", "stages": ""}
        try:
            with RunReader(path) as run:
                settings, stages = run.settings, run.stages().values()
            done = sum(stage.status == "done" for stage in stages)
            row["problems"] = ", ".join(settings["problems"])
            row["preset"] = settings["preset"]["name"]
            row["stages"] = f"{done} done, {sum(s.status == 'failed' for s in stages)} failed"
        except StoreError as error:
            row["stages"] = f"unreadable: {error}"
        rows.append(row)
    return rows


def _print(rows: list[dict[str, Any]], what: str) -> None:
    if not rows:
        typer.echo(f"no {what}", err=True)
        return
    # Thousands apart as in `fastinv.reports.text.count`, whose import would take longer than the rest.
    cells = [
        [f"{v:,}".replace(",", " ") if isinstance(v, int) else str(v) for v in row.values()] for row in rows
    ]
    heads = list(rows[0])
    widths = [max(len(text) for text in column) for column in zip(heads, *cells, strict=True)]
    numeric = [isinstance(value, int) for value in rows[0].values()]
    for line in (heads, *cells):
        parts = (
            text.rjust(w) if right else text.ljust(w)
            for text, w, right in zip(line, widths, numeric, strict=True)
        )
        # Not typer.echo, which writes UTF-8 to streams that were told to be ASCII.
        print("  ".join(parts).rstrip())
