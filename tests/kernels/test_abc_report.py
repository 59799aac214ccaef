"""Tolerance ABC: shortfalls and progress."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastinv.kernels import ABCShortfallError, abc

KINEMATICS = np.array([[0.0, 1.5], [0.1, 1.6], [-0.2, 1.9], [0.0, 1.9999], [0.4, 0.5], [8.0, 0.0]])


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
