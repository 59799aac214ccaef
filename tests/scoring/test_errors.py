"""Err_post and Err_resim against their definitions, and the protocol."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fastinv
from fastinv.scoring import (
    make_protocol,
    observations_checksum,
    posterior_errors,
    resimulation_errors,
    truth_self_term,
)


def paper_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    d2 = ((a[:, None] - b[None]) ** 2).sum(-1)
    return sum(c**p * ((c + d2) / p) ** -p for c, p in ((0.2, 0.1), (0.2, 0.5), (0.2, 2.0)))


def test_posterior_errors_are_the_definition() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(3, 40, 4)), rng.normal(size=(3, 40, 4)) + 0.3
    errors = posterior_errors(samples, truth, truth_self=truth_self_term(truth))
    for i, (x, y) in enumerate(zip(samples, truth, strict=True)):
        xx, yy, xy = paper_kernel(x, x), paper_kernel(y, y), paper_kernel(x, y)
        biased = xx.mean() + yy.mean() - 2 * xy.mean()
        off = ~np.eye(40, dtype=bool)
        unbiased = xx[off].mean() + yy[off].mean() - 2 * xy.mean()
        at_4000 = unbiased + (2 * xx[0, 0] - xx[off].mean() - yy[off].mean()) / 4000
        assert errors.biased[i] == pytest.approx(biased, abs=1e-7)
        assert errors.unbiased[i] == pytest.approx(unbiased, abs=1e-7)
        assert errors.at_4000[i] == pytest.approx(at_4000, abs=1e-7)


def test_the_median_heuristic_has_no_shared_term() -> None:
    rng = np.random.default_rng(0)
    samples, truth = rng.normal(size=(2, 1, 30, 4))
    assert truth_self_term(truth, "median") is None
    assert posterior_errors(samples, truth, kernel="median").biased.shape == (1,)


def test_far_away_samples_are_scored_in_double_precision() -> None:
    truth = np.random.default_rng(0).normal(size=(1, 50, 4))
    near, far = truth + 1e14, truth + 1e30
    scores = [posterior_errors(s, truth, truth_self=truth_self_term(truth)).biased[0] for s in (near, far)]
    assert np.isfinite(scores).all()
    assert scores[0] == pytest.approx(paper_kernel(truth[0], truth[0]).mean() + 5.5, abs=0.02)
    assert scores[1] > scores[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_samples_are_refused(bad: float) -> None:
    samples, truth = np.zeros((1, 5, 4)), np.zeros((1, 5, 4))
    samples[0, 2, 1] = bad
    with pytest.raises(ValueError, match="finite"):
        posterior_errors(samples, truth)


def test_resimulation_error_counts_throws_that_never_land() -> None:
    problem = fastinv.problem("ballistics")
    x = problem.sample_prior(4, seed=1)
    y = problem.simulate(x)
    samples = np.repeat(x[:, None], 3, axis=1)
    samples[0, 0, 0] += 2.0  # lands two metres off
    samples[1, :2, 1] = -1000.0  # starts under the ground and never crosses it
    samples[2, :, 1] = -1000.0
    errors = resimulation_errors(problem, y, samples)
    assert errors.error[0] == pytest.approx(4.0 / 3.0)
    assert errors.error[1] == pytest.approx(0.0, abs=1e-20)
    assert np.isnan(errors.error[2])
    np.testing.assert_allclose(errors.lost, [0.0, 2 / 3, 1.0, 0.0])


def test_resimulation_checks_shapes() -> None:
    problem = fastinv.problem("kinematics")
    with pytest.raises(ValueError, match=r"samples must have shape \(2, n, 4\), got \(3, 5, 4\)"):
        resimulation_errors(problem, np.zeros((2, 2)), np.zeros((3, 5, 4)))


def test_every_part_of_a_protocol_changes_its_hash() -> None:
    base = make_protocol(fastinv.problem("ballistics"), observations=5, samples=10, counts="factorised")
    others = [
        replace(base, kernel="hint"),
        replace(base, observations=6),
        replace(base, samples=11),
        replace(base, counts="rounded"),
        replace(base, problem="x"),
        replace(base, observations_checksum="0"),
        replace(base, truth_seed=9),
        replace(base, version=2),
    ]
    assert len({p.hash for p in [base, *others]}) == 1 + len(others)
    assert base.hash == replace(base).hash


def test_the_checksum_ignores_the_last_bits_alone() -> None:
    y = fastinv.problem("kinematics").observations(50)
    assert observations_checksum(y) == observations_checksum(np.nextafter(y, np.inf))
    assert observations_checksum(y) != observations_checksum(y + 1e-6)
    assert observations_checksum(np.array([[0.0]])) == observations_checksum(np.array([[-0.0]]))
