"""Accuracy that a run must reach, for use in continuous integration."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fastinv.names import UnknownNameError
from fastinv.reports.results import ProblemResult
from fastinv.reports.text import figure

METRICS = ("err_post", "err_post_unbiased", "err_post_4000", "err_resim", "cycle_error", "forward_error")


class GateError(ValueError):
    """A gate that is not understood."""


@dataclass(frozen=True)
class AccuracyGate:
    """The mean of a metric must not exceed a limit, for one model or (None) for all that have it."""

    model: str | None
    metric: str
    limit: float

    def misses(self, results: Sequence[ProblemResult]) -> list[str]:
        """One line for every model that misses the gate; a row that is not finished misses it too."""
        lines = []
        for result in results:
            for row in result.rows:
                if self.model not in (None, row.name):
                    continue
                summary = row.scores.get(self.metric)
                if row.status == "ok" and (summary is None or summary.mean <= self.limit):
                    continue
                found = row.status if row.status != "ok" or summary is None else figure(summary.mean)
                lines.append(f"{result.problem} {row.name} {self.metric}: {found}, limit {self.limit:g}")
        return lines


def parse_accuracy_gate(text: str, models: Collection[str]) -> AccuracyGate:
    """A gate such as "err_post<=0.03" or "cinn.err_post<=0.03".

    Args:
        text: the gate.
        models: names that may stand before the point.

    Raises:
        GateError: another form.
        UnknownNameError: no such model or metric.

    Examples:
        >>> parse_accuracy_gate("cinn.err_post<=0.03", ["cinn"])
        AccuracyGate(model='cinn', metric='err_post', limit=0.03)
    """
    match = re.fullmatch(r"(?:([\w-]+)\.)?(\w+)<=([0-9.eE+-]{1,20})", text.strip())
    try:
        limit = float(match[3]) if match else math.nan
    except ValueError:
        limit = math.nan
    if match is None or not math.isfinite(limit):
        raise GateError(f"a gate is METRIC<=LIMIT or MODEL.METRIC<=LIMIT, as in err_post<=0.03; got {text!r}")
    if match[1] is not None and match[1] not in models:
        raise UnknownNameError("model", match[1], models)
    if match[2] not in METRICS:
        raise UnknownNameError("metric", match[2], METRICS)
    return AccuracyGate(match[1], match[2], limit)
