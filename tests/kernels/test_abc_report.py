"""Tolerance ABC: shortfalls, progress and interrupts."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import numba
import numpy as np
import pytest

from fastinv.kernels import ABCShortfallError, Normal, Uniform, abc

KINEMATICS = np.array([[0.0, 1.5], [0.1, 1.6], [-0.2, 1.9], [0.0, 1.9999], [0.4, 0.5], [8.0, 0.0]])
LINE = [Normal(0.0, 1.0), Uniform(-1.0, 2.0)]


def test_shortfall_is_raised_with_what_was_accepted() -> None:
    with pytest.raises(ABCShortfallError, match=r"observation 1 has 0 within 0\.01") as caught:
        abc("kinematics", [[0.1, 1.6], [8.0, 0.0]], 10, tolerance=0.01, max_simulations=10**6)
    result = caught.value.result
    assert result.short.tolist() == [1]
    assert np.isfinite(result.x[0]).all()
    assert result.simulations[1] == 10**6
    assert math.isinf(result.expected_simulations[1])


def test_report_extrapolates() -> None:
    result = abc("ballistics", [[5.0]], 10**5, tolerance=0.01, max_simulations=10**5, on_shortfall="return")
    rate = result.accepted[0] / 10**5
    assert result.acceptance_rate[0] == pytest.approx(rate)
    assert result.expected_simulations[0] == pytest.approx(10**5 / rate)
    assert result.expected_seconds[0] == pytest.approx(result.seconds / rate)


def test_progress_is_reported() -> None:
    seen = []
    abc("kinematics", KINEMATICS[:2], 100, tolerance=0.05, on_progress=seen.append)
    simulations = [p.simulations for p in seen]
    assert simulations == sorted(set(simulations))
    assert seen[-1].finished == seen[-1].observations == 2


@pytest.mark.parametrize("kind", ["built-in", "compiled", "batch"])
def test_interrupt_is_answered_within_a_second(kind: str) -> None:
    @numba.njit
    def slow(x):
        total = x[0]
        for i in range(200_000):
            total += math.sin(total + i)
        return total

    simulators = {"built-in": "kinematics", "compiled": slow, "batch": lambda x: np.tile(x, (1, 1))}
    options: dict[str, Any] = {} if kind == "built-in" else {"prior": [Normal(0.0, 1.0)]}
    y = [[0.0, 7.0]] if kind == "built-in" else [[1e9]]
    abc(simulators[kind], y, 1, tolerance=1e-6, max_simulations=1, on_shortfall="return", **options)
    main = threading.main_thread().ident
    pressed: list[float] = []

    def press() -> None:
        import signal

        pressed.append(time.monotonic())
        assert main is not None
        signal.pthread_kill(main, signal.SIGINT)

    timer = threading.Timer(1.0, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        abc(simulators[kind], y, 1, tolerance=1e-6, max_simulations=10**15, **options)
    assert time.monotonic() - pressed[0] < 1.0
