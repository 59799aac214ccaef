"""The exact samplers' back ends against each other, and their envelopes."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fastinv.kernels import available_backends
from fastinv.kernels.rejection import Arm, Throw, kinematics_cells, sample_ballistics, sample_kinematics
from fastinv.kernels.rejection import ballistics_reference as ballistics
from fastinv.kernels.rejection import kinematics_reference as kinematics
from fastinv.kernels.rejection.envelope import TOTAL_WEIGHT, Envelope
from fastinv.kernels.rejection.op import SERVING

FloatArray = NDArray[np.float64]
FAST = [name for name in SERVING if name != "reference" and available_backends()[name].available]

# Rare and critical observations beside ordinary ones; at y2 in {-1, 0, 1} and at full reach the surface of
# solutions has singular points.
ARM_TARGETS = np.array(
    [
        [0, 1.5],
        [0, 1],
        [0, 0],
        [0, -1],
        [0, 1.9999],
        [1.2, 1.2],
        [3, 1],
        [0, -1.9],
        [0, 2],
        [0, -2],
        [0, 1 + 1e-12],
    ]
)
THROW_TARGETS = np.array([[5.0], [0.0], [-0.3], [-2.0], [-8.0], [15.0], [24.0], [60.0], [1000.0]])
# Other arms: the inner links may differ in length either way, and wide joints wind around more than once.
OTHER_ARMS = [
    Arm(lengths=(0.7, 0.4, 0.9)),
    Arm(lengths=(0.3, 0.8, 0.5), sigmas=(0.5, 0.7, 0.4, 0.6)),
    Arm(lengths=(1.0, 0.2, 0.3), sigmas=(0.1, 2.2, 1.3, 0.8)),
]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize("arm", [Arm(), *OTHER_ARMS])
def test_kinematics_is_the_same_sample_by_sample(backend: str, arm: Arm) -> None:
    # Not at the far end of the reach: whether the arm's turn is +pi or -pi is a tie there, left to rounding.
    y = ARM_TARGETS[ARM_TARGETS[:, 1] > -2] * [1.0, sum(arm.lengths) / 2.0]
    expected = sample_kinematics(y, 60, seed=5, arm=arm, backend="reference")
    np.testing.assert_allclose(
        sample_kinematics(y, 60, seed=5, arm=arm, backend=backend), expected, atol=1e-9
    )


@pytest.mark.parametrize("backend", FAST)
def test_ballistics_is_the_same_sample_by_sample(backend: str) -> None:
    expected = sample_ballistics(THROW_TARGETS, 60, seed=5, backend="reference")
    actual = sample_ballistics(THROW_TARGETS, 60, seed=5, backend=backend)
    np.testing.assert_allclose(actual, expected, atol=1e-9)


Sampler = Callable[..., FloatArray]
SAMPLERS = [
    pytest.param(sample_kinematics, ARM_TARGETS, id="kinematics"),
    pytest.param(sample_ballistics, THROW_TARGETS, id="ballistics"),
]


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("sample", "y"), SAMPLERS)
def test_samples_do_not_depend_on_how_a_call_is_split(sample: Sampler, y: FloatArray, backend: str) -> None:
    whole = sample(y, 300, seed=7, backend=backend)
    one_by_one = [
        sample(y[i : i + 1], 300, seed=7, first_observation=i, backend=backend) for i in range(len(y))
    ]
    np.testing.assert_array_equal(np.concatenate(one_by_one), whole)
    np.testing.assert_array_equal(sample(y, 100, seed=7, backend=backend), whole[:, :100])


@pytest.mark.parametrize(("sample", "y"), SAMPLERS)
def test_samples_do_not_depend_on_threads(sample: Sampler, y: FloatArray) -> None:
    import numba

    whole = sample(y, 100, backend="numba")
    numba.set_num_threads(1)
    try:
        np.testing.assert_array_equal(sample(y, 100, backend="numba"), whole)
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)


@pytest.mark.parametrize(("sample", "y"), SAMPLERS)
def test_seeds_differ(sample: Sampler, y: FloatArray) -> None:
    # The last observations are left out: at full reach the posterior is a point.
    assert not (sample(y[:4], 50, seed=1) == sample(y[:4], 50, seed=2)).all(axis=-1).any()


@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_borders_that_meet_but_for_rounding(backend: str) -> None:
    """y2 = l3 - |l1 - l2|: the swing regime begins where c = 0, and rounding must not open a gap there."""
    arm = Arm(lengths=(0.7, 0.3, 0.4), sigmas=(0.4, 0.3, 0.2, 0.7))
    attempts = np.empty((1, 200), dtype=np.int64)
    x = sample_kinematics([[0.0, 0.0]], 200, arm=arm, backend=backend, attempts_out=attempts)
    angle = np.cumsum(x[0, :, 1:], axis=1)
    np.testing.assert_allclose(np.cos(angle) @ arm.lengths, 0.0, atol=2e-15)
    assert attempts.mean() < 60.0


@pytest.mark.parametrize(("sample", "y"), SAMPLERS)
def test_rare_observations_cost_little(sample: Sampler, y: FloatArray) -> None:
    attempts = np.empty((len(y), 2000), dtype=np.int64)
    sample(y, 2000, attempts_out=attempts)
    assert attempts.mean(axis=1).max() < 20.0


def test_thousands_of_prior_observations_cost_little() -> None:
    from fastinv.problems import problem

    for name, sample in (("kinematics", sample_kinematics), ("ballistics", sample_ballistics)):
        prior = problem(name)
        y = prior.simulate(prior.sample_prior(2000, seed=3))
        attempts = np.empty((len(y), 20), dtype=np.int64)
        x = sample(y, 20, attempts_out=attempts)
        assert np.abs(prior.simulate(x) - y[:, None]).max() < 1e-12
        assert attempts.mean() < 4.0
        assert attempts.mean(axis=1).max() < 20.0


def envelope_checks(envelope: Envelope) -> None:
    weight = np.diff(envelope.last.astype(np.int64), prepend=-1)
    assert weight.sum() == TOTAL_WEIGHT
    assert (weight >= 1).all()
    words = np.concatenate([envelope.last, envelope.last - (weight - 1).astype(np.uint32)])
    np.testing.assert_array_equal(envelope.pick(words), np.tile(np.arange(len(weight)), 2))


@pytest.mark.parametrize("arm", [Arm(), *OTHER_ARMS])
def test_kinematics_density_never_exceeds_its_bound(arm: Arm) -> None:
    """Dense points in every cell, to where the density of a singular cell is still well conditioned."""
    edge = np.array([0.02, 0.1, 0.37, 0.5, 0.81, 1.0])
    u, v = (g.ravel() for g in np.meshgrid(edge, edge))
    for y in ARM_TARGETS * [1.0, sum(arm.lengths) / 2.0]:
        envelope = kinematics.build_kinematics_envelope(y, arm)
        envelope_checks(envelope)
        index = np.repeat(np.arange(len(envelope.tags)), len(u))
        log_g, _ = kinematics.place(
            y, envelope, index, *(np.tile(w, len(envelope.tags)) for w in (u, v)), arm
        )
        assert (log_g - envelope.log_bound[index]).max() < 1e-9


def test_ballistics_density_never_exceeds_its_bound() -> None:
    edge = np.array([0.0, 0.02, 0.2, 0.5, 0.77, 1.0])
    u, v = (g.ravel() for g in np.meshgrid(edge, edge))
    for y in THROW_TARGETS[:, 0]:
        envelope = ballistics.build_ballistics_envelope(float(y), Throw())
        envelope_checks(envelope)
        index = np.repeat(np.arange(len(envelope.tags)), len(u))
        points = (np.tile(w, len(envelope.tags)) for w in (u, v))
        log_g, _ = ballistics.place(float(y), envelope, index, *points, Throw())
        assert (log_g - envelope.log_bound[index]).max() < 1e-9


@pytest.mark.parametrize("lengths", [(0.5, 0.5, 1.0), (0.7, 0.4, 0.9), (0.3, 0.8, 0.5)])
def test_cells_cover_the_whole_surface(lengths: tuple[float, float, float]) -> None:
    """Without the rail's prior, the mass of all cells integrates over y2 to that of three normal angles."""
    flat = Arm(lengths=lengths, sigmas=(1e9, 0.8, 0.9, 1.1))
    reach = sum(flat.lengths)
    y2 = reach * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    rng = np.random.default_rng(0)
    total = 0.0
    for level, width in zip(y2, reach * np.pi / 400 * np.sqrt(1.0 - (y2 / reach) ** 2), strict=True):
        cells, tags = kinematics_cells.initial_cells(float(level), flat)
        u, v = rng.random((2, len(cells), 64))
        c, t = cells[:, :1] + cells[:, 1:2] * u, cells[:, 2:3] + cells[:, 3:] * v
        points = c.ravel(), t.ravel(), np.repeat(tags, 64)
        log_g, _ = kinematics.log_density(np.array([0.0, level]), *points, flat)
        areas = np.abs(cells[:, 1] * cells[:, 3])
        total += width * float((np.exp(log_g).reshape(c.shape).mean(1) * areas).sum())
    assert total == pytest.approx((2.0 * np.pi) ** 1.5 * 0.8 * 0.9 * 1.1, rel=0.01)
