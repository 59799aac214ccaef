"""Two runs side by side, observation by observation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from fastinv.reports.tables import new_table
from fastinv.reports.text import Glyphs, figure, glyphs
from fastinv.scoring.statistics import bca_interval
from fastinv.store import FLOOR, IN_MODE, RunReader

FloatArray = NDArray[np.float64]

SCORES = ("err_post", "err_resim")
TIMES = ("inference_ms", "training_s")
BETTER, WORSE, SAME = "+", "-", "~"


class ComparisonError(ValueError):
    """Two runs cannot be compared, or a gate is not understood; the message says why."""


@dataclass(frozen=True)
class Change:
    """How a figure differs between two runs.

    Attributes:
        before: mean in the first run.
        after: mean in the second.
        low: lower end of the 95% interval of the paired difference, NaN for times.
        high: upper end.
    """

    before: float
    after: float
    low: float
    high: float

    @property
    def relative(self) -> float:
        """(after - before) / before, NaN for a figure that was 0."""
        return (self.after - self.before) / self.before if self.before else float("nan")

    @property
    def verdict(self) -> str:
        """ "+" if the second run is better, "-" if worse, "~" if the interval of the difference holds 0."""
        return BETTER if self.high < 0.0 else WORSE if self.low > 0.0 else SAME


@dataclass(frozen=True)
class ModelChange:
    """All changes of one model on one problem, by metric; None where a run has no such figure."""

    problem: str
    model: str
    changes: dict[str, Change | None]


@dataclass(frozen=True)
class Gate:
    """A regression that is not tolerated: `metric` worse by more than `tolerance` (a share)."""

    metric: str
    tolerance: float

    def broken_by(self, change: Change | None) -> bool:
        """Whether a change exceeds the tolerance and, for scores, is more than chance."""
        if change is None or not change.relative > self.tolerance:
            return False
        return self.metric in TIMES or change.verdict == WORSE


def parse_gate(text: str) -> Gate:
    """A gate such as "err_post:5%".

    Raises:
        ComparisonError: another form, or an unknown metric.

    Examples:
        >>> parse_gate("err_post:5%")
        Gate(metric='err_post', tolerance=0.05)
    """
    match = re.fullmatch(r"(\w+):(\d{1,6}(?:\.\d{1,6})?)%", text.strip())
    if match is None or match[1] not in (*SCORES, *TIMES):
        known = ", ".join((*SCORES, *TIMES))
        raise ComparisonError(
            f"a gate is METRIC:PERCENT%, as in err_post:5%, with METRIC of {known}; got {text!r}"
        )
    return Gate(match[1], float(match[2]) / 100.0)


def compare(first: RunReader, second: RunReader) -> list[ModelChange]:
    """Changes from one run to another for every problem and model that both have scored.

    Scores are compared observation by observation, over the mean of the training seeds.

    Raises:
        ComparisonError: nothing in common, or another protocol.
        StoreError: a run cannot be read.
    """
    problems = [p for p in first.settings["problems"] if p in second.settings["problems"]]
    found = []
    for problem in problems:
        protocols = [run.protocol(problem) for run in (first, second)]
        if None in protocols:
            continue
        (a, _), (b, _) = (p for p in protocols if p is not None)
        if a != b:
            raise ComparisonError(
                f"scores of {problem!r} follow different protocols ({a} and {b}) and cannot be compared"
            )
        models = [m for m in _scored(first, problem) if m in _scored(second, problem)]
        found += [_model_change(first, second, problem, model) for model in models]
    if not found:
        raise ComparisonError("the runs have no scored model in common")
    return found


def _scored(run: RunReader, problem: str) -> list[str]:
    stages = run.stages().values()
    done = (s.key for s in stages if s.key.stage == "score" and s.status == "done")
    return list(dict.fromkeys(k.model for k in done if k.problem == problem and k.model != FLOOR))


def _model_change(first: RunReader, second: RunReader, problem: str, model: str) -> ModelChange:
    changes: dict[str, Change | None] = {}
    for metric in SCORES:
        a, b = (_per_observation(run, problem, model, metric) for run in (first, second))
        both = np.isfinite(a) & np.isfinite(b)
        low, high = bca_interval((b - a)[both])
        changes[metric] = (
            Change(float(a[both].mean()), float(b[both].mean()), low, high) if both.any() else None
        )
    for name in TIMES:
        times = [v for run in (first, second) if (v := _time(run, problem, model, name)) is not None]
        changes[name] = Change(times[0], times[1], float("nan"), float("nan")) if len(times) == 2 else None
    return ModelChange(problem, model, changes)


def _per_observation(run: RunReader, problem: str, model: str, metric: str) -> FloatArray:
    seeds = run.settings["seeds"]
    columns = [s[metric] for seed in seeds if metric in (s := run.scores(problem, model, seed))]
    return np.asarray(np.mean(columns, axis=0))


def _time(run: RunReader, problem: str, model: str, name: str) -> float | None:
    seeds = run.settings["seeds"]
    if name == "inference_ms":
        timings = (run.timings(problem, model, s) for s in seeds)
        values = [t.median_ms for found in timings for what, t in found.items() if IN_MODE not in what]
    else:
        values = [
            stage.seconds
            for key, stage in run.stages().items()
            if key[:2] == (problem, model) and key.stage == "train" and stage.status == "done"
        ]
    return float(np.mean(values)) if values else None


def print_comparison(changes: Sequence[ModelChange], console: Console) -> None:
    """Print a table per problem and score, and one of the times."""
    signs = glyphs(console.encoding)
    for problem in dict.fromkeys(c.problem for c in changes):
        console.print(Text(f"\n{problem}", style="bold"))
        rows = [change for change in changes if change.problem == problem]
        for metric, title in zip(SCORES, ("Err_post", "Err_resim"), strict=True):
            score = ("\nmodel", f"{title}\nbefore", "\nafter", "\nchange", "95%\ninterval", "\n ")
            console.print()
            _print_table(console, signs, score, [_score_cells(row, metric) for row in rows])
        draw, training = (f"{what}\nbefore" for what in ("draw ms", "training s"))
        times = ("\nmodel", draw, "\nafter", "\nratio", training, "\nafter", "\nratio")
        console.print()
        _print_table(console, signs, times, [_time_cells(row, signs) for row in rows])
    console.print(
        "\n+ better, - worse, ~ no more than chance. Intervals are of the mean difference, paired over the "
        "observations, as a share of the mean before.",
        soft_wrap=not console.is_terminal,
    )


def _print_table(
    console: Console, signs: Glyphs, heads: Sequence[str], rows: Sequence[Sequence[str | None]]
) -> None:
    styles = {BETTER: "bold green", WORSE: "bold red"}
    table = new_table(signs)
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(signs.dash if t is None else t, style=styles.get(t or "", "")) for t in row))
    console.print(table)


def _score_cells(row: ModelChange, metric: str) -> list[str | None]:
    change = row.changes[metric]
    if change is None:
        return [row.model, *[None] * 5]
    interval = None
    if change.before > 0.0 and np.isfinite(change.low):
        interval = f"[{100 * change.low / change.before:+.1f} {100 * change.high / change.before:+.1f}]%"
    percent = None if np.isnan(change.relative) else f"{100 * change.relative:+.1f}%"
    return [row.model, figure(change.before), figure(change.after), percent, interval, change.verdict]


def _time_cells(row: ModelChange, signs: Glyphs) -> list[str | None]:
    cells: list[str | None] = [row.model]
    for metric in TIMES:
        change = row.changes[metric]
        if change is None or not change.before:
            cells += [None] * 3
        else:
            ratio = f"{change.after / change.before:.2f}{signs.times}"
            cells += [figure(change.before), figure(change.after), ratio]
    return cells
