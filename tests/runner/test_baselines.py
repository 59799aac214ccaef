"""The row mcmc in a benchmark: no training, diagnostics beside the scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from fastinv.runner import BenchSettings, Outcome, run_benchmark
from fastinv.store import RunReader, RunWriter


def test_mcmc_is_scored_with_its_diagnostics(tmp_path: Path, settings: BenchSettings) -> None:
    # Fewer samples would leave chains too short for diagnostics.
    settings = replace(settings, preset=replace(settings.preset, samples=100))
    with RunWriter(
        tmp_path, settings=settings.as_dict(), settings_hash=settings.hash, provenance={}
    ) as store:
        outcome = run_benchmark(settings, ("mcmc",), store)
    # The floor is scored and timed, mcmc has the three stages of every model.
    assert outcome == Outcome((), 2 + 3)
    with RunReader(tmp_path) as run:
        scores = run.scores("kinematics", "mcmc", 0)
        floor = run.scores("kinematics", "floor", 0)
    assert {"err_post", "err_resim", "r_hat", "ess"} <= set(scores)
    assert np.isfinite(scores["ess"]).all()
    assert scores["err_resim"].max() < 1e-12
    # Squared MMD of 100 true samples each is about 0.08; chains that are as good come out alike.
    assert scores["err_post"].mean() < 1.5 * floor["err_post"].mean()
