"""Signs that a measurement was disturbed, each with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic

from fastinv.timing.statistics import quartiles

# Shares beyond which a reader should be warned.
SPREAD, DRIFT, FOREIGN = 0.25, 0.10, 0.10
_CLOCKED = "fix the clock (CPU: cpupower frequency-set -g performance; GPU: nvidia-smi -lgc) or let it cool"


@dataclass(frozen=True)
class Load:
    """Processor time since boot, in seconds, and when it was read.

    Attributes:
        at: monotonic time.
        own: used by this process and its threads.
        busy: used by all processes and by the machine's host; None where it is unknown.
    """

    at: float
    own: float
    busy: float | None

    @classmethod
    def now(cls) -> Load:
        """Read the counters."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        try:
            line = Path("/proc/stat").read_text().splitlines()[0]
        except (OSError, IndexError):
            return cls(monotonic(), own, None)  # not Linux
        fields = [int(word) for word in line.split()[1:9]]
        user, nice, system, _idle, _iowait, interrupts, soft, stolen = (*fields, 0, 0, 0, 0, 0)[:8]
        ticks = user + nice + system + interrupts + soft + stolen
        return cls(monotonic(), own, ticks / os.sysconf("SC_CLK_TCK"))


def foreign_share(before: Load, after: Load) -> float:
    """Share of the machine that others used in between, 0 where it is unknown or too short to tell."""
    seconds = (after.at - before.at) * (os.cpu_count() or 1)
    if before.busy is None or after.busy is None or after.at - before.at < 0.2:
        return 0.0
    return max(0.0, (after.busy - before.busy) - (after.own - before.own)) / seconds


def load_warnings(before: Load, after: Load) -> list[str]:
    """What the counters say of disturbance from outside."""
    share = foreign_share(before, after)
    if share <= FOREIGN:
        return []
    advice = "close them, or take another machine, and measure again"
    return [f"other processes used {share:.0%} of the machine meanwhile: {advice}"]


def warnings_for(times: Sequence[float], *, reached: bool, half_width: float, relative: float) -> list[str]:
    """What a sample of times says of itself.

    Args:
        times: in the order in which they were taken.
        reached: whether the confidence interval is as narrow as was asked for.
        half_width: relative half-width of the interval.
        relative: what was asked for.
    """
    found = []
    if not reached:
        known = f"known to {half_width:.0%} only" if half_width < 10 else "hardly known"
        found.append(
            f"the median is {known} (asked for {relative:.0%}) after {len(times)} repeats: "
            "allow more time (--budget, Plan.budget_s)"
        )
    third = len(times) // 3
    low, middle, high = quartiles(times)
    if third >= 5:
        ends = times[:third], times[-third:]
        first, last = map(median, ends)
        # Noise alone moves the medians too, within its own spread.
        within = max(q[2] - q[0] for q in map(quartiles, ends))
        if abs(last - first) > max(DRIFT * first, within):
            change = "slower" if last > first else "faster"
            found.append(f"calls became {abs(last / first - 1):.0%} {change} while measuring: {_CLOCKED}")
    if high - low > SPREAD * middle:
        found.append(
            f"the middle half of the times spreads over {(high - low) / middle:.0%} of the median: close "
            "other programs, or pin the process to cores of its own (taskset)"
        )
    return found
