"""Calls over one observation with many samples: cut into parts, so that Ctrl-C is answered soon.

That it is answered is tested in test_interrupts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fastinv.kernels import available_backends
from fastinv.kernels.rejection import runners, sample_ballistics, sample_kinematics

COMPILED = [name for name in runners.CUT_WITHIN_OBSERVATIONS if available_backends()[name].available]


@pytest.mark.parametrize("backend", COMPILED)
def test_no_part_is_large(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, rows = [], []
    run = runners.RUN[backend]

    def spy(target: Any, start: Any, key: Any, x: Any, attempts: Any) -> None:
        sizes.append(attempts.size)
        rows.append(len(target.y))
        run(target, start, key, x, attempts)

    monkeypatch.setitem(runners.RUN, backend, spy)
    sample_kinematics([[0.0, 1.5]], 900_000, backend=backend)
    assert sum(sizes) == 900_000
    assert max(sizes) <= 600_000
    rows.clear()
    # Here envelopes are what takes time: half a millisecond each.
    sample_kinematics(np.tile([0.0, 1.5], (700, 1)), 1, backend=backend)
    assert sum(rows) == 700
    assert max(rows) <= 300


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize(
    ("sample", "y"),
    [(sample_kinematics, [[0.0, 1.5], [3.0, 1.0]]), (sample_ballistics, [[5.0], [24.0]])],
    ids=["kinematics", "ballistics"],
)
def test_samples_do_not_depend_on_the_cuts(
    sample: Callable[..., NDArray[np.float64]],
    y: list[list[float]],
    backend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = np.empty((2, 500), dtype=np.int64), np.empty((2, 500), dtype=np.int64)
    whole = sample(y, 500, seed=3, first_observation=7, backend=backend, attempts_out=attempts[0])
    monkeypatch.setitem(runners.SAMPLES_PER_CALL, backend, 77)
    cut = sample(y, 500, seed=3, first_observation=7, backend=backend, attempts_out=attempts[1])
    np.testing.assert_array_equal(cut, whole)
    np.testing.assert_array_equal(*attempts)
