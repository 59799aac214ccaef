"""Leaderboards: order and ties, protocols kept apart, and files from strangers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import fastinv
from fastinv.cli.app import app
from fastinv.models import load
from fastinv.reports import Entry, EntryError, load_results, make_entry, parse_entry
from fastinv.reports.leaderboard import boards, boards_markdown, read_entries, write_site
from fastinv.runner.truth import block_seed
from fastinv.scoring import Protocol, make_protocol
from fastinv.store import RunReader

PROTOCOL = make_protocol(fastinv.problem("kinematics"), observations=5, samples=10, counts="rounded")
SCORES = ("err_post", "err_post_unbiased", "err_post_4000", "err_resim", "lost")
HOSTILE = "<script>alert(1)</script>\"'|[x](javascript:alert(1))`@me"


def entry(
    name: str, mean: float, half_width: float = 0.001, protocol: Protocol = PROTOCOL, **more: Any
) -> Entry:
    """An entry with a given mean and interval of every score."""
    made = make_entry(name, protocol, {m: np.linspace(0.0, 1.0, 5) for m in SCORES}, name_hash(name), **more)
    summary = {"mean": mean, "low": mean - half_width, "high": mean + half_width, "median": mean, "q25": mean,
               "q75": mean, "count": 5}  # fmt: skip
    return replace(made, scores=dict.fromkeys(SCORES, summary))


def name_hash(name: str) -> str:
    return name.encode().hex().ljust(64, "0")[:64]


def save(folder: Path, *entries: Entry) -> None:
    for i, one in enumerate(entries):
        (folder / f"{i}.json").write_text(one.to_json(), encoding="utf-8")


def build(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["leaderboard", "build", *map(str, arguments)])


def enter(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["leaderboard", "enter", *map(str, arguments)])


def labels(*entries: Entry) -> list[tuple[str, str]]:
    (board,) = boards(entries)
    return [(place.label, place.entry.name) for place in board.places]


def test_the_lowest_err_post_comes_first() -> None:
    assert labels(entry("b", 0.2), entry("c", 0.3), entry("a", 0.1)) == [("1", "a"), ("2", "b"), ("3", "c")]


def test_overlapping_intervals_share_a_rank() -> None:
    made = entry("a", 0.10, 0.02), entry("b", 0.11, 0.02), entry("c", 0.15, 0.025), entry("d", 0.30, 0.01)
    # c overlaps with b, but not with a: one entry is better than it beyond doubt.
    assert labels(*made) == [("1=", "a"), ("1=", "b"), ("2", "c"), ("4", "d")]


def test_an_entry_without_a_mean_is_last_and_has_no_rank() -> None:
    nothing = dict.fromkeys(entry("x", 1.0).scores["err_post"], None)
    without = replace(entry("x", 1.0), scores=dict.fromkeys(SCORES, nothing))
    assert labels(without, entry("a", 9.0)) == [("1", "a"), ("–", "x")]


def test_protocols_are_never_ranked_together() -> None:
    others = [
        replace(PROTOCOL, samples=20),
        replace(PROTOCOL, kernel="hint"),
        replace(PROTOCOL, observations_checksum="0"),
        make_protocol(fastinv.problem("ballistics"), observations=5, samples=10, counts="rounded"),
        make_protocol(fastinv.problem("ballistics"), observations=5, samples=10, counts="continuous"),
    ]
    found = boards([entry("a", 0.1), *(entry("a", 0.2, protocol=p) for p in others)])
    assert len(found) == 6
    assert all(len(board.places) == 1 for board in found)


def test_the_latest_of_two_entries_of_the_same_samples_counts() -> None:
    old = replace(entry("a", 0.1), created="2026-01-01T00:00:00+00:00")
    new = replace(entry("a", 0.2), created="2026-02-01T00:00:00+00:00")
    (board,) = boards([new, old])
    assert [place.entry.created for place in board.places] == [new.created]
    (board,) = boards([new, replace(old, samples_sha256="1" * 64)])
    assert len(board.places) == 2


def raw(change: Callable[[dict[str, Any]], None]) -> bytes:
    content = json.loads(entry("x", 0.1).to_json())
    change(content)
    return json.dumps(content).encode()


def reprotocol(**fields: Any) -> bytes:
    """An entry with an odd protocol whose hash is right all the same."""
    protocol = replace(PROTOCOL, **fields)
    return raw(lambda c: c.update(protocol=asdict(protocol), protocol_hash=protocol.hash))


REFUSED = {
    "empty": b"",
    "no text": bytes(range(256)),
    "long": b" " * 65_537,
    "deep": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep list": b"[" * 30_000,
    "digits": raw(lambda c: c.update(parameters=0)).replace(
        b'"parameters": 0', b'"parameters": ' + b"9" * 5000
    ),
    "huge score": raw(lambda c: c["scores"]["lost"].update(mean=10**400)),
    "infinite score": raw(lambda c: c["scores"]["lost"].update(mean=float("inf"))),
    "no number": raw(lambda c: c["scores"]["lost"].update(mean=float("nan"))),
    "mean outside": raw(lambda c: c["scores"]["err_post"].update(mean=-5.0)),
    "interval without mean": raw(lambda c: c["scores"]["err_post"].update(mean=None)),
    "javascript": raw(lambda c: c.update(url="javascript:alert(1)")),
    "data": raw(lambda c: c.update(url="data:text/html,<script>")),
    "quote in url": raw(lambda c: c.update(url='https://e.org/"onmouseover="x')),
    "bidi name": raw(lambda c: c.update(name="abc\u202edcba")),
    "newline name": raw(lambda c: c.update(name="a\nb")),
    "long name": raw(lambda c: c.update(name="a" * 81)),
    "other hash": raw(lambda c: c.update(protocol_hash="0" * 16)),
    "nested protocol": reprotocol(kernel={"a": ["<b>"]}),
    "negative protocol": reprotocol(samples=-1),
    "problem with a control character": reprotocol(problem="a\x1b[31m"),
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED.keys())
def test_hostile_files_are_refused_with_a_reason(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hostile.json").write_bytes(content)
    save(tmp_path, entry("fine", 0.1))
    entries, refusals = read_entries(tmp_path)
    assert [e.name for e in entries] == ["fine"]
    assert [r.file for r in refusals] == ["hostile.json"]
    assert 0 < len(refusals[0].reason) < 300


def test_a_long_file_is_not_read_to_its_end(tmp_path: Path) -> None:
    with (tmp_path / "sparse.json").open("wb") as file:
        file.truncate(1 << 40)
    _, refusals = read_entries(tmp_path)
    assert "at most 65536 bytes" in refusals[0].reason


def test_links_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "entries"
    folder.mkdir()
    save(tmp_path, entry("outside", 0.1))
    os.symlink(tmp_path / "0.json", folder / "link.json")
    assert read_entries(folder) == ([], [])


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def hostile_entry() -> Entry:
    protocol = replace(PROTOCOL, kernel=HOSTILE[:40], problem=HOSTILE[:60])
    return entry(HOSTILE[:80], 0.1, protocol=protocol, url="https://e.org/?a=<b>"[:16] + "|x")


def test_text_of_entries_is_escaped_on_pages(tmp_path: Path) -> None:
    save(tmp_path, hostile_entry(), entry("fine", 0.2, url="https://example.org/a?b=c&d"))
    (tmp_path / "<img src=x onerror=alert(1)>.json").write_bytes(b"{")
    assert build(tmp_path, "--to", tmp_path / "site").exit_code == 0
    pages = sorted((tmp_path / "site").glob("*.html"))
    assert len(pages) == 3
    for page in pages:
        elements = _Page(page.read_text(encoding="utf-8")).elements
        assert sum(tag == "script" for tag, _ in elements) == 1
        assert not any(tag == "img" for tag, _ in elements)
        assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
        addresses = [a.get("href") or "" for tag, a in elements if tag == "a"]
        assert all(not href.lower().startswith(("javascript", "data", "//")) for href in addresses)
        outside = [a for tag, a in elements if tag == "a" and (a.get("href") or "").startswith("http")]
        assert all("nofollow" in (a["rel"] or "") for a in outside)


def test_text_of_entries_is_escaped_in_markdown() -> None:
    text = boards_markdown(boards([hostile_entry()]))
    assert "<script>" not in text
    assert "@me" not in text
    (row,) = [line for line in text.splitlines() if "https:" in line]
    assert row.count("|") == 9  # eight cells, whatever the name and the address hold
    assert "](javascript" not in row


def test_the_site_has_a_page_per_problem_and_protocol(tmp_path: Path) -> None:
    save(
        tmp_path, entry("a", 0.1), entry("b", 0.1005), entry("c", 0.4, protocol=replace(PROTOCOL, samples=20))
    )
    result = build(tmp_path, "--to", tmp_path / "site")
    assert result.exit_code == 0
    assert "3 entries on 2 boards" in result.output
    names = {path.name for path in (tmp_path / "site").iterdir()}
    assert names == {
        "index.html",
        "leaderboard.md",
        f"kinematics-{PROTOCOL.hash}.html",
        f"kinematics-{replace(PROTOCOL, samples=20).hash}.html",
    }
    text = (tmp_path / "site" / "leaderboard.md").read_text(encoding="utf-8")
    assert "| 1= | a | 0.1000 |" in text
    assert "| 1= | b | 0.1005 |" in text


def test_pages_that_are_no_longer_needed_go_and_others_stay(tmp_path: Path) -> None:
    entries, site = tmp_path / "entries", tmp_path / "site"
    entries.mkdir()
    save(entries, entry("a", 0.1))
    write_site(boards(read_entries(entries)[0]), [], site)
    (site / "about.html").write_text("somebody's own page")
    write_site([], [], site)
    assert {path.name for path in site.iterdir()} == {"index.html", "leaderboard.md", "about.html"}


def test_somebody_elses_index_is_not_overwritten(tmp_path: Path) -> None:
    save(tmp_path, entry("a", 0.1))
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<h1>mine</h1>")
    result = build(tmp_path, "--to", site)
    assert result.exit_code == 2
    assert "was not made by fastinv" in result.output
    assert (site / "index.html").read_text() == "<h1>mine</h1>"


def test_strict_writes_nothing_when_a_file_is_refused(tmp_path: Path) -> None:
    save(tmp_path, entry("a", 0.1))
    (tmp_path / "bad\x1b[31m.json").write_bytes(b"{")
    result = build(tmp_path, "--to", tmp_path / "site", "--strict")
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert not (tmp_path / "site").exists()


def test_no_folder_of_entries(tmp_path: Path) -> None:
    result = build(tmp_path / "nowhere", "--to", tmp_path / "site")
    assert result.exit_code == 2
    assert "there is no folder" in result.output


def test_what_a_board_takes_is_what_an_entry_says() -> None:
    made = entry("a", 0.1)
    assert parse_entry(made.to_json().encode()) == made
    with pytest.raises(EntryError):
        parse_entry(REFUSED["nested protocol"])


def test_a_run_s_models_enter_with_their_scores(run_folder: Path, tmp_path: Path) -> None:
    done = enter(run_folder, "--to", tmp_path / "new" / "entries", "--url", "https://example.org/run")
    assert done.exit_code == 0, done.stderr
    accepted, refusals = read_entries(tmp_path / "new" / "entries")
    assert refusals == []
    assert len(accepted) == len(list((tmp_path / "new" / "entries").iterdir())) == 6
    with RunReader(run_folder) as run:
        for result in load_results(run):
            found = {e.name: e for e in accepted if e.problem == result.problem}
            assert set(found) == {"INN (tiny)", "cINN (tiny)", "MDN (tiny)"}
            assert {e.protocol_hash for e in found.values()} == {result.protocol}
            for row in result.rows:
                assert row.facts is not None
                one = found[f"{row.facts.title} (tiny)"]
                assert one.scores == {m: asdict(row.scores[m]) for m in SCORES}
                assert (one.parameters, one.inference_ms) == (row.facts.parameters, row.inference_ms)
                assert one.url == "https://example.org/run"
    assert build(tmp_path / "new" / "entries", "--to", tmp_path / "site", "--strict").exit_code == 0


def test_the_checksum_is_that_of_the_samples_that_were_scored(run_folder: Path) -> None:
    model = load(run_folder / "checkpoints" / "kinematics-mdn-seed0.safetensors")
    y_star = fastinv.problem("kinematics").observations(8)
    (block,) = [slice(0, 8)]
    samples = model.sample(y_star, 50, seed=block_seed(0, "mdn", block)).astype("<f8")
    with RunReader(run_folder) as run:
        found = run.samples_sha256("kinematics", "mdn", 0)
    assert found == hashlib.sha256(samples.tobytes()).hexdigest()


def test_what_cannot_enter_is_said(run_folder: Path, tmp_path: Path) -> None:
    assert "there is no run" in enter(tmp_path / "nowhere").stderr
    refused = enter(run_folder, "--to", tmp_path / "entries", "--url", "javascript:alert(1)")
    assert (refused.exit_code, "url must be" in refused.stderr) == (2, True)
    assert not (tmp_path / "entries").exists()
    older = tmp_path / "older"
    shutil.copytree(run_folder, older)
    with closing(sqlite3.connect(older / "run.sqlite3")) as raw, raw:
        raw.execute("DROP TABLE sample")
        raw.execute("PRAGMA user_version = 1")
    refused = enter(older, "--to", tmp_path / "entries")
    assert (refused.exit_code, "--redo inn" in refused.stderr) == (1, True)


def test_in_a_browser_a_board_sorts_and_fits(browser, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    save(tmp_path, entry("b", 0.2, parameters=5), entry("a", 0.1, parameters=70), hostile_entry())
    site = tmp_path / "site"
    assert build(tmp_path, "--to", site).exit_code == 0
    for page in site.glob("*.html"):
        browser.open(page, 360)
        assert browser.run("return document.documentElement.scrollWidth") <= 360
    browser.open(site / f"kinematics-{PROTOCOL.hash}.html", 1280)
    browser.run("document.querySelectorAll('thead th')[11].querySelector('button').click()")
    names = browser.run(
        "return [...document.querySelectorAll('tbody tr')].map((r) => r.cells[1].dataset.key)"
    )
    assert names == ["b", "a"]
    assert browser.complaints() == []
