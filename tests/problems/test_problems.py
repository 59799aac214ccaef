"""Priors, forward processes and the published observations."""

import hashlib

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import lambertw, pdtr

from fastinv.names import UnknownNameError
from fastinv.problems import problem, problem_names
from fastinv.problems.ballistics import Ballistics, _poisson_quantile

NAMES = ("kinematics", "ballistics", "ballistics-2021code")

# SHA-256 of the first 1000 observations, rounded to 1e-9 so that a last-bit difference of a platform's sine
# does not matter. They are the benchmark: they never change.
CHECKSUMS = {
    "kinematics": "49b9aa6d960233e54e69996da32a41653f278a1dbf62a092d2526ae2b2324daf",
    "ballistics": "34ee5e4492597655bc5ab83c16d69d0aa10c2fa9d97fd5331bbacb48cbaa1b82",
    "ballistics-2021code": "f4dc5ce437a923c1cc5ec96f97ab5b719b020c0ab9da6ee946d3cd95ded5197c",
}


def test_the_built_in_problems_are_listed() -> None:
    assert set(NAMES) <= set(problem_names())


@pytest.mark.parametrize("name", NAMES)
def test_the_published_observations_never_change(name: str) -> None:
    y = problem(name).observations(1000)
    digest = hashlib.sha256((np.round(y / 1e-9).astype("<i8")).tobytes()).hexdigest()
    assert digest == CHECKSUMS[name]


@pytest.mark.parametrize("name", NAMES)
def test_fewer_observations_are_a_prefix(name: str) -> None:
    p = problem(name)
    np.testing.assert_array_equal(p.observations(10), p.observations(25)[:10])
    np.testing.assert_array_equal(p.sample_prior(10, seed=4), p.sample_prior(25, seed=4)[:10])


def test_an_unknown_problem_lists_close_matches() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'kinematics'"):
        problem("kinematik")


@pytest.mark.parametrize("name", NAMES)
def test_coordinates(name: str) -> None:
    p = problem(name)
    x = p.sample_prior(5)
    assert x.shape == (5, p.dim_x)
    assert p.simulate(x).shape == (5, p.dim_y)
    assert p.count_index == (None if name == "kinematics" else 3)


def test_kinematics_by_hand() -> None:
    arm = problem("kinematics")
    straight_up = np.array([0.25, np.pi / 2, 0.0, 0.0])
    np.testing.assert_allclose(arm.simulate(straight_up), [2.25, 0.0], atol=1e-15)
    folded = np.array([0.0, 0.0, np.pi / 2, np.pi / 2])
    np.testing.assert_allclose(arm.simulate(folded), [0.5, -0.5], atol=1e-15)


def test_kinematics_prior() -> None:
    """Kolmogorov-Smirnov at 20,000 draws per coordinate; false-alarm rate 4e-4."""
    x = problem("kinematics").sample_prior(20_000, seed=1)
    for k, sigma in enumerate((0.25, 0.5, 0.5, 0.5)):
        assert stats.kstest(x[:, k], stats.norm(0, sigma).cdf).pvalue > 1e-4
    assert np.abs(np.corrcoef(x.T) - np.eye(4)).max() < 0.04


def test_ballistics_prior() -> None:
    """Kolmogorov-Smirnov and chi-square at 20,000 draws; false-alarm rate 4e-4.

    Throws that never land are one in 3000: they do not show in these tests.
    """
    x = problem("ballistics").sample_prior(20_000, seed=1)
    assert stats.kstest(x[:, 0], stats.norm(0, 0.5).cdf).pvalue > 1e-4
    assert stats.kstest(x[:, 1], stats.norm(1.5, 0.5).cdf).pvalue > 1e-4
    angle = stats.uniform(np.radians(9), np.radians(63))
    assert stats.kstest(x[:, 2], angle.cdf).pvalue > 1e-4
    counts = np.bincount(x[:, 3].astype(int), minlength=60)[5:27]
    expected = 20_000 * stats.poisson(15).pmf(np.arange(5, 27))
    assert stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), 22) > 1e-4
    np.testing.assert_array_equal(x[:, 3], np.round(x[:, 3]))


@pytest.mark.parametrize("rate", [0.5, 15.0, 20.0])
def test_counts_are_quantiles(rate: float) -> None:
    u = np.random.default_rng(0).random(100_000)
    np.testing.assert_array_equal(_poisson_quantile(u, rate), stats.poisson(rate).ppf(u))
    # Where the distribution function jumps, and at the least and the largest uniform.
    reach = pdtr(np.arange(20), rate)
    reach = reach[reach < 1.0 - 1e-15]
    np.testing.assert_array_equal(_poisson_quantile(reach, rate), np.arange(len(reach)))
    above = _poisson_quantile(np.nextafter(reach, 1.0), rate)
    np.testing.assert_array_equal(above, np.arange(1, len(reach) + 1))
    ends = _poisson_quantile(np.array([2.0**-53, 1.0 - 2.0**-53]), rate)
    assert pdtr(ends[1], rate) >= 1.0 - 2.0**-53 > pdtr(ends[1] - 1.0, rate)
    assert ends[0] == 0.0


