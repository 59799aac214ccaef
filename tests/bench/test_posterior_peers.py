"""The comparison of posterior samplers: who is wrong gets no time, and the page says what was measured."""

from __future__ import annotations

import argparse
from pathlib import Path

import machine
import numpy as np
import posterior_peers
import posterior_report
import pytest
import results_file
from posterior_contestants import CONTESTANTS, Array, Call, Contestant, Settings, exact

from fastinv.kernels.rejection import Arm, sample_kinematics

TINY = Settings(simulations=60_000, tolerance=0.1)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        posterior_peers, "memory", lambda name, settings: dict.fromkeys(posterior_peers.TASKS, 1)
    )
    # A tolerance this large has a bias of its own.
    monkeypatch.setitem(posterior_peers.LIMITS, "mmd2", 0.05)


def compete(*names: str) -> dict[str, dict[str, object]]:
    return posterior_peers.compete(TINY, argparse.Namespace(only=list(names), rounds=2))


def test_samplers_are_right_and_timed(tmp_path: Path) -> None:
    names = ["fastinv exact, numba", "fastinv ABC", "NumPy ABC"]
    result = compete(*names)
    assert result["left_out"] == {}
    assert list(result["rows"]) == names
    prefix = tmp_path / "posteriors"
    about = {"machine": machine.describe(["numpy"]), "simulations": 60_000, "tolerance": 0.1}
    results_file.update(prefix, {**about, "contest": result}, posterior_report.markdown)
    posterior_report.figure(prefix)
    page = prefix.with_suffix(".md").read_text()
    assert "| NumPy ABC |" in page
    assert "60,000 simulations at a tolerance of 0.1" in page
    assert prefix.with_suffix(".svg").stat().st_size > 1000


def test_who_misses_the_observation_gets_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def beside(y: Array, settings: Settings) -> Call:
        return exact("numba")(y + 1e-6, settings)

    monkeypatch.setitem(CONTESTANTS, "fastinv ABC", Contestant(beside, exact=True))
    monkeypatch.setitem(CONTESTANTS, "NumPy ABC", Contestant(lambda y, settings: lambda: [y[:0]] * len(y)))
    left_out = compete("fastinv ABC", "NumPy ABC")["left_out"]
    assert "residual" in str(left_out["fastinv ABC"])
    assert "0 samples for y*" in str(left_out["NumPy ABC"])


def test_another_distribution_is_told_from_the_posterior() -> None:
    """The limit lies 5.7 standard errors above what right samples have: a false alarm in less than 1e-7."""
    y = posterior_peers.observations(10)
    wide = Arm(sigmas=(0.25 * 1.3, 0.5, 0.5, 0.5))
    right, wrong = (list(sample_kinematics(y, 1000, seed=0, arm=arm)) for arm in (None, wide))
    assert posterior_peers.errors(right, y, 1e-9)["mmd2"] < posterior_peers.MMD_LIMIT
    assert posterior_peers.errors(wrong, y, 1e-9)["mmd2"] > posterior_peers.MMD_LIMIT


def test_time_is_per_sample() -> None:
    few, many = (
        min(posterior_peers.seconds_per_sample(lambda n=n: [np.zeros((n, 4))]) for _ in range(5))
        for n in (1, 1000)
    )
    assert many < few
