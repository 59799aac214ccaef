"""Comparison of runs: pairing, verdicts, gates, refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from fastinv.reports import Change, ComparisonError, compare, parse_gate, print_comparison
from fastinv.reports.compare import ModelChange
from fastinv.store import RunReader, RunWriter, StageKey, StageResult, StoreError, TimingRow

OBSERVATIONS = 200
HARDNESS = np.random.default_rng(0).exponential(size=OBSERVATIONS)


def make_run(
    folder: Path, levels: dict[str, float], *, protocol: str = "p", ms: float = 1.0, noise: int = 1
) -> Path:
    """A run whose scores are hardness times level, plus a little noise of its own."""
    settings = {
        "problems": ["kinematics"],
        "seeds": [0],
        "counts": "factorised",
        "kernel": "paper",
        "preset": {"name": "smoke", "observations": OBSERVATIONS, "samples": 5},
    }
    with RunWriter(folder, settings=settings, settings_hash="a", provenance={}) as run:
        run.describe_protocol("kinematics", protocol, {"counts": None})
        for model, level in levels.items():
            jitter = 0.01 * np.random.default_rng(noise).normal(size=OBSERVATIONS)
            scores = dict.fromkeys(("err_post", "err_resim"), level * HARDNESS + jitter)
            for stage, result in (
                ("train", StageResult(10.0 * ms)),
                ("score", StageResult(1.0, scores)),
                ("time", StageResult(1.0, timings=(TimingRow("draw", ms, ms, ms, 5),))),
            ):
                key = StageKey("kinematics", model, 0, stage)
                run.begin(key)
                run.finish(key, result)
    return folder


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return make_run(tmp_path / "before", {"floor": 0.1, "cinn": 1.0, "inn": 1.0, "mdn": 1.0, "iaf": 1.0})


def changes(a: Path, b: Path) -> dict[str, dict[str, Change | None]]:
    with RunReader(a) as first, RunReader(b) as second:
        return {c.model: c.changes for c in compare(first, second)}


def test_pairing_finds_what_the_spread_would_hide(tmp_path: Path, before: Path) -> None:
    """2% against a spread of 100% over observations: only the paired difference can tell."""
    after = make_run(tmp_path / "after", {"cinn": 0.98, "inn": 1.02, "mdn": 1.0, "maf": 1.0}, noise=2)
    found = changes(before, after)
    assert list(found) == ["cinn", "inn", "mdn"]
    verdicts = {model: c["err_post"].verdict for model, c in found.items() if c["err_post"]}
    assert verdicts == {"cinn": "+", "inn": "-", "mdn": "~"}
    assert found["inn"]["err_post"] is not None
    assert found["inn"]["err_post"].relative == pytest.approx(0.02, abs=0.005)


def test_times_are_ratios(tmp_path: Path, before: Path) -> None:
    after = make_run(tmp_path / "after", {"cinn": 1.0}, ms=1.5)
    change = changes(before, after)["cinn"]["inference_ms"]
    assert change is not None
    assert change.relative == pytest.approx(0.5)
    assert parse_gate("inference_ms:40%").broken_by(change)
    assert not parse_gate("inference_ms:60%").broken_by(change)


def test_a_gate_asks_for_more_than_chance() -> None:
    gate = parse_gate("err_post:5%")
    assert gate.broken_by(Change(1.0, 1.1, 0.05, 0.15))
    assert not gate.broken_by(Change(1.0, 1.1, -0.05, 0.25))
    assert not gate.broken_by(Change(1.0, 1.04, 0.03, 0.05))
    assert not gate.broken_by(Change(1.0, 0.5, -0.6, -0.4))
    assert not gate.broken_by(None)
    assert not gate.broken_by(Change(0.0, 1.0, 0.5, 1.5))


@pytest.mark.parametrize("text", ["", "err_post", "err_post:5", "err_post:-5%", "speed:5%", "err_post:1e9%"])
def test_gates_that_are_not_understood(text: str) -> None:
    with pytest.raises(ComparisonError, match="a gate is METRIC:PERCENT%"):
        parse_gate(text)


def test_other_protocols_are_never_compared(tmp_path: Path, before: Path) -> None:
    after = make_run(tmp_path / "after", {"cinn": 1.0}, protocol="q")
    with pytest.raises(ComparisonError, match="different protocols"):
        changes(before, after)


def test_runs_with_nothing_in_common(tmp_path: Path, before: Path) -> None:
    after = make_run(tmp_path / "after", {"maf": 1.0})
    with pytest.raises(ComparisonError, match="no scored model in common"):
        changes(before, after)
    with pytest.raises(StoreError, match="no run at"):
        changes(before, tmp_path / "nothing")


@pytest.mark.parametrize("width", [66, 80])
def test_the_tables_fit_a_narrow_pipe(tmp_path: Path, before: Path, width: int) -> None:
    after = make_run(tmp_path / "after", {"cinn": 0.5, "inn": 2.0}, ms=2.0)
    with RunReader(before) as first, RunReader(after) as second:
        found = compare(first, second)
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        print_comparison(found, Console(file=file, width=width, highlight=False))
    lines = (tmp_path / "out").read_text().splitlines()
    assert max(len(line) for line in lines if not line.startswith("+ better")) <= width
    post, resim, times = [line.split() for line in lines if line.startswith("cinn")]
    change = found[0].changes["err_post"]
    assert change is not None
    interval = [f"[{100 * change.low / change.before:+.1f}", f"{100 * change.high / change.before:+.1f}]%"]
    assert post[3:] == ["-50.0%", *interval, "+"]
    assert resim[3:] == post[3:]
    assert times[1:] == ["1.00", "2.00", "2.00x", "10.0", "20.0", "2.00x"]


def test_changes_of_a_score_that_was_zero_have_no_share(tmp_path: Path) -> None:
    change = Change(0.0, 1.0, 0.5, 1.5)
    times = {"inference_ms": None, "training_s": None}
    found = [ModelChange("p", "m", {"err_post": change, "err_resim": change, **times})]
    with (tmp_path / "out").open("w", encoding="ascii") as file:
        print_comparison(found, Console(file=file, width=80, highlight=False))
    lines = [line.split() for line in (tmp_path / "out").read_text().splitlines() if line.startswith("m ")]
    assert lines == [["m", "0", "1.00", "-", "-", "-"]] * 2 + [["m", *["-"] * 6]]