@pytest.mark.parametrize("name", ["kinematics", "ballistics"])
def test_log_prior_is_the_density(name: str) -> None:
    p = problem(name)
    x = p.sample_prior(50, seed=2)
    if name == "kinematics":
        expected = stats.norm(0, [0.25, 0.5, 0.5, 0.5]).logpdf(x).sum(axis=1)
    else:
        expected = stats.norm(0, 0.5).logpdf(x[:, 0]) + stats.norm(1.5, 0.5).logpdf(x[:, 1])
        expected += stats.uniform(np.radians(9), np.radians(63)).logpdf(x[:, 2]) + stats.poisson(15).logpmf(
            x[:, 3]
        )
    np.testing.assert_allclose(p.log_prior(x), expected, rtol=1e-12)
    np.testing.assert_allclose(p.log_prior(torch.from_numpy(x)).numpy(), expected, rtol=1e-12)


def test_log_prior_outside_the_support() -> None:
    outside = np.array(
        [[0, 1.5, 0.1, 15], [0, 1.5, 0.7, 15.5], [0, 1.5, 0.7, -1], [0, -9, 0.7, 1]], dtype=float
    )
    assert (problem("ballistics").log_prior(outside) == -np.inf).all()
    assert (problem("ballistics").log_prior(torch.from_numpy(outside)) == -torch.inf).all()


def test_the_impact_time_is_the_rightmost_root() -> None:
    """Against the closed form by Lambert's W and by the trajectory's height."""
    p = Ballistics()
    s = p.settings
    x = p.sample_prior(2000, seed=3)
    x[:200, 1] -= 2.0  # below the ground: two crossings or none
    a = s.gravity * s.mass + s.drag * x[:, 3] * np.sin(x[:, 2])
    b = s.gravity * s.mass
    ratio = (a + x[:, 1] * s.drag**2 / s.mass) / b
    w = lambertw(-(a / b) * np.exp(-ratio), 0)
    time = np.where((np.abs(w.imag) < 1e-12) & (ratio + w.real >= 0), ratio + w.real, np.nan)
    expected = x[:, 0] - x[:, 3] * np.cos(x[:, 2]) * s.mass / s.drag * np.expm1(-time)
    y = p.simulate(x)[:, 0]
    assert np.isnan(expected[:200]).any()
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)


def test_an_impact_does_not_depend_on_the_rows_beside_it() -> None:
    p = problem("ballistics")
    x = p.sample_prior(5000, seed=8)
    x[::50, 1] -= 2.0
    alone = [p.simulate(row[None]) for row in x[:300]]
    np.testing.assert_array_equal(np.concatenate(alone), p.simulate(x)[:300])
    np.testing.assert_array_equal(p.simulate(x.reshape(100, 50, 4)).reshape(-1, 1), p.simulate(x))


def test_throws_that_never_land_give_nan() -> None:
    x = np.array([[0.0, -3.0, 0.7, 2.0], [0.0, -0.5, 0.7, 0.0]])
    assert np.isnan(problem("ballistics").simulate(x)).all()
    assert torch.isnan(problem("ballistics").simulate(torch.from_numpy(x))).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numpy_and_torch_agree(name: str, dtype: type) -> None:
    p = problem(name)
    x = p.sample_prior(500, seed=6).astype(dtype).reshape(50, 10, 4)
    y = p.simulate(x)
    tensor = p.simulate(torch.from_numpy(x))
    assert y.dtype == dtype
    assert tensor.numpy().dtype == dtype
    tolerance = 1e-12 if dtype is np.float64 else 2e-5
    np.testing.assert_allclose(tensor.numpy(), y, atol=tolerance)
    if name != "ballistics-2021code":  # its grid turns rounding into jumps
        np.testing.assert_allclose(y, p.simulate(x.astype(np.float64)), atol=tolerance)


@pytest.mark.parametrize("name", ["kinematics", "ballistics"])
def test_the_forward_process_is_differentiable(name: str) -> None:
    p = problem(name)
    x = torch.from_numpy(p.sample_prior(5, seed=9)).requires_grad_()
    assert torch.autograd.gradcheck(p.simulate, (x,))


def test_the_2021_code_differs_where_it_is_known_to() -> None:
    ours, theirs = problem("ballistics"), problem("ballistics-2021code")
    x = theirs.sample_prior(20_000, seed=1)
    assert x[:, 1].min() == 0.0
    assert np.degrees(x[:, 2].max()) > 80.0
    # Impacts are read off at the last point of a 4 ms grid above the ground: early by a step at the most.
    early = ours.simulate(x) - theirs.simulate(x)
    assert np.nanmin(early) > -1e-9
    assert 0.01 < np.nanmax(early) < 0.15
    with pytest.raises(NotImplementedError, match="tolerance ABC"):
        theirs.sample_posterior([[5.0]], 10)


@pytest.mark.parametrize("name", NAMES)
def test_bad_shapes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"x must have shape \(..., 4\)"):
        problem(name).simulate(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="x must be floating point"):
        problem(name).simulate(torch.zeros((5, 4), dtype=torch.int64))
    with pytest.raises(ValueError, match="n must be at least 1"):
        problem(name).sample_prior(0)
