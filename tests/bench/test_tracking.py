"""The regression check: its verdicts, its files and, as a slow test, itself on real benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tracking import baseline
from tracking.baseline import Reference
from tracking.verdict import CPU, LOOKS, drift, judge

CHECK = Path(__file__).parents[2] / "bench" / "check.py"
STEADY = Reference((1.98, 2.0, 2.0, 2.0, 2.02))
NOISY = Reference((1.9, 2.0, 2.0, 2.0, 2.1))
TWO_SPEEDS = Reference((2.0, 2.0, 2.0, 2.8))


def never(names: list[str]) -> dict[str, float]:
    raise AssertionError(f"measured again without need: {names}")


@pytest.mark.parametrize(
    ("reference", "ratio", "sign"),
    [
        (STEADY, 2.0, "~"),
        (STEADY, 2.39, "~"),
        (STEADY, 1.68, "~"),
        (STEADY, 1.6, "+"),
        (NOISY, 2.38, "~"),
        (NOISY, 1.6, "+"),
        (Reference((1.8, 2.0, 2.2)), 1.5, "+"),
        (TWO_SPEEDS, 2.85, "~"),
        (TWO_SPEEDS, 1.55, "+"),
    ],
)
def test_changes_within_the_noise_are_none(reference: Reference, ratio: float, sign: str) -> None:
    (verdict,) = judge({"a": reference}, {"a": ratio}, never)
    assert verdict.sign == sign
    assert verdict.change == pytest.approx(ratio / 2.0 - 1.0)


def test_a_slowdown_that_lasts_is_found_and_named() -> None:
    again: list[list[str]] = []

    def measure(names: list[str]) -> dict[str, float]:
        again.append(names)
        return {"slow": 2.6}

    verdicts = {
        v.name: v for v in judge({"slow": NOISY, "fine": STEADY}, {"slow": 2.6, "fine": 2.0}, measure)
    }
    assert verdicts["slow"].sign == "-"
    assert verdicts["slow"].looks == LOOKS
    assert verdicts["fine"].sign == "~"
    assert again == [["slow"]] * (LOOKS - 1)


@pytest.mark.parametrize(
    ("clock", "cpu", "sign", "change"),
    [
        (2.9, 2.02, "~", 0.01),  # others used the machine
        (2.9, 2.60, "-", 0.30),
        (3.6, 2.02, "-", 0.80),  # a thread was lost
        (2.0, 1.60, "+", -0.20),
        (1.1, 2.00, "+", -0.45),
    ],
)
def test_cpu_time_decides_unless_the_clock_shows_far_more(
    clock: float, cpu: float, sign: str, change: float
) -> None:
    measured = {"a": clock, "a" + CPU: cpu}
    (verdict,) = judge({"a": STEADY, "a" + CPU: STEADY}, measured, lambda names: measured)
    assert (verdict.name, verdict.sign) == ("a", sign)
    assert verdict.change == pytest.approx(change)
    (verdict,) = judge({"a": STEADY}, measured, lambda names: measured)
    assert verdict.change == pytest.approx(clock / 2.0 - 1.0)


def test_a_clock_that_always_varied_is_believed_less() -> None:
    measured = {"a": 4.0, "a" + CPU: 2.0}
    varied = Reference((1.6, 2.0, 2.8))
    assert [v.sign for v in judge({"a": varied, "a" + CPU: STEADY}, measured, never)] == ["~"]


def test_a_burst_of_noise_is_forgiven() -> None:
    (verdict,) = judge({"a": STEADY}, {"a": 4.0}, lambda names: {"a": 2.05})
    assert (verdict.sign, verdict.looks) == ("~", 2)


MANY = {f"b{i}{kind}": Reference((1.0, 1.0, 1.0 + i / 1000)) for i in range(30) for kind in ("", CPU)}


def moved(factor: float, **others: float) -> dict[str, float]:
    """All benchmarks slower by a factor, some by another one."""
    return {name: others.get(name.removesuffix(CPU), factor) for name in MANY}


def test_what_moves_all_benchmarks_alike_is_the_machine() -> None:
    assert drift(MANY, moved(1.12)) == pytest.approx(1.12, rel=0.02)
    assert {v.sign for v in judge(MANY, moved(1.12), never)} == {"~"}
    # It hides no slowdown of a few benchmarks, and not all of one that all of them show.
    asked: list[list[str]] = []

    def measure(names: list[str]) -> dict[str, float]:
        asked.append(names)
        return moved(1.12, b3=1.5)

    assert [v.name for v in judge(MANY, measure([]), measure) if v.sign == "-"] == ["b3"]
    del asked[0]
    assert len(asked) == LOOKS - 1
    assert asked[0][0] == "b3"
    assert len(set(asked[0])) == len(asked[0]) == 13
    everything = judge(MANY, moved(1.5), lambda names: moved(1.5))
    assert {v.sign for v in everything} == {"-"}


def test_the_drift_of_the_second_look_is_its_own() -> None:
    """The machine was fast, so that a drift was taken off; now it is slow, and b3 with all others."""
    verdicts = judge(MANY, moved(0.9, b3=1.2), lambda names: moved(1.14))
    assert {v.name: v.sign for v in verdicts}["b3"] == "~"


def test_few_benchmarks_tell_no_drift() -> None:
    few = {name: MANY[name] for name in list(MANY)[:20]}
    assert drift(few, dict.fromkeys(few, 1.12)) == 1.0


def test_benchmarks_without_a_partner_are_told() -> None:
    signs = {v.name: v.sign for v in judge({"old": STEADY}, {"young": 1.0}, never)}
    assert signs == {"old": "gone", "young": "new"}


def test_unchanged_runs_raise_no_alarm() -> None:
    """20 simulated runs of 75 benchmarks with 3% scatter.

    A false alarm needs three values in a row that are 10% too high: below 1e-6 over all runs.
    """
    rng = np.random.default_rng(0)
    names = [f"b{i}" for i in range(75)]

    def run(names: list[str] = names) -> dict[str, float]:
        return {name: float(np.exp(0.03 * rng.standard_normal())) for name in names}

    repeated = [run() for _ in range(5)]
    references = {name: Reference(tuple(r[name] for r in repeated)) for name in names}
    for _ in range(20):
        assert "-" not in [v.sign for v in judge(references, run(), run)]


def test_baselines_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "baseline.json"
    references = {"a": Reference((1.0, 1.25, 0.75)), "b": STEADY}
    baseline.write(path, {"cores": 2}, references)
    assert baseline.read(path) == references
    assert references["a"].noise == pytest.approx(0.25)
    assert json.loads(path.read_text())["machine"] == {"cores": 2}


def test_a_missing_baseline_is_said(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECK), "--baseline", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--update" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "benchmark_name", ["forward[paper-batch]", "exact_posterior[prior-kinematics-native]"]
)
def test_20_unchanged_runs_raise_no_alarm_and_a_slowdown_of_30_percent_is_caught(
    tmp_path: Path, benchmark_name: str
) -> None:
    path, part = tmp_path / "baseline.json", benchmark_name.partition("[")[0]
    command = [sys.executable, str(CHECK), "--baseline", str(path), "-k", part]
    subprocess.run([*command, "--update", "--runs", "4"], check=True)
    for _ in range(20):
        unchanged = subprocess.run(command, capture_output=True, text=True)
        assert unchanged.returncode == 0, unchanged.stdout
    slowed = os.environ | {"FASTINV_BENCH_INJECT": f"{benchmark_name}:0.3"}
    done = subprocess.run(command, capture_output=True, text=True, env=slowed)
    assert done.returncode == 3, done.stdout
    assert benchmark_name in done.stderr
    assert done.stderr.count("::") == 1
