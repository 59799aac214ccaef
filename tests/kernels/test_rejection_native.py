"""The C++ samplers: every instruction set of the build, prior observations, threads, envelope tables."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import warm
from numpy.typing import NDArray

import fastinv
from fastinv.kernels import available_backends, backends
from fastinv.kernels.rejection import Arm, Throw, sample_ballistics, sample_kinematics
from fastinv.kernels.rejection import ballistics_reference as ballistics
from fastinv.kernels.rejection import kinematics_reference as kinematics

FloatArray = NDArray[np.float64]

pytestmark = pytest.mark.skipif(
    not available_backends()["native"].available, reason=available_backends()["native"].detail
)

# Singular points, rare targets, a different arm (whose shorter link may turn all the way round), far throws.
ARM_TARGETS = np.array([[0.0, 1.5], [0.0, 1.0], [0.0, 0.0], [0.0, 1.9999], [1.2, 1.2], [0.4, -0.7]])
OTHER_ARM = Arm(lengths=(0.3, 0.8, 0.9), sigmas=(0.5, 2.2, 1.3, 0.6))
THROW_TARGETS = np.array([[5.0], [-0.3], [24.0], [30.0], [200.0]])

# Of 100,000 samples. Cells are chosen by integer weights, and a mass next to a singular corner of the arm may
# be rounded to the neighbouring integer: two samples in a million then come from another cell, often at the
# same attempt. At 5 in a million more than this are met with probability 2e-5. For throws only a verdict
# within rounding of its threshold can flip: at a margin of 1e-12 among 2e5 proposals with probability 2e-7.
MOST_FLIPS = {"kinematics": 5, "ballistics": 0}

DRAW_EVERYTHING = """
import sys, numpy as np
sys.path.insert(0, sys.argv[2])
import test_rejection_native as t
np.savez(sys.argv[1], **t.draw_everything("native"))
"""


def draw_everything(backend: str) -> dict[str, FloatArray]:
    return {
        "arm": sample_kinematics(ARM_TARGETS, 40, seed=9, backend=backend),
        "other_arm": sample_kinematics(ARM_TARGETS, 40, seed=9, arm=OTHER_ARM, backend=backend),
        "throw": sample_ballistics(THROW_TARGETS, 40, seed=9, backend=backend),
    }


def usable_isas() -> list[str]:
    module = backends.native_module()
    if module is None:
        return []
    # Oldest first, and a CPU that has one set has all before it.
    built: list[str] = module.built_isas()
    return built[: built.index(module.active_isa()) + 1]


@pytest.mark.parametrize("isa", usable_isas())
def test_every_instruction_set_gives_the_reference_samples(isa: str, tmp_path: Path) -> None:
    out = tmp_path / "samples.npz"
    arguments = (str(out), str(Path(__file__).parent))
    process = warm.fork(DRAW_EVERYTHING, arguments, tmp_path, {**os.environ, "FASTINV_ISA": isa})
    warm.output_of(process, timeout=120.0)
    expected = draw_everything("reference")
    with np.load(out) as actual:
        for name, samples in expected.items():
            np.testing.assert_allclose(actual[name], samples, rtol=0.0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize(
    ("name", "sample"), [("kinematics", sample_kinematics), ("ballistics", sample_ballistics)]
)
def test_prior_observations_agree_with_numba(name: str, sample: Callable[..., FloatArray]) -> None:
    problem = fastinv.problem(name)
    y = np.asarray(problem.simulate(problem.sample_prior(200, seed=11)))
    attempts = {b: np.empty((200, 500), dtype=np.int64) for b in ("native", "numba")}
    x = {b: sample(y, 500, seed=2, backend=b, attempts_out=attempts[b]) for b in attempts}
    apart = np.abs(x["native"] - x["numba"]).max(axis=-1)
    flipped = (attempts["native"] != attempts["numba"]) | ~(apart <= 1e-9)
    assert flipped.sum() <= MOST_FLIPS[name]
    residual = np.abs(np.asarray(problem.simulate(x["native"])) - y[:, None, :]).max()
    assert residual <= 4.0 * np.finfo(np.float64).eps * max(2.0, float(np.abs(y).max()))


@pytest.mark.parametrize("threads", [1, 3, 16])
@pytest.mark.parametrize("batch", [1, 2, 40])
def test_samples_do_not_depend_on_threads(threads: int, batch: int) -> None:
    module = backends.native_module()
    assert module is not None
    y = np.repeat(ARM_TARGETS, 7, axis=0)[:batch]
    expected = sample_kinematics(y, 700, seed=4, backend="native")
    before = module.num_threads()
    module.set_num_threads(threads)
    try:
        np.testing.assert_array_equal(sample_kinematics(y, 700, seed=4, backend="native"), expected)
    finally:
        module.set_num_threads(before)


def test_no_observations() -> None:
    assert sample_kinematics(np.empty((0, 2)), 3, backend="native").shape == (0, 3, 4)
    assert sample_ballistics(np.empty((0, 1)), 3, backend="native").shape == (0, 3, 4)


def assert_tables_agree(
    tables: tuple[NDArray[np.generic], ...], envelopes: list[kinematics.Envelope | ballistics.Envelope]
) -> None:
    cells, tags, last, offsets = tables
    assert offsets[-1] == len(cells) == len(tags) == len(last)
    for envelope, low, high in zip(envelopes, offsets[:-1], offsets[1:], strict=True):
        np.testing.assert_allclose(cells[low:high, :4], envelope.cells, rtol=0.0, atol=1e-13)
        np.testing.assert_array_equal(tags[low:high], envelope.tags)
        # A weight is a mass rounded up to an integer: its rounding may fall on either side.
        np.testing.assert_allclose(last[low:high], envelope.last.astype(np.float64), rtol=0.0, atol=200.0)
        np.testing.assert_allclose(np.exp(cells[low:high, 4] - envelope.log_bound), 1.0, rtol=2e-3)


def test_envelope_tables_are_those_of_the_reference() -> None:
    module = backends.native_module()
    assert module is not None
    for arm in (Arm(), OTHER_ARM):
        tables = module.kinematics_envelopes(ARM_TARGETS, np.array([*arm.lengths, *arm.sigmas]))
        assert_tables_agree(tables, [kinematics.build_kinematics_envelope(y, arm) for y in ARM_TARGETS])
    tables = module.ballistics_envelopes(THROW_TARGETS, np.array(dataclasses.astuple(Throw())))
    expected = [ballistics.build_ballistics_envelope(float(y[0]), Throw()) for y in THROW_TARGETS]
    assert_tables_agree(tables, expected)


def test_arrays_of_the_wrong_shape_are_refused() -> None:
    module = backends.native_module()
    assert module is not None
    y, arm = np.zeros((2, 2)), np.ones(7)
    x, attempts = np.empty((2, 5, 4)), np.empty((2, 5), dtype=np.int64)
    for bad in ((y[:, :1].copy(), arm, x, attempts), (y, arm[:6], x, attempts), (y, arm, x[:1], attempts)):
        with pytest.raises(ValueError, match=r"must|wrong"):
            module.sample_kinematics(bad[0], bad[1], 0, 0, 0, 0, bad[2], bad[3])
