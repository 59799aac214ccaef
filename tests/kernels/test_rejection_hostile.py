"""Odd arms, throws and observations given to the exact samplers: samples that explain y*, or a clear error.

`make sanitize` runs this file against an extension built with AddressSanitizer and UBSan and with many more
examples (FASTINV_FUZZ_EXAMPLES); see sanitize.py.
"""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastinv.kernels import available_backends
from fastinv.kernels.rejection import (
    Arm,
    BoundViolatedError,
    BudgetExceededError,
    Throw,
    sample_ballistics,
    sample_kinematics,
)
from fastinv.kernels.rejection.ballistics_reference import reach

BACKENDS = [name for name in ("native", "numba") if available_backends()[name].available]
EXAMPLES = int(os.environ.get("FASTINV_FUZZ_EXAMPLES", "40"))
FAR = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ORDINARY = st.floats(0.05, 5.0)
POSITIVE = ORDINARY | ORDINARY | st.sampled_from([1e-6, 1e-3, 1.0, 1e3, 1e6])
ODD = st.sampled_from([0.0, -1.0, np.nan, np.inf, 1e-300, 1e300])
# One constant in many is none at all.
CONSTANT = st.integers(0, 40).flatmap(lambda i: ODD if i == 0 else POSITIVE)
SHARE = st.floats(-1.0, 1.0) | st.sampled_from([-1.0, 0.0, 0.5, 1.0, 1.0 + 1e-15, 1e-300])
SIZES = {
    "batch": st.sampled_from([0, 1, 2, 12]),
    "n": st.sampled_from([1, 3, 70]),
    "seed": st.integers(0, 99),
}


def drawn(sample: Any, y: np.ndarray, n: int, wide: bool, **options: Any) -> np.ndarray | None:
    """Samples, None after an error that is meant for the caller; `wide` constants may break bounds."""
    error: Exception | None
    try:
        x = sample(y, n, **options)
    except (BoundViolatedError, BudgetExceededError, ValueError) as raised:
        error = raised
    else:
        error = None
    if error is not None:
        # Rounding breaks bounds only where a link is a thousandth of another, or the like.
        assert wide or not isinstance(error, BoundViolatedError)
        assert re.match("(y|arm|throw)\\b|observation ", str(error))
        return None
    assert x.shape == (len(y), n, 4)
    assert np.isfinite(x).all()
    return np.asarray(x)


@pytest.mark.parametrize("backend", BACKENDS)
@FAR
@given(
    lengths=st.tuples(*[CONSTANT] * 3), sigmas=st.tuples(*[CONSTANT] * 4), at=st.tuples(SHARE, SHARE), **SIZES
)
def test_odd_arms(backend: str, lengths: Any, sigmas: Any, at: Any, batch: int, n: int, seed: int) -> None:
    arm = Arm(lengths, sigmas)
    with np.errstate(all="ignore"):
        extent = np.array([sum(lengths) + 3.0 * sigmas[0], sum(lengths)])
        y = np.tile(at * extent, (batch, 1))
    wide = max(lengths) >= 1e3 * min(lengths)
    x = drawn(sample_kinematics, y, n, wide, arm=arm, seed=seed, backend=backend)
    if x is None:
        return
    angle = np.cumsum(x[..., 1:], axis=-1)
    vertical = x[..., 0] + np.sin(angle) @ np.array(lengths)
    horizontal = np.cos(angle) @ np.array(lengths)
    # At the ends of the reach a cosine is flat: an angle's rounding enters it by its square root.
    assert np.abs(vertical - y[:, None, 0]).max(initial=0.0) <= 1e-13 * max(extent)
    assert np.abs(horizontal - y[:, None, 1]).max(initial=0.0) <= 1e-13 * max(extent)


@pytest.mark.parametrize("backend", BACKENDS)
@FAR
@given(
    constants=st.tuples(*[CONSTANT] * 5),
    mean=st.floats(-3.0, 3.0) | st.sampled_from([-1e6, -1000.0, 0.0, 1e6, np.nan]),
    angles=st.tuples(st.floats(0.0, 1.5), st.floats(0.0, 1.5)),
    rate=CONSTANT | st.just(15.0),
    y=st.floats(-30.0, 60.0) | st.sampled_from([0.0, -0.0, 1000.0, -1000.0, 1e-300, 1001.0, np.inf]),
    **SIZES,
)
def test_odd_throws(
    backend: str,
    constants: Any,
    mean: float,
    angles: Any,
    rate: float,
    y: float,
    batch: int,
    n: int,
    seed: int,
) -> None:
    gravity, drag, mass, x1_sigma, x2_sigma = constants
    throw = Throw(gravity, drag, mass, x1_sigma, mean, x2_sigma, min(angles), max(angles), rate)
    target = np.full((batch, 1), y)
    wide = max(constants) >= 1e3 * min(constants)
    x = drawn(sample_ballistics, target, n, wide, throw=throw, seed=seed, backend=backend)
    if x is None:
        return
    assert (x[..., 3] == np.round(x[..., 3])).all()
    with np.errstate(all="ignore"):
        flown = reach(x[..., 1].ravel(), x[..., 2].ravel(), x[..., 3].ravel(), throw).reshape(x.shape[:2])
    # Grazing throws amplify rounding; where drag is next to nothing, the range is a small part of m / k.
    assert np.abs(x[..., 0] + flown - target).max(initial=0.0) <= 1e-9 * max(
        1.0, abs(y), x1_sigma, mass / drag
    )
