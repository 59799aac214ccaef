"""Timing of calls."""

from __future__ import annotations

import gc
import time

import pytest

from fastinv.timing import measure


def test_a_sleep_takes_as_long_as_it_says() -> None:
    timing = measure(lambda: time.sleep(0.005), warmup=0, min_repeats=5, budget_s=0.0)
    assert timing.repeats == 5
    assert 5.0 <= timing.q25_ms <= timing.median_ms <= timing.q75_ms < 50.0


def test_calls_are_counted() -> None:
    calls: list[str] = []
    timing = measure(
        lambda: calls.append("call"),
        synchronise=lambda: calls.append("wait"),
        warmup=2,
        min_repeats=3,
        max_repeats=3,
    )
    assert timing.repeats == 3
    assert calls == ["call", "call", "wait", *["call", "wait"] * 3]


def test_the_collector_is_back_on_even_after_an_error() -> None:
    def fail() -> None:
        assert not gc.isenabled()
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        measure(fail, warmup=0)
    assert gc.isenabled()


@pytest.mark.parametrize(
    "arguments",
    [{"warmup": -1}, {"min_repeats": 1}, {"min_repeats": 5, "max_repeats": 4}, {"budget_s": float("nan")}],
)
def test_senseless_counts_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="min_repeats"):
        measure(lambda: None, **arguments)  # type: ignore[arg-type]
