"""Timing of calls, mostly on a clock that the tests move."""

from __future__ import annotations

import gc
import math
import time

import numpy as np
import pytest

from fastinv.timing import Plan, measure, measure_all
from fastinv.timing.clocks import Call, clock_for
from fastinv.timing.quality import Load, foreign_share, load_warnings, warnings_for
from fastinv.timing.statistics import median_interval, percentile, relative_half_width


class FakeClock:
    """A call is asked how long it took, in milliseconds."""

    def time(self, call: Call, repeats: int) -> float:
        answers = [call() for _ in range(repeats)]
        return sum(float(a) for a in answers if isinstance(a, int | float)) * 1e6 / repeats

    def wait(self) -> None:
        pass


def test_a_sleep_takes_as_long_as_it_says() -> None:
    timing = measure(lambda: time.sleep(0.005), plan=Plan(budget_s=0.0))
    assert timing.repeats == 7
    assert 5.0 <= timing.q25_ms <= timing.median_ms <= timing.q75_ms <= timing.p99_ms < 50.0
    assert timing.low_ms <= timing.median_ms <= timing.high_ms


def test_warm_up_goes_on_until_steady_and_keeps_the_first_call_apart() -> None:
    answers = iter([900.0, 50.0, 40.0, 30.0, 20.0, 10.0] + [5.0] * 1000)
    timing = measure(lambda: next(answers), clock=FakeClock())
    assert timing.first_ms == 900.0
    assert timing.warmup == 11  # the first at which the last three agree with the three before
    assert timing.median_ms == timing.p99_ms == 5.0
    assert timing.repeats == 7
    assert not timing.warnings


def test_repeats_end_when_the_median_is_known() -> None:
    rng = np.random.default_rng(0)
    plan = Plan(relative=0.02, budget_s=1e9, max_repeats=100_000)
    timing = measure(lambda: float(rng.uniform(9.0, 11.0)), clock=FakeClock(), plan=plan)
    assert 7 < timing.repeats < 1000
    assert (timing.high_ms - timing.low_ms) / 2 <= 0.02 * timing.median_ms * 1.01


def test_a_budget_that_ends_too_early_is_said() -> None:
    rng = np.random.default_rng(0)
    plan = Plan(relative=1e-4, max_repeats=20)
    timing = measure(lambda: float(rng.uniform(5.0, 15.0)), clock=FakeClock(), plan=plan)
    assert timing.repeats == 20
    assert "Plan.budget_s" in timing.warnings[0]


def test_contenders_take_turns_in_random_order() -> None:
    order: list[str] = []

    def contender(name: str) -> Call:
        def call() -> float:
            order.append(name)
            return 1.0

        return call

    plan = Plan(min_repeats=20, max_repeats=20, min_warmup=0, max_warmup=0)
    measure_all({n: contender(n) for n in "abc"}, clock=FakeClock(), plan=plan)
    timed = order[:1]
    rest = iter(order[1:])
    for name in rest:
        if name != timed[-1]:
            assert next(rest) == name, "whoever follows another calls once untimed"
        timed.append(name)
    rounds = ["".join(timed[i : i + 3]) for i in range(0, 60, 3)]
    assert len(timed) == 60
    assert all(sorted(r) == ["a", "b", "c"] for r in rounds)
    assert len(set(rounds)) > 3


def test_short_calls_are_timed_many_at_a_time() -> None:
    timing = measure(lambda: None, plan=Plan(budget_s=0.01))
    assert timing.per_interval > 10
    assert 0 < timing.median_ms < 0.01


def test_an_interval_is_long_enough_without_the_clocks_own_share() -> None:
    """Reading this clock takes 2 us, ten times as long as the call."""

    class Slow(FakeClock):
        def time(self, call: Call, repeats: int) -> float:
            return super().time(call, repeats) + 2000.0 / repeats

    timing = measure(lambda: 0.0002, clock=Slow(), plan=Plan(max_repeats=7))
    assert 90 <= timing.per_interval <= 200
    assert timing.median_ms == pytest.approx(0.0002, rel=0.2)


def test_the_collector_is_back_on_even_after_an_error() -> None:
    def fail() -> None:
        assert not gc.isenabled()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        measure(fail)
    assert gc.isenabled()


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_warmup": -1},
        {"min_repeats": 1},
        {"min_repeats": 5, "max_repeats": 4},
        {"budget_s": math.nan},
        {"relative": 0.0},
        {"confidence": 1.0},
    ],
)
def test_senseless_plans_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="min_repeats"):
        Plan(**arguments)  # type: ignore[arg-type]


def test_unknown_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="'tpu'"):
        clock_for("tpu")
    with pytest.raises(ValueError, match="cold"):
        clock_for("cpu", cold=True)


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    """2000 samples of 25: nominal 95%, exact 95.7%; three standard errors are 1.4%."""
    rng = np.random.default_rng(1)
    samples = np.sort(rng.exponential(size=(2000, 25)), axis=1)
    ends = np.array([median_interval(list(row), 0.95) for row in samples])
    covered = ((ends[:, 0] <= math.log(2)) & (math.log(2) <= ends[:, 1])).mean()
    assert 0.957 - 0.014 < covered < 0.957 + 0.014


def test_statistics_of_few_times() -> None:
    assert relative_half_width([1.0, 1.0], 0.95) == math.inf
    assert relative_half_width([], 0.95) == math.inf
    assert percentile(list(range(1, 101)), 0.99) == 99


def test_drift_and_spread_are_named() -> None:
    slower = [10.0] * 10 + [13.0] * 20
    (drift,) = warnings_for(slower, reached=True, half_width=0.0, relative=0.03)
    assert "slower" in drift
    assert "cpupower" in drift
    noisy = [10.0, 15.0] * 15
    assert any("taskset" in w for w in warnings_for(noisy, reached=True, half_width=0.0, relative=0.03))
    assert not warnings_for([10.0] * 30, reached=True, half_width=0.0, relative=0.03)


def test_other_processes_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    before, after = Load(0.0, 1.0, 10.0), Load(10.0, 11.0, 26.0)
    assert foreign_share(before, after) == pytest.approx(0.3)
    assert "30%" in load_warnings(before, after)[0]
    assert not load_warnings(before, Load(10.0, 11.0, 20.0))
    assert not load_warnings(Load(0.0, 0.0, None), Load(9.0, 9.0, None))
