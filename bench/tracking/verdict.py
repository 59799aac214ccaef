"""Which benchmarks became slower: a baseline file raises suspicions, its commit's code decides on them."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tracking.baseline import Reference

Sign = Literal["+", "-", "?", "~", "new", "gone"]
# Ends the name under which what was measured in CPU time is kept.
CPU = " (cpu)"
# A benchmark whose ratio lies this far above the better runs of the baseline is looked at again, and one that
# lies this far below the best of them is faster.
SUSPECT = 0.15
# In turns with the older version: the increase of the best time from which on a benchmark is slower.
SLOWER = 0.15
# The same for wall times where CPU times are known: a loop that lost one of two threads takes twice the time.
CLOCK_ALONE = 0.6
# Turns of a suspect at most, and the first of them that may clear it because best times are alike: processes
# of the same code have two speeds or more, and the older version may have had no luck in its first turns.
TURNS, CERTAIN = 24, 6
# A suspect is slower if the chance that unchanged code looks as slow is below the first, and cleared if the
# chance that code which is slower by SLOWER looks as fast is below the second, each at any one turn.
LEVEL, CLEAR = 1e-4, 0.02
# Suspects in one turn, the worst first: so that a few are decided if many cannot be in the time there is.
TOGETHER = 6
# The machine's own drift against the yardsticks is the median change of all benchmarks, up to this.
MOST_DRIFT = 0.15

# One turn: the older version's best time and this one's, in seconds.
Pair = tuple[float, float]


@dataclass(frozen=True)
class Verdict:
    """One line of the comparison.

    Attributes:
        name: of the benchmark.
        sign: "+" faster, "-" slower, "?" slower by too few turns to tell, or not measured in time, "~"
            neither, "new" without anything to compare with, "gone" not measured.
        change: relative change, positive for slower; None where there is nothing to compare.
        turns: measurements beside the older version that the verdict rests on; 0 for the file alone.
    """

    name: str
    sign: Sign
    change: float | None
    turns: int = 0


def judge(
    baseline: Mapping[str, Reference],
    measured: Mapping[str, float],
    beside: Callable[[list[str]], Mapping[str, Pair]],
    moved: float = 1.0,
    again: Callable[[list[str]], Mapping[str, float]] = lambda names: {},
    enough: Callable[[], bool] = lambda: False,
) -> list[Verdict]:
    """Compare ratios with a baseline; whatever seems slower is measured beside the older version.

    A shared machine has phases of seconds to hours in which one kind of work is slower than the yardstick
    that stands for it, so that no file can say what is a regression: it only raises a suspicion. Both
    versions, run in turns, see the same machine.

    CPU times decide where they are known: other processes change them least. Only wall time shows lost
    parallelism, though, so that a large change of it counts as well.

    Args:
        baseline: name to reference.
        measured: name to the ratio measured now.
        beside: measures the named benchmarks once in both versions; leaves out what the older one cannot run.
        moved: the machine's drift, taken off `measured`.
        again: measures ratios of the named benchmarks once more. Whatever made one long may be over, and
            what is no longer suspicious needs no turns. So may a drift that slows: it is not taken off here.
        enough: whether no further turn may begin; what is open then is undecided.
    """
    # What waits for the disk has no ratio of CPU times, and does not drift with the processor.
    drifting = {name for name in measured if name.endswith(CPU) or name + CPU in measured}
    ratios = {name: ratio / moved if name in drifting else ratio for name, ratio in measured.items()}
    names = sorted({name for table in (baseline, measured) for name in table if not name.endswith(CPU)})
    verdicts = {name: _first_look(name, baseline, ratios) for name in names}
    if suspects := [name for name in names if verdicts[name].sign == "-"]:
        for name, ratio in again(suspects).items():
            now = ratio / min(moved, 1.0) if name in drifting else ratio
            ratios[name] = min(ratios.get(name, now), now)
        verdicts |= {name: _first_look(name, baseline, ratios) for name in suspects}
    waiting = [name for name in suspects if verdicts[name].sign == "-"]
    waiting.sort(key=lambda name: -_suspicion(name, baseline, ratios))
    turns: dict[str, list[Pair]] = {}
    taken: Counter[str] = Counter()
    asked: list[str] = []
    while asked or waiting:
        free = TOGETHER - len(asked)
        asked, waiting = asked + waiting[:free], waiting[free:]
        if enough():
            break
        for name, pair in beside(sorted(asked)).items():
            turns.setdefault(name, []).append(pair)
        taken.update(asked)
        verdicts |= {name: _second_look(name, turns) for name in asked}
        asked = [
            name
            for name in asked
            if verdicts[name].sign in "?~" and taken[name] < TURNS and not _cleared(name, turns)
        ]
    verdicts |= {name: replace(verdicts[name], sign="?") for name in asked + waiting}
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


def chance(pairs: Sequence[Pair]) -> float:
    """Probability that unchanged code has as many best times in the older version, one-sided.

    Whatever the noise, the turns of unchanged code might as well have been dealt out the other way: of n and
    n times, the k smallest are all the older version's with probability C(n, k) / C(2n, k). Only the small
    ones count, since neighbours make a time longer and never shorter.
    """
    n, best = len(pairs), min(new for _, new in pairs)
    k = sum(old < best for old, _ in pairs)
    return math.comb(n, k) / math.comb(2 * n, k)


def _first_look(name: str, baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> Verdict:
    if name not in baseline:
        return Verdict(name, "new", None)
    if name not in ratios:
        return Verdict(name, "gone", None)
    deciding = _deciding(name, baseline, ratios)
    reference, ratio = baseline[deciding], ratios[deciding]
    change = ratio / reference.ratio - 1.0
    if _suspicion(name, baseline, ratios) > 1.0:
        return Verdict(name, "-", change)
    # Twice as slow and half as slow are changes of the same size.
    return Verdict(name, "+" if reference.best / ratio - 1.0 > SUSPECT else "~", change)


def _deciding(name: str, baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> str:
    """Its CPU times, where both have them."""
    return name + CPU if name + CPU in ratios and name + CPU in baseline else name


def _suspicion(name: str, baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> float:
    """How far above the better runs of the baseline, in units of what makes a benchmark a suspect."""
    found = ((_deciding(name, baseline, ratios), SUSPECT), (name, CLOCK_ALONE))
    return max((ratios[key] / baseline[key].low - 1.0) / least for key, least in found)


def _second_look(name: str, turns: Mapping[str, Sequence[Pair]]) -> Verdict:
    if name not in turns:
        return Verdict(name, "new", None)
    undecided = None
    for pairs, least in _evidence(name, turns):
        if (change := _change(pairs)) > least:
            if chance(pairs) < LEVEL:
                return Verdict(name, "-", change, len(pairs))
            undecided = undecided or Verdict(name, "?", change, len(pairs))
    pairs, _ = _evidence(name, turns)[0]
    return undecided or Verdict(name, "~", _change(pairs), len(pairs))


def _cleared(name: str, turns: Mapping[str, Sequence[Pair]]) -> bool:
    return all(_harmless(*found) for found in _evidence(name, turns))


def _harmless(pairs: Sequence[Pair], least: float) -> bool:
    """Far below the increase that decides, or improbable for code that is slower by it."""
    as_if = [(new / (1.0 + least), old) for old, new in pairs]
    return (len(pairs) >= CERTAIN and _change(pairs) < least / 2.0) or chance(as_if) < CLEAR


def _evidence(name: str, turns: Mapping[str, Sequence[Pair]]) -> list[tuple[Sequence[Pair], float]]:
    """The turns' times that decide, and the increase from which on they do."""
    if name + CPU not in turns:
        return [(turns[name], SLOWER)]
    return [(turns[name + CPU], SLOWER), (turns[name], CLOCK_ALONE)]


def _change(pairs: Sequence[Pair]) -> float:
    return min(new for _, new in pairs) / min(old for old, _ in pairs) - 1.0
