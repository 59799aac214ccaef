"""What the events of a run are called, live and in a log."""

from __future__ import annotations

from collections.abc import Mapping

from fastinv.reports.text import duration, figure
from fastinv.store import StageKey

RowKey = tuple[str, str, int]
VERBS = {"train": "training", "score": "scoring", "time": "timing"}


def row_name(key: StageKey) -> str:
    """Problem and model, and the seed where it is not 0."""
    return f"{key.problem} {key.model}" + (f" seed {key.seed}" if key.seed else "")


def finished(key: StageKey, seconds: float, headline: Mapping[str, float]) -> str:
    """A line for a finished stage, with its scores if it has any."""
    scores = [
        f"{label} {figure(headline[metric])}"
        for metric, label in (("err_post", "Err_post"), ("err_resim", "Err_resim"))
        if metric in headline
    ]
    return f"{row_name(key)}: {', '.join([*scores, VERBS[key.stage]])} took {duration(seconds)}"


def roughly(seconds: float) -> str:
    """An estimate, no more exact than it can be.

    Examples:
        >>> [roughly(s) for s in (3.2, 47.0, 100.0, 1000.0, 4000.0)]
        ['5 s', '45 s', '1 min 45 s', '17 min', '1 h 05 min']
    """
    if seconds < 57.5:
        return f"{max(5, 5 * round(seconds / 5))} s"
    if seconds < 300.0:
        quarters = round(seconds / 15)
        return f"{quarters // 4} min" + (f" {15 * (quarters % 4)} s" if quarters % 4 else "")
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {5 * (minutes % 60 // 5):02d} min"
