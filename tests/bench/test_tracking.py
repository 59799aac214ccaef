"""The regression check: its verdicts, its files and, as a slow test, itself on real benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from tracking import baseline
from tracking.baseline import Reference
from tracking.verdict import CERTAIN, CPU, TURNS, Pair, drift, judge

CHECK = Path(__file__).parents[2] / "bench" / "check.py"
STEADY = Reference((1.98, 2.0, 2.0, 2.0, 2.02))
NOISY = Reference((1.9, 2.0, 2.0, 2.0, 2.1))
Turns = Callable[[list[str]], Mapping[str, Pair]]


def never(names: list[str]) -> dict[str, Pair]:
    raise AssertionError(f"measured again without need: {names}")


def beside(**turns: list[Pair]) -> Turns:
    """The turns that each benchmark will show, one after the other; `a_cpu` has the CPU times of `a`."""
    waiting = {name.replace("_cpu", CPU): iter(pairs) for name, pairs in turns.items()}
    return lambda names: {full: next(waiting[full]) for full in waiting if full.removesuffix(CPU) in names}


@pytest.mark.parametrize(("ratio", "sign"), [(2.0, "~"), (2.27, "~"), (1.6, "~"), (1.5, "+")])
def test_a_file_decides_alone_unless_something_seems_slower(ratio: float, sign: str) -> None:
    (verdict,) = judge({"a": NOISY}, {"a": ratio}, never)
    assert (verdict.sign, verdict.turns) == (sign, 0)
    assert verdict.change == pytest.approx(ratio / 1.9 - 1.0)


@pytest.mark.parametrize(
    ("pairs", "sign", "change", "turns"),
    [
        ([(2.0, 2.6)] * 7, "-", 0.30, 7),
        ([(2.0, 2.4), (2.0, 2.6), (2.1, 2.6), (2.0, 2.7), (2.0, 2.5), (2.1, 2.6), (2.0, 2.6)], "-", 0.2, 7),
        # The file's machine was faster.
        ([(2.6, 2.6)] * 7, "~", 0.0, 2),
        # Bursts, in every turn but one.
        ([(2.0, 3.0)] * 5 + [(2.0, 2.0)] + [(2.0, 3.0)], "~", 0.0, 6),
        # Two speeds: the newer version showed the fast one never, the older one four times.
        ([(2.0, 2.5), (2.5, 2.5)] * 3 + [(2.0, 2.5)], "~", 1.25 ** (4 / 7) - 1.0, 7),
        # It varies more than it changed.
        ([(2.0, 2.6)] * 5 + [(3.2, 2.6)] * 2, "~", 1.3 ** (5 / 7) * (2.6 / 3.2) ** (2 / 7) - 1.0, 7),
    ],
)
def test_what_seems_slower_is_decided_beside_the_older_version(
    pairs: list[Pair], sign: str, change: float, turns: int
) -> None:
    verdicts = judge({"slow": NOISY, "fine": STEADY}, {"slow": 2.6, "fine": 2.0}, beside(slow=pairs))
    fine, slow = verdicts
    assert (slow.name, slow.sign, slow.turns) == ("slow", sign, turns)
    assert slow.change == pytest.approx(change)
    assert (fine.name, fine.sign, fine.turns) == ("fine", "~", 0)


def test_what_is_clearly_harmless_costs_few_turns() -> None:
    asked: list[list[str]] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.append(names)
        return {"slow": (2.0, 2.6), "same": (2.6, 2.6)}

    judge({"slow": STEADY, "same": STEADY}, {"slow": 2.6, "same": 2.6}, measure)
    assert asked == [["same", "slow"]] * CERTAIN + [["slow"]] * (TURNS - CERTAIN)


@pytest.mark.parametrize(
    ("clock", "cpu", "sign", "change"),
    [
        (2.9, 2.02, "~", 0.0202),  # others used the machine
        (2.9, 2.60, "-", 0.30),
        (3.6, 2.02, "-", 0.80),  # a thread was lost
        (2.0, 1.60, "+", -0.1919),
        (1.1, 2.00, "+", -0.4444),
    ],
)
def test_cpu_time_decides_unless_the_clock_shows_far_more(
    clock: float, cpu: float, sign: str, change: float
) -> None:
    turns = beside(a=[(2.0, clock)] * TURNS, a_cpu=[(2.0, cpu)] * TURNS)
    measured = {"a": clock, "a" + CPU: cpu}
    (verdict,) = judge({"a": STEADY, "a" + CPU: STEADY}, measured, turns)
    assert (verdict.name, verdict.sign) == ("a", sign)
    assert verdict.change == pytest.approx(change, abs=1e-4)


def test_a_clock_that_always_varied_is_believed_less() -> None:
    measured = {"a": 4.0, "a" + CPU: 2.0}
    varied = Reference((1.6, 2.0, 3.6))
    assert [v.sign for v in judge({"a": varied, "a" + CPU: STEADY}, measured, never)] == ["~"]


MANY = {f"b{i}{kind}": Reference((1.0, 1.0, 1.0 + i / 1000)) for i in range(30) for kind in ("", CPU)}


def moved(factor: float, **others: float) -> dict[str, float]:
    """All benchmarks slower by a factor, some by another one."""
    return {name: others.get(name.removesuffix(CPU), factor) for name in MANY}


def test_what_moves_all_benchmarks_alike_is_the_machine() -> None:
    assert drift(MANY, moved(1.12)) == pytest.approx(1.12, rel=0.02)
    assert drift(MANY, moved(0.5)) == pytest.approx(1 / 1.15)
    assert drift({}, moved(1.12)) == 1.0
    assert {v.sign for v in judge(MANY, moved(1.3), never, moved=1.12)} == {"~"}
    # It hides no slowdown of a few benchmarks, and not all of one that all of them show.
    asked: list[str] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.extend(names)
        return dict.fromkeys(names, (1.0, 1.5))

    assert [v.name for v in judge(MANY, moved(1.12, b3=1.5), measure, 1.12) if v.sign == "-"] == ["b3"]
    assert asked == ["b3"] * TURNS
    assert {v.sign for v in judge(MANY, moved(1.5), measure, 1.15)} == {"-"}


def test_what_waits_for_the_disk_does_not_drift() -> None:
    assert [v.sign for v in judge({"disk": STEADY}, {"disk": 2.3}, never, moved=0.9)] == ["~"]


def test_benchmarks_without_a_partner_are_told() -> None:
    signs = {v.name: v.sign for v in judge({"old": STEADY}, {"young": 1.0}, never)}
    assert signs == {"old": "gone", "young": "new"}


def test_unchanged_runs_raise_no_alarm_and_slow_ones_do() -> None:
    """20 simulated runs of 75 benchmarks, each with a phase of its own and two speeds, neither in the file.

    Every one of them is suspected by the file at some time; turns see the phase in both versions.
    """
    rng = np.random.default_rng(0)
    names = [f"b{i}" for i in range(75)]

    def once(phase: float = 1.0) -> float:
        return float(phase * np.exp(0.03 * rng.standard_normal()) * (1.3 if rng.random() < 0.3 else 1.0))

    references = {name: Reference((once(), once(), once())) for name in names}
    alarms, caught = 0, 0
    for run in range(20):
        phases = {name: float(rng.uniform(0.8, 1.3)) for name in names}
        slow = names[run]
        factors = dict.fromkeys(names, 1.0) | {slow: 1.3}
        # A slowdown that the file shows: that it may be hidden by a faster phase is the file's own limit.
        measured = {name: factors[name] * once(phases[name]) for name in names} | {slow: 9.0}

        def measure(asked: list[str], phases=phases, factors=factors) -> dict[str, Pair]:  # type: ignore[no-untyped-def]
            return {name: (once(phases[name]), factors[name] * once(phases[name])) for name in asked}

        found = [v.name for v in judge(references, measured, measure) if v.sign == "-"]
        alarms += len(set(found) - {slow})
        caught += slow in found
    assert alarms == 0
    assert caught >= 16


def test_baselines_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "baseline.json"
    references = {"a": Reference((1.0, 1.25, 0.75)), "b": STEADY}
    baseline.write(path, {"cores": 2}, "abc", references)
    assert baseline.read(path) == references
    assert baseline.commit_of(path) == "abc"
    assert references["a"].noise == pytest.approx(0.25)
    assert references["a"].best == 0.75
    assert json.loads(path.read_text())["machine"] == {"cores": 2}


def test_a_missing_baseline_is_said(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECK), "--baseline", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--update" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_20_unchanged_runs_raise_no_alarm_and_a_slowdown_of_30_percent_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    command = [sys.executable, str(CHECK), "--baseline", str(path), "-k", "forward or exact_posterior"]
    subprocess.run([*command, "--update", "--runs", "4"], check=True)
    for run in range(20):
        unchanged = subprocess.run(command, capture_output=True, text=True)
        print(f"run {run}: {unchanged.returncode}\n{unchanged.stdout}\n{unchanged.stderr}", flush=True)
        assert unchanged.returncode == 0
    for name in ("forward[paper-batch]", "exact_posterior[prior-kinematics-native]"):
        slowed = os.environ | {"FASTINV_BENCH_INJECT": f"{name}:0.3"}
        done = subprocess.run(command, capture_output=True, text=True, env=slowed)
        print(f"{name}: {done.returncode}\n{done.stdout}\n{done.stderr}", flush=True)
        assert done.returncode == 3
        (slower,) = [line for line in done.stderr.splitlines() if line.startswith("slower than")]
        assert name in slower
        assert slower.count("::") == 1
