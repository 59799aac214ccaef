"""Leaderboard entries: what is written can be read, and nothing else can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastinv
from fastinv.reports import Entry, EntryError, make_entry, parse_entry, submission_result
from fastinv.reports.entry import MAX_BYTES, SCORES
from fastinv.scoring import make_protocol

PROTOCOL = make_protocol(fastinv.problem("ballistics"), observations=5, samples=10, counts="rounded")
PER_OBSERVATION = {metric: np.linspace(0.1, 0.5, 5) for metric in SCORES}
SHA = "0" * 64


def entry(**more: Any) -> Entry:
    return make_entry("My model", PROTOCOL, PER_OBSERVATION, SHA, **more)


def test_an_entry_comes_back() -> None:
    made = entry(url="https://example.org/x?y=1", parameters=12, inference_ms=0.5)
    assert parse_entry(made.to_json().encode()) == made
    assert made.scores["err_post"]["mean"] == pytest.approx(0.3)


def test_scores_without_a_figure_are_null() -> None:
    made = make_entry("x", PROTOCOL, {**PER_OBSERVATION, "err_resim": np.full(5, np.nan)}, SHA)
    assert parse_entry(made.to_json().encode()).scores["err_resim"]["mean"] is None


def test_the_result_shows_the_entrys_name() -> None:
    result = submission_result(entry(), PROTOCOL, PER_OBSERVATION, PER_OBSERVATION)
    assert (result.rows[0].name, result.has_counts, result.counts) == ("My model", True, "rounded")


@pytest.mark.parametrize(
    "claims",
    [
        {"url": "ftp://example.org"},
        {"url": "javascript:alert(1)"},
        {"url": "https://a b"},
        {"url": 'https://example.org/"><script>'},
        {"url": "https://" + "x" * 300},
        {"parameters": 0},
        {"parameters": True},
        {"parameters": 1.5},
        {"inference_ms": 0.0},
        {"inference_ms": float("nan")},
        {"inference_ms": float("inf")},
    ],
)
def test_impossible_claims_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(EntryError, match=f"^{next(iter(claims))} must be"):
        entry(**claims)


@pytest.mark.parametrize("name", ["", " ", "x" * 81, "a\nb", "\x1b[2J"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(EntryError, match="name must be 1 to 80"):
        make_entry(name, PROTOCOL, PER_OBSERVATION, SHA)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.update(format="other"), "format must be"),
        (lambda e: e.update(version=2), "version must be 1"),
        (lambda e: e.update(extra=1), "unknown field 'extra'"),
        (lambda e: e.pop("scores"), "'scores' is missing"),
        (lambda e: e.update(protocol=[]), "protocol must be an object"),
        (lambda e: e["protocol"].update(kernel="hint"), "protocol_hash must be"),
        (lambda e: e["protocol"].update(more=1), "exactly the fields"),
        (lambda e: e["protocol"].pop("kernel"), "exactly the fields"),
        (lambda e: e["protocol"].update(kernel={"a": []}), "protocol"),
        (lambda e: e.update(problem="kinematics"), "problem must be"),
        (lambda e: e["scores"].pop("lost"), "scores must be"),
        (lambda e: e["scores"]["lost"].update(mean="0"), "scores.lost must be"),
        (lambda e: e["scores"]["lost"].update(other=0), "scores.lost must be"),
        (lambda e: e.update(scores=[]), "scores must be"),
        (lambda e: e.update(samples_sha256="x"), "samples_sha256 must be"),
        (lambda e: e.update(created="x\n"), "created must be"),
        (lambda e: e.update(name=5), "name must be"),
    ],
)
def test_altered_entries_are_refused(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    found = json.loads(entry().to_json())
    change(found)
    with pytest.raises(EntryError, match=message):
        parse_entry(json.dumps(found).encode())


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[]", b"[" * 50_000, b'{"a":' * 10_000, b"NaN", b" " * (MAX_BYTES + 1)],
    ids=["empty", "no text", "a list", "deep list", "deep object", "NaN", "long"],
)
def test_rubbish_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(EntryError) as caught:
        parse_entry(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_nan_in_an_entry_is_refused() -> None:
    text = entry().to_json().replace('"count": 5', '"count": NaN', 1)
    with pytest.raises(EntryError, match="scores"):
        parse_entry(text.encode())
