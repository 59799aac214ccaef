"""Leaderboard entries: one small JSON file per model, problem and protocol."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import fastinv
from fastinv.scoring import Protocol
from fastinv.scoring.statistics import Summary

FORMAT = "fastinv-entry"
VERSION = 1
MAX_BYTES = 65_536
SCORES = ("err_post", "err_post_unbiased", "err_post_4000", "err_resim", "lost")
_REQUIRED = ("name", "problem", "protocol", "protocol_hash", "scores", "samples_sha256")
_SUMMARY_KEYS = frozenset(Summary.__dataclass_fields__)


class EntryError(ValueError):
    """An entry that cannot be accepted; the message names the field and what is accepted."""


@dataclass(frozen=True)
class Entry:
    """A model's scores under one protocol, as it appears on a leaderboard.

    Attributes:
        name: of the model, 1 to 80 printable characters.
        problem: name of the problem.
        protocol: everything that the scores depend on besides the model.
        protocol_hash: of the protocol; entries are only ever ranked under the same one.
        scores: summaries by metric, None where there is no finite figure.
        samples_sha256: of the file that was scored.
        url: where the model is described, http or https.
        parameters: number of trainable parameters.
        inference_ms: milliseconds to draw 1000 samples for one y*, as its author states.
        scored_with: version of fastinv.
        created: date, ISO 8601, UTC.
    """

    name: str
    problem: str
    protocol: Mapping[str, Any]
    protocol_hash: str
    scores: Mapping[str, Mapping[str, float | None]]
    samples_sha256: str
    url: str | None = None
    parameters: int | None = None
    inference_ms: float | None = None
    scored_with: str = fastinv.__version__
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        """Raise EntryError for a field that is not what it should be."""
        check_claims(self.name, self.url, self.parameters, self.inference_ms)
        _require(_is_text(self.problem, 80), "problem", "a problem's name")
        _require(_matches(self.samples_sha256, r"[0-9a-f]{64}"), "samples_sha256", "64 hexadecimal digits")
        _require(_is_text(self.scored_with, 40), "scored_with", "a version")
        _require(_is_text(self.created, 40), "created", "a date")
        self._check_protocol()
        self._check_scores()

    def _check_protocol(self) -> None:
        try:
            protocol = Protocol(**self.protocol)
            found = protocol.hash
        except TypeError:
            raise EntryError("protocol must have exactly the fields of a protocol") from None
        for name, value in self.protocol.items():
            fine = _is_text(value, 80) or (_is_whole(value) and 0 <= value < 10**12)
            _require(
                fine or (name == "counts" and value is None), f"protocol.{name}", "short text or a number"
            )
        _require(found == self.protocol_hash, "protocol_hash", f"the hash of the protocol, {found}")
        _require(protocol.problem == self.problem, "problem", "the protocol's problem")

    def _check_scores(self) -> None:
        complete = isinstance(self.scores, Mapping) and set(self.scores) == set(SCORES)
        _require(complete, "scores", "an object with " + ", ".join(SCORES))
        for metric, summary in self.scores.items():
            fine = isinstance(summary, Mapping) and set(summary) == _SUMMARY_KEYS
            fine = fine and all(v is None or _is_number(v) for v in summary.values())
            _require(fine, f"scores.{metric}", "numbers or null under " + ", ".join(sorted(_SUMMARY_KEYS)))

    def to_json(self) -> str:
        """The entry as a file's content."""
        content = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def check_claims(name: str, url: str | None, parameters: int | None, inference_ms: float | None) -> None:
    """Check what an author says of a model.

    Raises:
        EntryError: the first claim that is not what it should be.
    """
    _require(_is_text(name, 80), "name", "1 to 80 printable characters")
    _require(url is None or _is_url(url), "url", "an http or https address of at most 300 characters")
    count_is_fine = parameters is None or (_is_whole(parameters) and 0 < parameters < 10**15)
    _require(count_is_fine, "parameters", "a positive whole number")
    time_is_fine = inference_ms is None or (_is_number(inference_ms) and 0 < inference_ms < 1e12)
    _require(time_is_fine, "inference_ms", "a positive number")


def summary_object(summary: Summary) -> dict[str, float | None]:
    """A summary as entries hold it: null in place of NaN."""
    return {name: value if math.isfinite(value) else None for name, value in asdict(summary).items()}


def parse_entry(content: bytes) -> Entry:
    """The entry in a file that anyone may have made.

    Raises:
        EntryError: too long, not JSON, too deep, of another version, or a field is not what it should be.
    """
    if len(content) > MAX_BYTES:
        raise EntryError(f"an entry has at most {MAX_BYTES} bytes, this one has {len(content)}")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise EntryError(f"an entry is JSON, and this is not: {' '.join(str(error).split())[:80]}") from None
    if not isinstance(found, dict) or found.pop("format", None) != FORMAT:
        raise EntryError(f"format must be {FORMAT!r}")
    if found.pop("version", None) != VERSION:
        raise EntryError(f"version must be {VERSION}")
    known = set(Entry.__dataclass_fields__)
    if strange := sorted(set(found) - known):
        raise EntryError(f"unknown field {strange[0][:40]!r}")
    if missing := [name for name in (*_REQUIRED, "scored_with", "created") if name not in found]:
        raise EntryError(f"field {missing[0]!r} is missing")
    if not isinstance(found["protocol"], dict):
        raise EntryError("protocol must be an object")
    return Entry(**found)


def _require(fine: bool, name: str, accepted: str) -> None:
    if not fine:
        raise EntryError(f"{name} must be {accepted}")


def _is_text(value: object, longest: int) -> bool:
    return (
        isinstance(value, str) and 0 < len(value) <= longest and value.isprintable() and bool(value.strip())
    )


def _is_url(value: object) -> bool:
    return _is_text(value, 300) and _matches(value, r"https?://[^\s<>\"'`]+")


def _matches(value: object, pattern: str) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    # JSON's whole numbers have no end; what floating-point numbers cannot hold, nobody can show.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
