"""Ground truth: the exact sampler's own samples, and a cache that cannot mislead."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

import fastinv
from fastinv.posteriors import cache_folder, ground_truth
from fastinv.posteriors.ground_truth import CHUNK, block_seed
from fastinv.problems import NoPosteriorError, Problem
from fastinv.problems.kinematics import Kinematics


@pytest.fixture
def problem() -> Problem:
    return fastinv.problem("kinematics")


class Counted(Kinematics):
    """Counts the samples that are drawn."""

    drawn = 0
    shift = 0.0

    def sample_posterior(self, y_star, n, seed=0, **options):  # type: ignore[no-untyped-def]
        self.drawn += n * len(y_star)
        return super().sample_posterior(y_star, n, seed, **options) + self.shift


def test_blocks_are_the_samplers_own_samples(problem: Problem) -> None:
    y_star = problem.observations(CHUNK + 3)
    calls: list[tuple[int, int]] = []
    truth = ground_truth(problem, y_star, 5, 1, on_progress=lambda *done: calls.append(done))
    assert truth.shape == (CHUNK + 3, 5, 4)
    assert calls == [(CHUNK, CHUNK + 3), (CHUNK + 3, CHUNK + 3)]
    np.testing.assert_allclose(problem.simulate(truth), np.repeat(y_star[:, None], 5, 1), atol=1e-12)
    for start in (0, CHUNK):
        block = problem.sample_posterior(y_star[start : start + CHUNK], 5, seed=block_seed(1, start))
        np.testing.assert_array_equal(truth[start : start + CHUNK], block)
    assert len({block_seed(seed, start) for seed in (1, 2) for start in (0, CHUNK, 2 * CHUNK)}) == 6


def test_the_cache_saves_the_work_and_nothing_else(tmp_path: Path) -> None:
    problem = Counted()
    y_star = problem.observations(6)
    fresh = ground_truth(problem, y_star, 20, 1)
    first = ground_truth(problem, y_star, 20, 1, folder=tmp_path)
    drawn = problem.drawn
    second = ground_truth(problem, y_star, 20, 1, folder=tmp_path)
    assert problem.drawn - drawn == 16  # the probe alone
    np.testing.assert_array_equal(first, fresh)
    np.testing.assert_array_equal(second, fresh)
    for other in (ground_truth(problem, y_star, 20, 2, folder=tmp_path),
                  ground_truth(problem, y_star[::-1], 20, 1, folder=tmp_path)):  # fmt: skip
        assert not np.array_equal(other, fresh)


def test_the_cache_is_rid_of_what_killed_processes_left(tmp_path: Path, problem: Problem) -> None:
    y_star = problem.observations(2)
    ground_truth(problem, y_star, 20, 1, folder=tmp_path)
    (file,) = tmp_path.rglob("*.*")
    for name, when in (("0123456789ab", 0.0), ("ba9876543210", time.time())):
        left = file.with_name(f".{name}.safetensors.{name}.unfinished")
        left.write_bytes(b"half")
        os.utime(left, (when, when))
    file.unlink()
    ground_truth(problem, y_star, 20, 1, folder=tmp_path)
    # Another process may be at work on the younger one.
    assert {path.name for path in file.parent.iterdir()} == {file.name, left.name}


@pytest.mark.parametrize("damage", ["flip", "cut", "rubbish", "empty"])
def test_a_damaged_cache_is_not_believed(tmp_path: Path, problem: Problem, damage: str) -> None:
    y_star = problem.observations(6)
    fresh = ground_truth(problem, y_star, 20, 1, folder=tmp_path)
    (path,) = (tmp_path / "truth").iterdir()
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    changed = {"flip": content, "cut": content[:-50], "rubbish": b"x" * 100, "empty": b""}[damage]
    path.write_bytes(bytes(changed))
    np.testing.assert_array_equal(ground_truth(problem, y_star, 20, 1, folder=tmp_path), fresh)


def test_a_changed_sampler_is_noticed(tmp_path: Path) -> None:
    problem = Counted()
    y_star = problem.observations(6)
    old = ground_truth(problem, y_star, 20, 1, folder=tmp_path)
    problem.shift = 1e-9
    new = ground_truth(problem, y_star, 20, 1, folder=tmp_path)
    assert (old != new).all()


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, problem: Problem) -> None:
    (tmp_path / "file").write_text("in the way")
    y_star = problem.observations(3)
    truth = ground_truth(problem, y_star, 4, 1, folder=tmp_path / "file")
    np.testing.assert_array_equal(truth, ground_truth(problem, y_star, 4, 1))


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTINV_CACHE", "/a/b")
    assert cache_folder() == Path("/a/b")
    monkeypatch.delenv("FASTINV_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    assert cache_folder() == Path("/c/fastinv")


def test_an_observation_without_posterior_is_named(problem: Problem) -> None:
    with pytest.raises(NoPosteriorError, match="observation 1"):
        ground_truth(problem, np.array([[0.0, 1.5], [0.0, 3.0]]), 4, 1)


class NoExact(Kinematics):
    """As a plug-in without an exact sampler."""

    name = "no-exact"
    has_exact_posterior = False


def test_abc_serves_where_there_is_no_exact_sampler(tmp_path: Path) -> None:
    """Its samples' images are near y*, and its mean is the exact posterior's within tolerance and noise."""
    problem = NoExact()
    y_star = problem.observations(3)
    near = ground_truth(problem, y_star, 1000, 1, folder=tmp_path)
    assert np.abs(problem.simulate(near) - y_star[:, None]).max() < 0.2
    exact = Kinematics().sample_posterior(y_star, 4000)
    # The standard error of a mean of 1000 is below 0.5 / 31: five of them, and a little for the tolerance.
    np.testing.assert_allclose(near.mean(axis=1), exact.mean(axis=1), atol=0.1)
    np.testing.assert_array_equal(near, ground_truth(problem, y_star, 1000, 1, folder=tmp_path))
