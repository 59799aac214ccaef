"""The regression check's verdicts: what a baseline file and starts in step with the older version say."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tracking.baseline import Reference
from tracking.verdict import CPU, LEAD_CLEARED, LEAD_SLOWER, STARTS, TOGETHER, Start, drift_of, judge

REFERENCE = Reference((1.98, 2.0, 2.0, 2.0, 2.02))
NOISY = Reference((1.8, 1.9, 2.0, 2.0, 2.1))


def never(names: list[str]) -> dict[str, float]:
    raise AssertionError(f"measured again without need: {names}")


def in_step(**starts: list[float]) -> Callable[[list[str]], Start]:
    """The ratios that starts will show, again and again; `a_cpu` has those of the CPU times of `a`."""
    waiting = {name.replace("_cpu", CPU): itertools.cycle(ratios) for name, ratios in starts.items()}
    return lambda names: {full: next(waiting[full]) for full in waiting if full.removesuffix(CPU) in names}


@pytest.mark.parametrize(("ratio", "sign"), [(2.0, "~"), (2.18, "~"), (1.57, "~"), (1.56, "+")])
def test_a_file_decides_alone_unless_something_seems_slower(ratio: float, sign: str) -> None:
    (verdict,) = judge({"a": NOISY}, {"a": ratio}, never)
    assert (verdict.sign, verdict.starts) == (sign, 0)
    assert verdict.change == pytest.approx(ratio / 2.0 - 1.0)


@pytest.mark.parametrize(
    ("ratios", "sign", "change", "starts"),
    [
        ([1.3], "-", 0.30, 3),
        ([1.16], "-", 0.16, 3),
        ([1.14], "~", 0.14, 2),
        # The file's machine was faster.
        ([1.0], "~", 0.0, 2),
        # A start in which the older version had no luck, and one in which the newer one had none.
        ([1.3, 1.1, 1.3, 1.3, 1.3], "-", 0.30, 5),
        ([1.3, 1.0, 1.0, 1.0], "~", 0.0, 4),
        # It is slower in every other start.
        ([1.3, 1.1], "?", 0.2, STARTS),
    ],
)
def test_what_seems_slower_is_decided_in_step_with_the_older_version(
    ratios: list[float], sign: str, change: float, starts: int
) -> None:
    fine, slow = judge({"slow": NOISY, "fine": REFERENCE}, {"slow": 2.6, "fine": 2.0}, in_step(slow=ratios))
    assert (slow.name, slow.sign, slow.starts) == ("slow", sign, starts)
    assert slow.change == pytest.approx(change)
    assert (fine.name, fine.sign, fine.starts) == ("fine", "~", 0)


def test_the_worst_come_first_and_the_time_may_not_do_for_all() -> None:
    measured = {f"b{i}": 3.0 + i for i in range(TOGETHER + 2)}
    asked: list[list[str]] = []

    def measure(names: list[str]) -> Start:
        asked.append(names)
        return {name: 1.0 if name == f"b{TOGETHER}" else 1.3 for name in names}

    starts = LEAD_CLEARED
    verdicts = judge(
        dict.fromkeys(measured, REFERENCE), measured, measure, enough=lambda: len(asked) == starts
    )
    first = sorted(f"b{i}" for i in range(2, TOGETHER + 2))
    assert asked == [first] * starts
    assert {v.name: (v.sign, v.starts) for v in verdicts} == {
        # Not one of them is "~".
        "b0": ("?", 0),
        "b1": ("?", 0),
        f"b{TOGETHER}": ("~", starts),
        **{name: ("?", starts) for name in first if name != f"b{TOGETHER}"},
    }


def test_what_is_decided_makes_room_for_the_next() -> None:
    measured = {f"b{i}": 3.0 + i for i in range(TOGETHER + 1)}
    asked: list[list[str]] = []

    def measure(names: list[str]) -> Start:
        asked.append(names)
        return {name: 1.0 if name == "b1" else 1.3 for name in names}

    verdicts = judge(dict.fromkeys(measured, REFERENCE), measured, measure)
    assert {v.name for v in verdicts if v.sign == "-"} == {*measured} - {"b1"}
    first = sorted({*measured} - {"b0"})
    assert asked[:LEAD_CLEARED] == [first] * LEAD_CLEARED
    assert asked[LEAD_CLEARED] == sorted({*measured} - {"b1"})
    assert asked[LEAD_SLOWER:] == [["b0"]] * (LEAD_SLOWER - 1)


def test_too_few_starts_clear_nothing() -> None:
    asked = itertools.count()
    (verdict,) = judge({"a": REFERENCE}, {"a": 4.0}, in_step(a=[1.0]), enough=lambda: next(asked) == 1)
    assert (verdict.sign, verdict.starts) == ("?", 1)


def test_a_lost_thread_comes_before_what_is_a_little_slower() -> None:
    names = [f"b{i}" for i in range(TOGETHER)]
    measured = dict.fromkeys((n + kind for n in names for kind in ("", CPU)), 2.6)
    measured |= {"lost": 5.0, "lost" + CPU: 2.0}
    asked: list[list[str]] = []

    def measure(names: list[str]) -> Start:
        asked.append(names)
        return {}

    judge(dict.fromkeys(measured, REFERENCE), measured, measure)
    assert "lost" in asked[0]


@pytest.mark.parametrize(
    ("clock", "cpu", "sign", "change"),
    [
        (1.45, 1.01, "~", 0.01),  # others used the machine
        (1.45, 1.30, "-", 0.30),
        (1.80, 1.01, "-", 0.80),  # a thread was lost
        (1.80, 1.50, "-", 0.50),
    ],
)
def test_cpu_time_decides_unless_the_clock_shows_far_more(
    clock: float, cpu: float, sign: str, change: float
) -> None:
    measured = {"a": 2.0 * max(1.0, clock), "a" + CPU: 2.4}
    (verdict,) = judge({"a": REFERENCE, "a" + CPU: REFERENCE}, measured, in_step(a=[clock], a_cpu=[cpu]))
    assert (verdict.name, verdict.sign) == ("a", sign)
    assert verdict.change == pytest.approx(change)


@pytest.mark.parametrize(("clock", "cpu", "sign"), [(2.9, 2.02, "~"), (2.0, 1.60, "+")])
def test_so_it_does_in_a_file(clock: float, cpu: float, sign: str) -> None:
    measured = {"a": clock, "a" + CPU: cpu}
    (verdict,) = judge({"a": REFERENCE, "a" + CPU: REFERENCE}, measured, never)
    assert (verdict.name, verdict.sign) == ("a", sign)


def test_a_burst_on_the_clock_hides_no_lost_thread() -> None:
    starts = in_step(a=[2.0, 2.0, 1.2, 2.0, 2.0], a_cpu=[1.0])
    (verdict,) = judge({"a": REFERENCE, "a" + CPU: REFERENCE}, {"a": 4.0, "a" + CPU: 2.0}, starts)
    assert (verdict.sign, verdict.change) == ("-", pytest.approx(1.0))


def test_what_the_older_version_cannot_run_is_not_compared() -> None:
    (verdict,) = judge({"a": REFERENCE}, {"a": 4.0}, lambda names: {})
    assert verdict.sign == "new"


MANY = {f"b{i}{kind}": Reference((1.0, 1.0, 1.0 + i / 1000)) for i in range(30) for kind in ("", CPU)}


def moved(factor: float, **others: float) -> dict[str, float]:
    """All benchmarks slower by a factor, some by another one."""
    return {name: others.get(name.removesuffix(CPU), factor) for name in MANY}


def test_what_moves_all_benchmarks_alike_is_the_machine() -> None:
    assert drift_of(MANY, moved(1.12)) == pytest.approx(1.12, rel=0.02)
    assert drift_of(MANY, moved(0.5)) == pytest.approx(1 / 1.15)
    assert drift_of({}, moved(1.12)) == 1.0
    assert {v.sign for v in judge(MANY, moved(1.27), never, drift=1.12)} == {"~"}
    # It hides no slowdown of a few benchmarks, and not all of one that all of them show.
    asked: list[str] = []

    def measure(names: list[str]) -> Start:
        asked.extend(names)
        return dict.fromkeys(names, 1.5)

    assert [v.name for v in judge(MANY, moved(1.12, b3=1.5), measure, 1.12) if v.sign == "-"] == ["b3"]
    assert set(asked) == {"b3"}
    assert {v.sign for v in judge(MANY, moved(1.5), measure, 1.15)} == {"-"}


def test_what_waits_for_the_disk_does_not_drift() -> None:
    assert [v.sign for v in judge({"disk": REFERENCE}, {"disk": 2.3}, never, drift=0.9)] == ["~"]


def test_benchmarks_without_a_partner_are_told() -> None:
    signs = {v.name: v.sign for v in judge({"old": REFERENCE}, {"young": 1.0}, never)}
    assert signs == {"old": "gone", "young": "new"}


def test_unchanged_runs_raise_no_alarm_and_slow_ones_do() -> None:
    """200 simulated runs of 20 suspects on a busy machine, five of them slower by 30% in each.

    Starts of the same code are apart as their processes are: by 5%, and by 20% in one of ten.
    """
    rng = np.random.default_rng(0)
    names = [f"b{i}" for i in range(20)]
    alarms, caught = 0, 0
    for _ in range(200):
        slower = set(rng.choice(names, 5, replace=False).tolist())

        def measure(asked: list[str], slower: Any = slower) -> Start:
            found = {}
            for name in asked:
                apart = rng.choice([0.05, 0.2], p=[0.9, 0.1]) * rng.standard_normal()
                ratio = float(np.exp(apart)) * (1.3 if name in slower else 1.0)
                found |= {name: ratio, name + CPU: ratio}
            return found

        keys = [name + kind for name in names for kind in ("", CPU)]
        verdicts = judge(dict.fromkeys(keys, REFERENCE), dict.fromkeys(keys, 9.0), measure)
        found = {v.name for v in verdicts if v.sign == "-"}
        alarms += len(found - slower)
        caught += len(found & slower)
    # Of 3000 and of 1000.
    assert alarms <= 1
    assert caught >= 990
