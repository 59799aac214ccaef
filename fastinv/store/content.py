"""Making sure that what a run file says has the shape that the rest of the program counts on.

A file may be damaged or come from elsewhere; every surprise ends in a StoreError, not in a traceback.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.store.errors import StoreError

# The kinds of columns that `check_row` tells apart.
_TYPES: dict[str, type | tuple[type, ...]] = {"s": str, "t": str, "i": int, "f": (int, float)}


def parse_object(text: object, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        StoreError: anything else.
    """
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise StoreError(f"the file is damaged: its {what} cannot be read")
    return found


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise StoreError unless the settings have what reports rely on."""
    preset = settings.get("preset")
    fine = (
        _all(str, settings.get("problems"))
        and _all(int, settings.get("seeds"))
        and all(isinstance(settings.get(name), str) for name in ("counts", "kernel"))
        and isinstance(preset, dict)
        and isinstance(preset.get("name"), str)
        and all(_is(int, preset.get(name)) for name in ("observations", "samples"))
    )
    if not fine:
        raise StoreError("the file is damaged: its settings cannot be read")


def check_row(row: tuple[Any, ...], kinds: str, what: str) -> tuple[Any, ...]:
    """A row whose columns have the given kinds.

    Args:
        row: from SQLite, which keeps any kind of value in any column.
        kinds: one letter per column: s printable text, t any text, i integer, f number; a capital letter
            allows NULL as well.
        what: name of the table, for the message.

    Raises:
        StoreError: it has other kinds.
    """
    for value, kind in zip(row, kinds, strict=True):
        fine = (value is None and kind.isupper()) or isinstance(value, _TYPES[kind.lower()])
        if not fine or (kind == "s" and not value.isprintable()):
            raise StoreError(f"the file is damaged: table {what!r} has {str(value)[:40]!r} in a wrong place")
    return row


def score_columns(rows: Iterable[tuple[Any, ...]]) -> dict[str, NDArray[np.float64]]:
    """Arrays by metric from rows (metric, observation, value) in order; NULL becomes NaN.

    Raises:
        StoreError: the observations do not count 0, 1, ... or differ between metrics.
    """
    values: dict[str, list[float]] = {}
    for metric, observation, value in rows:
        column = values.setdefault(metric, [])
        if observation != len(column):
            raise StoreError(f"the file is damaged: scores of {metric[:40]!r} are missing")
        column.append(np.nan if value is None else value)
    if len({len(column) for column in values.values()}) > 1:
        raise StoreError("the file is damaged: its scores cover different numbers of observations")
    return {metric: np.array(column, dtype=np.float64) for metric, column in values.items()}


def _is(kind: type, value: object) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _all(kind: type, values: object) -> bool:
    return isinstance(values, list) and len(values) > 0 and all(_is(kind, value) for value in values)
