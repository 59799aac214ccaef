"""Results as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastinv.reports.columns import MODELS, NAME, POSTERIOR, RESIMULATION, Group
from fastinv.reports.published import published
from fastinv.reports.results import ProblemResult, Row
from fastinv.reports.text import UNICODE
from fastinv.scoring.statistics import Summary

FORMATS = ("json", "csv", "md")
STDOUT = "-"


def export_format(target: str) -> str:
    """The format that a target asks for: by its extension, JSON for "-".

    Raises:
        ValueError: an extension that is not one of .json, .csv and .md.

    Examples:
        >>> export_format("table.md"), export_format("-")
        ('md', 'json')
    """
    if target == STDOUT:
        return "json"
    extension = Path(target).suffix.lower().lstrip(".")
    if extension not in FORMATS:
        accepted = ", ".join(f".{form}" for form in FORMATS)
        raise ValueError(f"cannot tell the format of {target!r}: accepted extensions are {accepted}")
    return extension


def render(results: Sequence[ProblemResult], form: str) -> str:
    """Results as text in one of `FORMATS`."""
    return {"json": to_json, "csv": to_csv, "md": to_markdown}[form](results)


def to_json(results: Sequence[ProblemResult]) -> str:
    """One object for a single result, a list for several."""
    objects = [result_object(result) for result in results]
    return json.dumps(objects[0] if len(objects) == 1 else objects, indent=2, allow_nan=False) + "\n"


def result_object(result: ProblemResult) -> dict[str, Any]:
    """A result as JSON has it."""
    floor = result.floor.scores
    return {
        "problem": result.problem,
        "preset": result.preset,
        "seed": result.seeds[0] if len(result.seeds) == 1 else list(result.seeds),
        "counts": result.counts,
        "kernel": result.kernel,
        "observations": result.observations,
        "samples": result.samples,
        "protocol": result.protocol,
        "floor": {metric: _centre(floor.get(metric)) for metric in ("err_post", "err_post_4000")},
        "models": [_model_object(row) for row in result.rows],
        "provenance": dict(result.provenance),
    }


def _model_object(row: Row) -> dict[str, Any]:
    unbiased = row.scores.get("err_post_unbiased")
    return {
        "name": row.name,
        "status": row.status,
        "error": row.error,
        "parameters": row.facts.parameters if row.facts else None,
        "latent_dim": row.facts.latent_dim if row.facts else None,
        "err_post": {
            **_with_interval(row.scores.get("err_post")),
            "unbiased_mean": _finite(unbiased.mean) if unbiased else None,
        },
        "err_post_4000": _with_interval(row.scores.get("err_post_4000")),
        "err_resim": _with_interval(row.scores.get("err_resim")),
        "inference_ms": row.inference_ms,
        "training_s": row.training_s,
    }


def _centre(summary: Summary | None) -> dict[str, float | None]:
    if summary is None:
        return {"mean": None, "median": None}
    return {"mean": _finite(summary.mean), "median": _finite(summary.median)}


def _with_interval(summary: Summary | None) -> dict[str, Any]:
    known = summary is not None and math.isfinite(summary.low)
    return {**_centre(summary), "ci95": [summary.low, summary.high] if summary and known else None}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


_METRICS = (
    "err_post",
    "err_post_unbiased",
    "err_post_4000",
    "err_resim",
    "lost",
    "cycle_error",
    "forward_error",
)
_CSV_FACTS = ("parameters", "latent_dim", "maximum_likelihood", "supervised", "addition")


def to_csv(results: Sequence[ProblemResult]) -> str:
    """One line per problem and model, the floor first, every summary a column."""
    out = io.StringIO()
    rows = [_csv_row(result, row) for result in results for row in (result.floor, *result.rows)]
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else ["problem"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _csv_row(result: ProblemResult, row: Row) -> dict[str, Any]:
    paper = published(result.problem, row.name)
    cells: dict[str, Any] = {
        "problem": result.problem,
        "preset": result.preset,
        "seeds": " ".join(map(str, result.seeds)),
        "counts": result.counts,
        "kernel": result.kernel,
        "observations": result.observations,
        "samples": result.samples,
        "protocol": result.protocol,
        "clamped": result.clamped,
        "model": row.name,
        "status": row.status,
        "error": row.error,
        **{fact: getattr(row.facts, fact) if row.facts else None for fact in _CSV_FACTS},
    }
    for metric in _METRICS:
        summary = row.scores.get(metric)
        for name in ("mean", "median", "low", "high", "q25", "q75"):
            value = getattr(summary, name) if summary else None
            cells[f"{metric}_{name}"] = None if value is None else _finite(value)
    cells |= {"inference_ms": row.inference_ms, "training_s": row.training_s}
    return cells | {"paper_err_post": paper.err_post, "paper_err_resim": paper.err_resim}


def to_markdown(results: Sequence[ProblemResult]) -> str:
    """A heading and three tables per problem."""
    parts = []
    for result in results:
        parts.append(
            f"## {result.problem}\n\npreset {result.preset}, seeds {', '.join(map(str, result.seeds))}, "
            f"{result.observations} observations × {result.samples} samples, kernel {result.kernel}, "
            f"counts {result.counts}, protocol `{result.protocol}`\n"
        )
        parts += [_markdown_table(result, group) for group in (POSTERIOR, RESIMULATION, MODELS)]
        failed = [row for row in result.rows if row.status == "failed"]
        parts += [f"- {row.name} failed: {_escaped(row.error or '')}\n" for row in failed]
    return "\n".join(parts)


def _markdown_table(result: ProblemResult, group: Group) -> str:
    columns = (NAME, *group.columns)
    heads = [column.plain_head for column in columns]
    lines = [
        f"### {group.heading}\n",
        f"| {' | '.join(heads)} |",
        "|---" + "|---:" * len(group.columns) + "|",
    ]
    for row in (result.floor, *result.rows):
        cells = (column.text(result, row, UNICODE) for column in columns)
        lines.append(f"| {' | '.join(_escaped(UNICODE.dash if c is None else c) for c in cells)} |")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
