"""How long calls take: warm-up until steady, contenders interleaved, repeats until the median is known.

The method is described in docs/timing.md.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter

from fastinv.timing.clocks import Call, Clock, clock_for
from fastinv.timing.quality import Load, load_warnings, warnings_for
from fastinv.timing.statistics import (
    NS_PER_MS,
    median_interval,
    percentile,
    quartiles,
    relative_half_width,
)

# A timed interval is at least this long, so that reading the clock (some 50 ns) does not count.
SHORTEST_NS = 20_000
MOST_CALLS = 10_000
# The warm-up is over when the medians of two successive windows of calls differ by less than this.
STEADY, WINDOW = 0.10, 3


@dataclass(frozen=True)
class Timing:
    """Latency of one call in milliseconds.

    Attributes:
        median_ms: median over the repetitions.
        q25_ms: lower quartile.
        q75_ms: upper quartile.
        repeats: number of timed intervals.
        p99_ms: 99% of the intervals were no longer than this.
        low_ms: lower end of the median's confidence interval.
        high_ms: its upper end; both infinite where there were too few repeats.
        first_ms: the very first call, which may have compiled, captured or allocated something.
        warmup: untimed calls, the first included.
        per_interval: calls per timed interval, above 1 for very short calls.
        warnings: what may have disturbed the measurement, each with what to do about it.
    """

    median_ms: float
    q25_ms: float
    q75_ms: float
    repeats: int
    p99_ms: float = float("nan")
    low_ms: float = float("-inf")
    high_ms: float = float("inf")
    first_ms: float = float("nan")
    warmup: int = 0
    per_interval: int = 1
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """How long and how exactly to measure.

    Attributes:
        relative: the confidence interval's half-width over the median at which measuring ends.
        confidence: level of that interval.
        min_repeats: timed intervals at least, whatever they take; 2 or more.
        max_repeats: timed intervals at most.
        budget_s: seconds per contender after which no further timed interval starts.
        min_warmup: untimed calls at least.
        max_warmup: untimed calls at most; the warm-up also ends after `budget_s`.
        seed: of the order in which contenders take turns.

    Raises:
        ValueError: numbers that make no sense.
    """

    relative: float = 0.03
    confidence: float = 0.95
    min_repeats: int = 7
    max_repeats: int = 1000
    budget_s: float = 0.5
    min_warmup: int = 2
    max_warmup: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        counts = 2 <= self.min_repeats <= self.max_repeats and 0 <= self.min_warmup <= self.max_warmup
        if not (counts and self.budget_s >= 0 and self.relative > 0 and 0 < self.confidence < 1):
            raise ValueError(
                "need 2 <= min_repeats <= max_repeats, 0 <= min_warmup <= max_warmup, budget_s >= 0, "
                f"relative > 0 and 0 < confidence < 1, got {self}"
            )


@dataclass
class _Contender:
    call: Call
    clock: Clock
    first_ns: float = float("nan")
    warmup: int = 0
    per_interval: int = 1
    times: list[float] = field(default_factory=list)
    spent_s: float = 0.0

    def warm_up(self, plan: Plan) -> None:
        """Call until two successive windows agree; then decide how many calls an interval takes."""
        times: list[float] = []
        started = perf_counter()
        while len(times) < plan.max_warmup:
            if len(times) >= plan.min_warmup and (_steady(times) or perf_counter() - started > plan.budget_s):
                break
            times.append(self.clock.time(self.call, 1))
        self.warmup = len(times)
        if times:
            self.first_ns = times[0]
            shortest = min(times)
            self.per_interval = _calls(SHORTEST_NS / max(shortest, 1.0))
        while 1 < self.per_interval < MOST_CALLS:
            # Reading the clock took its share of a single call: judge by as many calls as an interval has.
            spent = self.clock.time(self.call, self.per_interval) * self.per_interval
            if spent >= SHORTEST_NS:
                break
            self.per_interval = _calls(self.per_interval * max(1.5, SHORTEST_NS / max(spent, 1.0)))

    def repeat(self, *, after_another: bool) -> None:
        """Time an interval; after another contender's, whose threads may still spin, call once untimed."""
        started = perf_counter()
        if after_another:
            self.clock.time(self.call, 1)
        self.times.append(self.clock.time(self.call, self.per_interval))
        self.spent_s += perf_counter() - started

    def finished(self, plan: Plan) -> bool:
        n = len(self.times)
        if n < plan.min_repeats:
            return False
        if n >= plan.max_repeats or self.spent_s >= plan.budget_s:
            return True
        # Looked at now and then only: sorting after each of thousands of calls would cost more than they do.
        return n % max(1, n // 8) == 0 and relative_half_width(self.times, plan.confidence) <= plan.relative

    def timing(self, plan: Plan, disturbances: list[str]) -> Timing:
        low, middle, high = (t / NS_PER_MS for t in quartiles(self.times))
        half_width = relative_half_width(self.times, plan.confidence)
        reached = half_width <= plan.relative
        own = warnings_for(self.times, reached=reached, half_width=half_width, relative=plan.relative)
        bottom, top = median_interval(sorted(self.times), plan.confidence)
        return Timing(
            median_ms=middle,
            q25_ms=low,
            q75_ms=high,
            repeats=len(self.times),
            p99_ms=percentile(self.times, 0.99) / NS_PER_MS,
            low_ms=bottom / NS_PER_MS,
            high_ms=top / NS_PER_MS,
            first_ms=self.first_ns / NS_PER_MS,
            warmup=self.warmup,
            per_interval=self.per_interval,
            warnings=(*disturbances, *own),
        )


def measure(
    call: Call,
    *,
    device: str = "cpu",
    cold: bool = False,
    plan: Plan | None = None,
    clock: Clock | None = None,
) -> Timing:
    """Time one call again and again until its median is known.

    Args:
        call: what to time; its result is dropped.
        device: "cpu" for `time.perf_counter_ns`, "cuda" for CUDA events.
        cold: overwrite the L2 cache before every call (CUDA only).
        plan: how long and how exactly; `Plan()` if None.
        clock: another clock than the device's own.

    Returns:
        Median, quartiles, 99th percentile and confidence interval in milliseconds.

    Raises:
        ValueError: an unknown device, or a cold cache asked of a CPU.

    Examples:
        >>> measure(lambda: sum(range(1000)), plan=Plan(budget_s=0.01)).median_ms > 0
        True
    """
    return measure_all({"call": call}, device=device, cold=cold, plan=plan, clock=clock)["call"]


def measure_all(
    calls: Mapping[str, Call],
    *,
    device: str = "cpu",
    cold: bool = False,
    plan: Plan | None = None,
    clock: Clock | None = None,
    on_round: Callable[[int], None] = lambda round_: None,
) -> dict[str, Timing]:
    """Time several contenders against each other.

    Every round times each contender once, in a fresh random order, so that a change of the machine's clock or
    load falls on all of them alike; an untimed call comes before each, so that it finds its own threads awake
    and its weights in cache, not those of the contender before. A contender drops out once its median is
    known well enough.

    Args:
        calls: what to time, by name.
        device: see `measure`.
        cold: see `measure`.
        plan: see `measure`; its budget is each contender's own.
        clock: see `measure`.
        on_round: called with the number of each round that is over.

    Examples:
        >>> quick = Plan(budget_s=0.02)
        >>> found = measure_all({"one": lambda: sum(range(100)), "two": lambda: sum(range(9000))}, plan=quick)
        >>> found["one"].median_ms < found["two"].median_ms
        True
    """
    plan = plan or Plan()
    clock = clock or clock_for(device, cold=cold)
    contenders = {name: _Contender(call, clock) for name, call in calls.items()}
    order = random.Random(plan.seed)
    with _no_collection():
        for contender in contenders.values():
            contender.warm_up(plan)
        clock.wait()
        before, rounds = Load.now(), 0
        previous: _Contender | None = None
        while racing := [c for c in contenders.values() if not c.finished(plan)]:
            order.shuffle(racing)
            for contender in racing:
                contender.repeat(after_another=previous not in (None, contender))
                previous = contender
            rounds += 1
            on_round(rounds)
    disturbances = load_warnings(before, Load.now())
    return {name: contender.timing(plan, disturbances) for name, contender in contenders.items()}


def _calls(number: float) -> int:
    return max(1, min(MOST_CALLS, round(number)))


def _steady(times: list[float]) -> bool:
    if len(times) < 2 * WINDOW:
        return False
    before, now = median(times[-2 * WINDOW : -WINDOW]), median(times[-WINDOW:])
    return abs(now - before) <= STEADY * before


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the garbage collector off, so that one call does not pay for another's rubbish."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
