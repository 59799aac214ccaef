"""Which benchmarks became slower: measured ratios against a baseline, with a second and third look."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tracking.baseline import WIDTHS, Reference

Sign = Literal["+", "-", "~", "new", "gone"]
# A slowdown counts only if this many measurements in a row show it.
LOOKS = 3
# Ends the name under which a benchmark's ratio of CPU times is kept.
CPU = " (cpu)"
# From this change on the clock alone is believed: a loop that lost one of two threads takes twice the time.
CLOCK_ALONE = 0.6
# The machine's own drift against the yardsticks is the median change of all benchmarks, of so many at least
# and no more than so much. A change that slows a few benchmarks down does not move it.
FEWEST, MOST_DRIFT = 12, 0.15


@dataclass(frozen=True)
class Verdict:
    """One line of the comparison.

    Attributes:
        name: of the benchmark.
        sign: "+" faster, "-" slower, "~" within the threshold, "new" without a baseline, "gone" not measured.
        change: relative change of the ratio, positive for slower; None where there is nothing to compare.
        threshold: change that would have been called one.
        looks: measurements that the verdict rests on.
    """

    name: str
    sign: Sign
    change: float | None
    threshold: float | None
    looks: int


def judge(
    baseline: Mapping[str, Reference],
    measured: Mapping[str, float],
    measure_again: Callable[[list[str]], Mapping[str, float]],
) -> list[Verdict]:
    """Compare ratios with a baseline; whatever seems slower is measured again before it is called so.

    Where ratios of CPU times are known, these decide: other processes hardly change them, while they spread
    ratios of wall times over tens of percent. Only wall time shows lost parallelism, though, so that a change
    of it that is larger than such a spread counts as well.

    Noise on a shared machine comes in bursts that slow one benchmark down for seconds. The smallest change of
    `LOOKS` measurements decides, which such a burst survives only by lasting through all of them. What lasts
    for minutes and moves most benchmarks alike is the machine's drift, and is taken off first. To know that
    of a second look, the steadiest benchmarks of the baseline are measured beside those that seem slower.

    Args:
        baseline: name to reference.
        measured: name to the ratio measured now.
        measure_again: measures the named benchmarks once more.
    """
    best, looks = _without(drift(baseline, measured), measured), dict.fromkeys(measured, 1)
    for _ in range(LOOKS - 1):
        suspects = [v.name for v in _verdicts(baseline, best, looks) if v.sign == "-"]
        if not suspects:
            break
        steady = _steadiest(baseline, measured, suspects)
        again = measure_again([*suspects, *steady])
        now = drift(baseline, {name + CPU: again[name + CPU] for name in steady if name + CPU in again})
        for name, ratio in _without(now, again).items():
            if name in best and name.removesuffix(CPU) in suspects:
                best[name], looks[name] = min(best[name], ratio), looks[name] + 1
    return _verdicts(baseline, best, looks)


def drift(baseline: Mapping[str, Reference], ratios: Mapping[str, float]) -> float:
    """Factor by which the machine has moved against its yardsticks since the baseline; 1 if too few can tell.

    Args:
        baseline: name to reference.
        ratios: name to ratio; only those of CPU times count.
    """
    known = [name for name in ratios if name.endswith(CPU) and name in baseline]
    if len(known) < FEWEST:
        return 1.0
    found = statistics.median(ratios[name] / baseline[name].ratio for name in known)
    return min(1.0 + MOST_DRIFT, max(1.0 / (1.0 + MOST_DRIFT), found))


def _without(drift: float, ratios: Mapping[str, float]) -> dict[str, float]:
    return {name: ratio / drift for name, ratio in ratios.items()}


def _steadiest(
    baseline: Mapping[str, Reference], measured: Mapping[str, float], suspects: Iterable[str]
) -> list[str]:
    """Steady benchmarks that nobody suspects, as many as a drift takes; none if few would be left."""
    known = {name.removesuffix(CPU) for name in measured if name.endswith(CPU) and name in baseline}
    steady = sorted(known - set(suspects), key=lambda name: (baseline[name + CPU].noise, name))[:FEWEST]
    return steady if len(known) >= 2 * FEWEST and len(steady) == FEWEST else []


def _verdicts(
    baseline: Mapping[str, Reference], ratios: Mapping[str, float], looks: Mapping[str, int]
) -> list[Verdict]:
    found = {
        name: _verdict(name, baseline.get(name), ratios.get(name), looks.get(name, 0))
        for name in _names(baseline, ratios)
    }
    return [
        _together(v, found.get(name + CPU), baseline.get(name))
        for name, v in found.items()
        if not name.endswith(CPU)
    ]


def _together(clock: Verdict, cpu: Verdict | None, reference: Reference | None) -> Verdict:
    """The CPU's verdict under the benchmark's name, unless only the clock has one or shows far more."""
    if cpu is None or cpu.change is None or clock.change is None or reference is None:
        return clock
    far = max(CLOCK_ALONE, WIDTHS * reference.noise)
    if clock.change > far or 1.0 / (1.0 + clock.change) > 1.0 + far:
        return replace(clock, threshold=far, sign="-" if clock.change > 0.0 else "+")
    return replace(cpu, name=clock.name)


def _names(*tables: Iterable[str]) -> list[str]:
    return sorted({name for table in tables for name in table})


def _verdict(name: str, reference: Reference | None, ratio: float | None, looks: int) -> Verdict:
    if reference is None:
        return Verdict(name, "new", None, None, looks)
    if ratio is None:
        return Verdict(name, "gone", None, reference.slower, looks)
    change = ratio / reference.ratio - 1.0
    # Twice as slow and half as slow are changes of the same size.
    faster = reference.ratio / ratio - 1.0 > reference.faster
    sign: Sign = "-" if change > reference.slower else "+" if faster else "~"
    return Verdict(name, sign, change, reference.faster if change < 0.0 else reference.slower, looks)
