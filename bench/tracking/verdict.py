"""Which benchmarks became slower: a baseline file raises suspicions, its commit's code decides on them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tracking.baseline import Reference

Sign = Literal["+", "-", "~", "new", "gone"]
# Ends the name under which a benchmark's ratio of CPU times is kept.
CPU = " (cpu)"
# A benchmark whose ratio lies this far above the best that the baseline has seen is looked at again.
SUSPECT = 0.20
# From this change on the clock alone is believed: a loop that lost one of two threads takes twice the time.
CLOCK_ALONE = 0.6
# Second look: turns of both versions, after the first of which the unsuspicious may be dropped, and the
# change from which on a benchmark is slower, unless the older version scatters more.
TURNS, CERTAIN, SLOWER = 7, 2, 0.15
# The machine's own drift against the yardsticks is the median change of all benchmarks, up to this.
MOST_DRIFT = 0.15

# One turn: the older version's ratio and this one's.
Pair = tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """One line of the comparison.

    Attributes:
        name: of the benchmark.
        sign: "+" faster, "-" slower, "~" within the threshold, "new" without a baseline, "gone" not measured.
        change: relative change of the ratio, positive for slower; None where there is nothing to compare.
        threshold: change that would have been called one.
        turns: measurements beside the older version that the verdict rests on; 0 for the file alone.
    """

    name: str
    sign: Sign
    change: float | None
    threshold: float | None
    turns: int = 0


def judge(
    baseline: Mapping[str, Reference],
    measured: Mapping[str, float],
    beside: Callable[[list[str]], Mapping[str, Pair]],
    moved: float = 1.0,
) -> list[Verdict]:
    """Compare ratios with a baseline; whatever seems slower is measured beside the older version.

    A shared machine has phases of minutes and hours in which one kind of work is slower than the yardstick
    that stands for it, so that no file can say what is a regression: it only raises a suspicion. Both
    versions, run in turns within a minute, see the same machine.

    Ratios of CPU times decide where they are known: other processes hardly change them, while they spread
    ratios of wall times over tens of percent. Only wall time shows lost parallelism, though, so that a change
    of it that is larger than such a spread counts as well.

    Args:
        baseline: name to reference.
        measured: name to the ratio measured now.
        beside: measures the named benchmarks once in both versions.
        moved: the machine's drift, taken off `measured`.
    """
    # What waits for the disk has no ratio of CPU times, and does not drift with the processor.
    steady = {
        name: ratio / moved if name.endswith(CPU) or name + CPU in measured else ratio
        for name, ratio in measured.items()
    }
    verdicts = {v.name: v for v in _first_look(baseline, steady)}
    suspects = [v.name for v in verdicts.values() if v.sign == "-"]
    turns: dict[str, list[Pair]] = {}
    for turn in range(1, TURNS + 1):
        if not suspects:
            break
        for name, pair in beside(suspects).items():
            turns.setdefault(name, []).append(pair)
        verdicts |= {name: _second_look(name, turns) for name in suspects}
        if turn >= CERTAIN:
            suspects = [name for name in suspects if not _harmless(verdicts[name])]
    return list(verdicts.values())


def drift(baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> float:
    """Factor by which the machine has moved against its yardsticks since the baseline.

    Args:
        baseline: name to reference.
        ratios: name to ratio, of a whole run; only those of CPU times count.
    """
    known = [name for name in ratios if name.endswith(CPU) and name in baseline]
    found = statistics.median(ratios[name] / baseline[name].ratio for name in known) if known else 1.0
    return min(1.0 + MOST_DRIFT, max(1.0 / (1.0 + MOST_DRIFT), found))


def _first_look(baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> list[Verdict]:
    found = {
        name: _against_file(name, baseline.get(name), ratios.get(name)) for name in _names(baseline, ratios)
    }
    return [
        _together(v, found.get(name + CPU), max(CLOCK_ALONE, 4.0 * baseline[name].noise))
        if name in baseline
        else v
        for name, v in found.items()
        if not name.endswith(CPU)
    ]


def _names(*tables: Iterable[str]) -> list[str]:
    return sorted({name for table in tables for name in table})


def _against_file(name: str, reference: Reference | None, ratio: float | None) -> Verdict:
    if reference is None:
        return Verdict(name, "new", None, None)
    if ratio is None:
        return Verdict(name, "gone", None, SUSPECT)
    change = ratio / reference.best - 1.0
    # Twice as slow and half as slow are changes of the same size.
    faster = reference.best / ratio - 1.0 > SUSPECT
    return Verdict(name, "-" if change > SUSPECT else "+" if faster else "~", change, SUSPECT)


def _second_look(name: str, turns: Mapping[str, Sequence[Pair]]) -> Verdict:
    clock = _against_version(name, turns[name])
    cpu = _against_version(name, turns[name + CPU]) if name + CPU in turns else None
    return _together(clock, cpu, max(CLOCK_ALONE, 4.0 * _scatter(turns[name])))


def _against_version(name: str, pairs: Sequence[Pair]) -> Verdict:
    """Slower if the mean change of the turns and that of the best say so.

    Bursts of noise hardly move the best. What has two speeds, by where its memory happens to lie, and shows
    one of them in each process, may have shown the fast one to a single version only: that moves the mean
    less.
    """
    middle = math.exp(statistics.fmean(math.log(new / old) for old, new in pairs))
    best = min(new for _, new in pairs) / min(old for old, _ in pairs)
    change, threshold = min(middle, best) - 1.0, max(SLOWER, _scatter(pairs))
    return Verdict(name, "-" if change > threshold else "~", change, threshold, len(pairs))


def _scatter(pairs: Sequence[Pair]) -> float:
    """Half the distance of the older version's largest and smallest ratio, relative to their median."""
    old = [pair[0] for pair in pairs]
    return (max(old) - min(old)) / (2.0 * statistics.median(old))


def _harmless(verdict: Verdict) -> bool:
    """Far enough below the threshold that more turns would not change it."""
    return verdict.sign == "~" and verdict.change is not None and verdict.change < SLOWER / 2.0


def _together(clock: Verdict, cpu: Verdict | None, far: float) -> Verdict:
    """The CPU's verdict under the benchmark's name, unless only the clock has one or shows far more."""
    if cpu is None or cpu.change is None or clock.change is None:
        return clock
    if clock.change > far or 1.0 / (1.0 + clock.change) > 1.0 + far:
        return replace(clock, threshold=far, sign="-" if clock.change > 0.0 else "+")
    return replace(cpu, name=clock.name)
