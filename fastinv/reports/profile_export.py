"""Inference profiles as JSON and CSV, and read again from what was saved."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, asdict, fields, is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from fastinv.timing.kernels import KernelRow
from fastinv.timing.records import Profile

FORMATS = ("json", "csv")


def profile_object(
    profiles: Sequence[Profile], kernels: Sequence[KernelRow], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """What JSON has of profiles: all their figures, NaN and infinity as null."""
    content = {
        "models": [{**asdict(p), "best": p.best.mode if p.best else None} for p in profiles],
        "kernels": [asdict(row) for row in kernels],
        "provenance": dict(provenance),
    }
    found: dict[str, Any] = _finite(content)
    return found


def to_json(content: Mapping[str, Any]) -> str:
    """A profile's object as text."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def to_csv(profiles: Sequence[Profile], kernels: Sequence[KernelRow]) -> str:
    """One line per measured call: 1000 samples, one sample, each batch size, each kernel."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        (
            "what",
            "problem",
            "name",
            "samples",
            "median_ms",
            "q25_ms",
            "q75_ms",
            "p99_ms",
            "per_second",
            "note",
        )
    )
    for profile in profiles:
        for mode in profile.modes:
            calls = [(1000, mode.latency, mode.reason)]
            if mode.single is not None and all(p.batch != 1 for p in mode.points):
                calls.append((1, mode.single, ""))
            calls += [(p.batch, p.timing, p.note) for p in mode.points]
            for samples, timing, note in calls:
                rate = samples / (1e-3 * timing.median_ms) if timing else None
                head = (profile.model, profile.problem, mode.mode, samples)
                writer.writerow((*head, *_times(timing), rate, note))
    for row in kernels:
        writer.writerow((row.operation, "", row.backend, "", *_times(row.timing), row.per_second, row.reason))
    return text.getvalue()


def _times(timing: Any) -> tuple[float | None, ...]:
    if timing is None:
        return (None,) * 4
    return timing.median_ms, timing.q25_ms, timing.q75_ms, timing.p99_ms


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def profile_from_object(content: Any) -> Profile:
    """A profile of what `profile_object` made of it.

    Raises:
        ValueError: it is something else.
    """
    try:
        found: Profile = _built(Profile, content)
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a profile: {error}") from error
    return found


def _built(kind: Any, value: Any) -> Any:
    """The value of a type that JSON has as `value`: dataclasses, tuples and optional fields of such."""
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{f.name: _field(f, hints[f.name], value[f.name]) for f in fields(kind)})  # type: ignore[operator]
    if get_origin(kind) is tuple:
        return tuple(_built(get_args(kind)[0], part) for part in value)
    if get_origin(kind) is UnionType:
        return None if value is None else _built(get_args(kind)[0], value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ValueError(f"not a profile: {value!r} is no {kind.__name__}")
    return value


def _field(field: Field[Any], kind: Any, value: Any) -> Any:
    # JSON has null for NaN and infinity, which only stand where nothing was measured: the default says which.
    if value is None and kind is float:
        return math.nan if field.default is MISSING else field.default
    return _built(kind, value)
