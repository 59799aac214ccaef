"""The regression check's verdicts: what a baseline file and turns with the older version say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from tracking.baseline import Reference
from tracking.verdict import CERTAIN, CPU, TOGETHER, TURNS, Pair, chance, drift, judge

STEADY = Reference((1.98, 2.0, 2.0, 2.0, 2.02))
NOISY = Reference((1.8, 1.9, 2.0, 2.0, 2.1))
# Turns after which quiet times clear: code that is slower by 15% would be as fast with a probability of 1/70.
QUICKLY = 4
Turns = Callable[[list[str]], Mapping[str, Pair]]


def never(names: list[str]) -> dict[str, Pair]:
    raise AssertionError(f"measured again without need: {names}")


def beside(**turns: list[Pair]) -> Turns:
    """The turns that each benchmark will show, again and again; `a_cpu` has the CPU times of `a`."""
    waiting = {name.replace("_cpu", CPU): itertools.cycle(pairs) for name, pairs in turns.items()}
    return lambda names: {full: next(waiting[full]) for full in waiting if full.removesuffix(CPU) in names}


@pytest.mark.parametrize(("ratio", "sign"), [(2.0, "~"), (2.18, "~"), (1.57, "~"), (1.56, "+")])
def test_a_file_decides_alone_unless_something_seems_slower(ratio: float, sign: str) -> None:
    (verdict,) = judge({"a": NOISY}, {"a": ratio}, never)
    assert (verdict.sign, verdict.turns) == (sign, 0)
    assert verdict.change == pytest.approx(ratio / 2.0 - 1.0)


@pytest.mark.parametrize(
    ("pairs", "sign", "change", "turns"),
    [
        # Eight turns without exception are less likely than LEVEL by chance, seven are not.
        ([(2.0, 2.6)], "-", 0.30, 8),
        ([(2.0, 2.5), (2.2, 2.6), (2.4, 2.9)], "-", 0.25, 8),
        # The file's machine was faster.
        ([(2.6, 2.6)], "~", 0.0, 4),
        # Code that is slower by 15% is as fast in four turns with a probability of 1/70, in three of 1/20.
        ([(2.0, 2.28)], "~", 0.14, 4),
        ([(2.0, 2.28), (2.0, 2.32)], "~", 0.14, 9),
        ([(2.0, 2.32)], "-", 0.16, 8),
        # Bursts, in every turn but one of five.
        ([(2.0, 3.0)] * 4 + [(2.0, 2.0)], "~", 0.0, 6),
        # Slow processes of the older code, and none of the newer one's: it is not cleared before that shows.
        ([(2.6, 2.6)] * 3 + [(2.0, 2.6)] * 21, "-", 0.30, 13),
        # A busy machine doubles times of the older version now and then, which hides some of the evidence.
        ([(2.0, 2.6), (2.0, 2.6), (4.0, 2.6)], "-", 0.30, 14),
        ([(2.0, 2.6), (4.0, 2.6), (4.0, 2.6)], "?", 0.30, 24),
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


def test_what_is_suspicious_once_needs_no_turns() -> None:
    asked: list[list[str]] = []

    def again(names: list[str]) -> dict[str, float]:
        asked.append(names)
        return {"burst": 2.1, "burst" + CPU: 2.1, "lost thread": 4.0, "lost thread" + CPU: 2.0, "slow": 2.9}

    turns = beside(slow=[(2.0, 2.6)], **{"lost thread": [(2.0, 4.0)], "lost thread_cpu": [(2.0, 2.0)]})
    names = ("burst", "burst" + CPU, "lost thread", "lost thread" + CPU, "slow", "fine")
    measured = dict.fromkeys(names, 3.2) | {"burst": 9.0, "lost thread": 5.0, "fine": 2.0}
    verdicts = judge(dict.fromkeys(names, STEADY), measured, turns, again=again)
    assert asked == [["burst", "lost thread", "slow"]]
    assert {v.name: (v.sign, v.turns) for v in verdicts} == {
        "burst": ("~", 0),
        "fine": ("~", 0),
        "lost thread": ("-", 8),
        "slow": ("-", 8),
    }


def test_the_worst_come_first_and_the_time_may_not_do_for_all() -> None:
    measured = {f"b{i}": 3.0 + i for i in range(TOGETHER + 2)}
    asked: list[list[str]] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.append(names)
        return {name: (2.0, 2.0 if name == f"b{TOGETHER}" else 2.6) for name in names}

    turns = QUICKLY + 2
    verdicts = judge(dict.fromkeys(measured, STEADY), measured, measure, enough=lambda: len(asked) == turns)
    first = [f"b{i}" for i in range(2, TOGETHER + 2)]
    assert asked[:QUICKLY] == [first] * QUICKLY
    # One is cleared, and the next takes its place.
    then = sorted({*first, "b1"} - {f"b{TOGETHER}"})
    assert asked[QUICKLY:] == [then] * 2
    assert {v.name: (v.sign, v.turns) for v in verdicts} == {
        # Not one of them is "~", however near it has come.
        "b0": ("?", 0),
        "b1": ("?", 2),
        f"b{TOGETHER}": ("~", QUICKLY),
        **{name: ("?", turns) for name in then if name != "b1"},
    }


def test_too_few_turns_clear_nothing() -> None:
    asked: list[int] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.append(len(names))
        return dict.fromkeys(names, (2.0, 2.0))

    (verdict,) = judge({"a": STEADY}, {"a": 4.0}, measure, enough=lambda: len(asked) == QUICKLY - 1)
    assert verdict.sign == "?"


def test_what_is_open_at_the_end_is_undecided_even_below_the_threshold() -> None:
    turns = beside(a=[(2.0, 2.28), (2.0, 2.32)])
    asked = itertools.count()
    (verdict,) = judge({"a": STEADY}, {"a": 4.0}, turns, enough=lambda: next(asked) == CERTAIN)
    assert (verdict.sign, verdict.turns) == ("?", CERTAIN)


def test_turns_end_where_the_older_version_gives_up() -> None:
    asked: list[list[str]] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.append(names)
        return {"a": (2.0, 2.6)} if len(asked) == 1 else {}

    (verdict,) = judge({"a": STEADY}, {"a": 4.0}, measure)
    assert (verdict.sign, verdict.turns, len(asked)) == ("?", 1, TURNS)


def test_a_slowing_drift_that_is_over_hides_nothing() -> None:
    turns = beside(b3=[(1.0, 1.3)], b3_cpu=[(1.0, 1.3)])
    for repeated, signs in ((1.3, {"-", "~"}), (1.1, {"~"})):
        again = dict.fromkeys(("b3", "b3" + CPU), repeated)
        verdicts = judge(MANY, moved(1.12, b3=1.6), turns, 1.12, again=lambda names, again=again: again)
        assert {v.sign for v in verdicts} == signs
    # One that speeds up is, as at first.
    again = dict.fromkeys(("b3", "b3" + CPU), 1.1)
    verdicts = judge(MANY, moved(0.9, b3=1.6), turns, 0.9, again=lambda names: again)
    assert [v.name for v in verdicts if v.sign == "-"] == ["b3"]


def test_a_lost_thread_comes_before_what_is_a_little_slower() -> None:
    names = [f"b{i}" for i in range(TOGETHER)]
    measured = dict.fromkeys((n + kind for n in names for kind in ("", CPU)), 2.6)
    measured |= {"lost": 5.0, "lost" + CPU: 2.0}
    asked: list[list[str]] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.append(names)
        return {}

    judge(dict.fromkeys(measured, STEADY), measured, measure)
    assert "lost" in asked[0]


def test_only_what_is_open_is_measured_on() -> None:
    asked: list[list[str]] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.append(names)
        return {"slow": (2.0, 2.6), "same": (2.6, 2.6)}

    judge({"slow": STEADY, "same": STEADY}, {"slow": 2.6, "same": 2.6}, measure)
    assert asked == [["same", "slow"]] * QUICKLY + [["slow"]] * (8 - QUICKLY)


@pytest.mark.parametrize(
    ("clock", "cpu", "sign"),
    [
        (2.9, 2.02, "~"),  # others used the machine
        (2.9, 2.60, "-"),
        (3.6, 2.02, "-"),  # a thread was lost
        (2.0, 1.60, "+"),
    ],
)
def test_cpu_time_decides_unless_the_clock_shows_far_more(clock: float, cpu: float, sign: str) -> None:
    turns = beside(a=[(2.0, clock)], a_cpu=[(2.0, cpu)])
    measured = {"a": clock, "a" + CPU: cpu}
    (verdict,) = judge({"a": STEADY, "a" + CPU: STEADY}, measured, turns)
    assert (verdict.name, verdict.sign) == ("a", sign)


def test_a_burst_on_the_clock_hides_no_lost_thread() -> None:
    turns = beside(a=[(2.0, 4.0)] * 6 + [(3.2, 4.0)], a_cpu=[(2.0, 2.0)])
    (verdict,) = judge({"a": STEADY, "a" + CPU: STEADY}, {"a": 4.0, "a" + CPU: 2.0}, turns)
    assert (verdict.sign, verdict.change) == ("-", pytest.approx(1.0))


def test_what_the_older_version_cannot_run_is_not_compared() -> None:
    (verdict,) = judge({"a": STEADY}, {"a": 4.0}, lambda names: {})
    assert verdict.sign == "new"


def test_the_chance_is_that_of_unchanged_code() -> None:
    """Any noise: here two speeds and a long tail. 20 000 trials estimate each level within a tenth."""
    rng = np.random.default_rng(0)
    times = 1.0 + rng.pareto(2.0, (20_000, 2, 6)) + (rng.random((20_000, 2, 6)) < 0.3)
    found = np.array([chance(list(zip(*trial, strict=True))) for trial in times])
    for level in (0.5, 0.25, 0.1):
        expected = max(p for k in range(7) if (p := math.comb(6, k) / math.comb(12, k)) <= level)
        assert (found <= level).mean() == pytest.approx(expected, rel=0.1)


MANY = {f"b{i}{kind}": Reference((1.0, 1.0, 1.0 + i / 1000)) for i in range(30) for kind in ("", CPU)}


def moved(factor: float, **others: float) -> dict[str, float]:
    """All benchmarks slower by a factor, some by another one."""
    return {name: others.get(name.removesuffix(CPU), factor) for name in MANY}


def test_what_moves_all_benchmarks_alike_is_the_machine() -> None:
    assert drift(MANY, moved(1.12)) == pytest.approx(1.12, rel=0.02)
    assert drift(MANY, moved(0.5)) == pytest.approx(1 / 1.15)
    assert drift({}, moved(1.12)) == 1.0
    assert {v.sign for v in judge(MANY, moved(1.27), never, moved=1.12)} == {"~"}
    # It hides no slowdown of a few benchmarks, and not all of one that all of them show.
    asked: list[str] = []

    def measure(names: list[str]) -> dict[str, Pair]:
        asked.extend(names)
        return dict.fromkeys(names, (1.0, 1.5))

    assert [v.name for v in judge(MANY, moved(1.12, b3=1.5), measure, 1.12) if v.sign == "-"] == ["b3"]
    assert set(asked) == {"b3"}
    assert {v.sign for v in judge(MANY, moved(1.5), measure, 1.15)} == {"-"}


def test_what_waits_for_the_disk_does_not_drift() -> None:
    assert [v.sign for v in judge({"disk": STEADY}, {"disk": 2.3}, never, moved=0.9)] == ["~"]


def test_benchmarks_without_a_partner_are_told() -> None:
    signs = {v.name: v.sign for v in judge({"old": STEADY}, {"young": 1.0}, never)}
    assert signs == {"old": "gone", "young": "new"}


def test_unchanged_runs_raise_no_alarm_and_slow_ones_do() -> None:
    """20 simulated runs of 75 benchmarks on a busy machine, five of them slower by 30% in each.

    CPU times have three speeds, as where neighbours share a core, and phases of a run's length. Nine in ten
    of those that are slower are found then.
    """
    rng = np.random.default_rng(0)
    names = [f"b{i}" for i in range(75)]

    def once(phase: float = 1.0) -> float:
        speed = rng.choice([1.0, 1.3, 1.8], p=[0.6, 0.2, 0.2])
        return float(phase * speed * np.exp(0.03 * rng.standard_normal()))

    def both(value: float, name: str) -> dict[str, float]:
        return {name: 1.1 * value, name + CPU: value}

    references = {
        key: Reference(tuple(run[key] for run in runs))
        for runs in [[{k: v for n in names for k, v in both(once(), n).items()} for _ in range(5)]]
        for key in runs[0]
    }
    alarms, suspected, caught = set[str](), 0, 0
    for run in range(20):
        slower = names[run : run + 5]
        phases = {name: float(rng.uniform(0.8, 1.3)) for name in names}

        def measure(asked: list[str], phases: Any = phases, slower: Any = slower) -> dict[str, Pair]:
            nonlocal suspected
            suspected += 1
            found = {}
            for name in asked:
                old, new = once(phases[name]), once(phases[name]) * (1.3 if name in slower else 1.0)
                found |= {name: (1.1 * old, 1.1 * new), name + CPU: (old, new)}
            return found

        measured = {k: v for n in names for k, v in both(once(phases[n]), n).items()}
        # The file has to suspect them: a fast phase may hide one there, and no turns would follow.
        measured |= {key: value for name in slower for key, value in both(9.0, name).items()}
        found = {v.name for v in judge(references, measured, measure) if v.sign == "-"}
        alarms |= found - set(slower)
        caught += len(found & set(slower))
    assert suspected > 20 * CERTAIN
    assert not alarms
    assert caught >= 85
