"""Which benchmarks became slower: a baseline file raises suspicions, its commit's code decides on them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tracking.baseline import Reference

Sign = Literal["+", "-", "?", "~", "new", "gone"]
# Ends the name under which what was measured in CPU time is kept.
CPU = " (cpu)"
# The increase from which on a benchmark is slower: above the older version in step, or, which makes it a
# suspect, above the better runs of the baseline.
SLOWER = 0.15
# The same for wall times where CPU times are known: a loop that lost one of two threads takes twice the time.
CLOCK_ALONE = 0.6
# A benchmark whose ratio lies this far below the best run of the baseline is faster.
FASTER = 0.15
# A suspect is slower if it was so in this many starts more than it was not, and cleared if it was not in this
# many more than it was. Of unchanged code that looks slower in one start of 20, one in 7000 is taken for it.
LEAD_SLOWER, LEAD_CLEARED = 3, 2
# Starts of a suspect at most.
STARTS = 12
# Suspects in one start, the worst first: so that a few are decided if many cannot be in the time there is.
TOGETHER = 12
# The machine's own drift against the yardsticks is the median change of all benchmarks, up to this.
MOST_DRIFT = 0.15

# What one start of both versions in step says: name, and that of CPU times, to newer time by older time.
Start = Mapping[str, float]


@dataclass(frozen=True)
class Verdict:
    """One line of the comparison.

    Attributes:
        name: of the benchmark.
        sign: "+" faster, "-" slower, "?" too few starts to tell, or not measured in time, "~" neither, "new"
            without anything to compare with, "gone" not measured.
        change: relative change, positive for slower; None where there is nothing to compare.
        starts: of both versions in step that the verdict rests on; 0 for the file alone.
    """

    name: str
    sign: Sign
    change: float | None
    starts: int = 0


def judge(
    baseline: Mapping[str, Reference],
    measured: Mapping[str, float],
    in_step: Callable[[list[str]], Start],
    drift: float = 1.0,
    enough: Callable[[], bool] = lambda: False,
) -> list[Verdict]:
    """Compare ratios with a baseline; whatever seems slower is measured in step with the older version.

    A shared machine has phases of a second to hours in which one kind of work is slower than the yardstick
    that stands for it, so that no file can say what is a regression: it only raises a suspicion. Both
    versions, run in step, see the same machine. What is left is how each process was laid out in memory, so
    that several starts of both have to agree.

    CPU times decide where they are known: other processes change them least. Only wall time shows lost
    parallelism, though, so that a large change of it counts as well.

    Args:
        baseline: name to reference.
        measured: name to the ratio measured now.
        in_step: measures the named benchmarks in one start of both versions; leaves out what the older one
            cannot run.
        drift: the machine's drift, taken off `measured`.
        enough: whether no further start may begin; what is open then is undecided.
    """
    # What waits for the disk has no ratio of CPU times, and does not drift with the processor.
    drifting = {name for name in measured if name.endswith(CPU) or name + CPU in measured}
    ratios = {name: ratio / drift if name in drifting else ratio for name, ratio in measured.items()}
    names = sorted({name for table in (baseline, measured) for name in table if not name.endswith(CPU)})
    verdicts = {name: _first_look(name, baseline, ratios) for name in names}
    waiting = [name for name in names if verdicts[name].sign == "-"]
    waiting.sort(key=lambda name: -_suspicion(name, baseline, ratios))
    found: dict[str, list[Start]] = {}
    asked: list[str] = []
    while asked or waiting:
        free = TOGETHER - len(asked)
        asked, waiting = asked + waiting[:free], waiting[free:]
        if enough():
            break
        start = in_step(sorted(asked))
        for name in asked:
            found.setdefault(name, []).append(start)
            verdicts[name] = _second_look(name, found[name])
        asked = [name for name in asked if verdicts[name].sign == "?" and len(found[name]) < STARTS]
    verdicts |= {name: replace(verdicts[name], sign="?") for name in asked + waiting}
    return list(verdicts.values())


def drift_of(baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> float:
    """Factor by which the machine has moved against its yardsticks since the baseline.

    Args:
        baseline: name to reference.
        ratios: name to ratio, of a whole run; only those of CPU times count.
    """
    known = [name for name in ratios if name.endswith(CPU) and name in baseline]
    found = statistics.median(ratios[name] / baseline[name].ratio for name in known) if known else 1.0
    return min(1.0 + MOST_DRIFT, max(1.0 / (1.0 + MOST_DRIFT), found))


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
    return Verdict(name, "+" if reference.best / ratio - 1.0 > FASTER else "~", change)


def _deciding(name: str, baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> str:
    """Its CPU times, where both have them."""
    return name + CPU if name + CPU in ratios and name + CPU in baseline else name


def _suspicion(name: str, baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> float:
    """How far above the better runs of the baseline, in units of what makes a benchmark slower."""
    found = ((_deciding(name, baseline, ratios), SLOWER), (name, CLOCK_ALONE))
    return max((ratios[key] / baseline[key].low - 1.0) / least for key, least in found)


def _second_look(name: str, starts: Sequence[Start]) -> Verdict:
    known = [start for start in starts if name in start]
    if not known:
        return Verdict(name, "new", None)
    lost = [_lost(name, start) for start in known]
    slower = sum(_slower(name, start) for start in known)
    lead = 2 * slower - len(known)
    sign: Sign = "-" if lead >= LEAD_SLOWER else "~" if -lead >= LEAD_CLEARED else "?"
    # What was lost on the clock alone is told in its terms.
    deciding = name if 2 * sum(lost) > len(known) or name + CPU not in known[0] else name + CPU
    return Verdict(name, sign, statistics.median(start[deciding] for start in known) - 1.0, len(known))


def _slower(name: str, start: Start) -> bool:
    return start.get(name + CPU, start[name]) > 1.0 + SLOWER or _lost(name, start)


def _lost(name: str, start: Start) -> bool:
    """Whether it takes far more on the clock than its CPU times say: it has lost a thread."""
    return name + CPU in start and start[name] > 1.0 + CLOCK_ALONE and start[name + CPU] <= 1.0 + SLOWER
