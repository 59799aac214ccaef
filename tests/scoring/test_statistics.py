"""Summaries and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fastinv.scoring.statistics import bca_interval, clamp_outliers, summarise


def test_the_interval_is_scipys_bca() -> None:
    """Two Monte-Carlo versions of one interval: ends agree to a fraction of its width."""
    sample = np.random.default_rng(3).lognormal(size=400)
    low, high = bca_interval(sample)
    expected = stats.bootstrap(
        (sample,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    width = expected.high - expected.low
    assert low == pytest.approx(expected.low, abs=0.06 * width)
    assert high == pytest.approx(expected.high, abs=0.06 * width)
    # Skewed to the right: the mean is nearer to the lower end, unlike in a normal interval.
    assert sample.mean() - low < high - sample.mean()


def test_the_interval_covers_the_mean_of_skewed_scores_about_as_often_as_it_says() -> None:
    """95% nominal, 400 trials of n = 100 exponentials: fewer than 89% has probability below 1e-4 at 94%."""
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        low, high = bca_interval(rng.exponential(size=100))
        covered += low <= 1.0 <= high
    assert 0.89 <= covered / 400 <= 0.99


def test_the_same_scores_give_the_same_interval() -> None:
    sample = np.random.default_rng(0).exponential(size=50)
    assert bca_interval(sample) == bca_interval(sample)


def test_degenerate_samples() -> None:
    assert bca_interval([2.0, 2.0]) == (2.0, 2.0)
    assert np.isnan(bca_interval([1.0])).all()
    empty = summarise([np.nan, np.inf])
    assert empty.count == 0
    assert np.isnan(empty.mean)
    single = summarise([3.0])
    assert (single.mean, single.median, single.count) == (3.0, 3.0, 1)
    assert np.isnan(single.low)


def test_non_finite_scores_are_left_out_and_counted() -> None:
    summary = summarise([1.0, np.nan, 3.0, np.inf])
    assert (summary.mean, summary.median, summary.count) == (2.0, 2.0, 2)


def test_large_samples_need_no_cache() -> None:
    sample = np.random.default_rng(1).normal(size=5000)
    low, high = bca_interval(sample)
    half = 1.96 * sample.std() / np.sqrt(5000)
    assert low == pytest.approx(sample.mean() - half, abs=0.1 * half)
    assert high == pytest.approx(sample.mean() + half, abs=0.1 * half)


def test_several_seeds_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    observations = rng.normal(size=300)
    seeds = np.array([0.0, 1.0, -1.0])[:, None]
    pooled, crossed = summarise((observations + seeds).ravel()), summarise(observations + seeds)
    assert crossed.mean == pytest.approx(pooled.mean)
    assert crossed.high - crossed.low > 5 * (pooled.high - pooled.low)
    lone = summarise(observations[None])
    assert lone == summarise(observations)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="scores must have shape"):
        summarise(np.zeros((2, 2, 2)))


def test_clamping_touches_the_upper_tail_alone() -> None:
    scores = np.array([[-50.0, 1.0, 2.0, 3.0, 4.0, 5.0, 900.0, np.nan]])
    clamped = clamp_outliers(scores)
    np.testing.assert_array_equal(clamped[0, :6], scores[0, :6])
    assert clamped[0, 6] == 4.5 + 1.5 * 3.0
    assert np.isnan(clamped[0, 7])
    assert np.isnan(clamp_outliers([np.nan])).all()


def test_hopeless_scores_do_not_overflow() -> None:
    """A model that explodes has errors of 1e200; warnings are errors here."""
    summary, small = (summarise(scale * np.arange(1.0, 50.0)) for scale in (2.0**660, 1.0))
    assert summary.low < summary.mean < summary.high
    assert (summary.low, summary.high) == (small.low * 2.0**660, small.high * 2.0**660)
