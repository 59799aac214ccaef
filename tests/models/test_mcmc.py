"""The row `mcmc`: a model without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import fastinv
from fastinv.models import load, model_info, model_names, save
from fastinv.runner.settings import resolve_models


def test_it_is_listed_apart() -> None:
    assert model_names("baselines") == ("mcmc",)
    assert "mcmc" not in model_names()
    assert resolve_models(["mcmc"]) == resolve_models(["baselines"]) == ("mcmc",)
    assert model_info("mcmc").addition
    assert not model_info("mcmc").trained


@pytest.mark.parametrize("name", ["kinematics", "ballistics"])
def test_it_samples_and_reports(name: str, tmp_path: Path) -> None:
    problem = fastinv.problem(name)
    model = fastinv.model("mcmc", problem, preset="smoke", settings={"chains": 4})
    y = problem.observations(3)
    assert model.parameter_count == 0
    assert model.latent_dim is None
    assert model.diagnostics == {}
    x = model.sample(y, 100, seed=1)
    assert x.dtype == np.float32
    assert x.shape == (3, 100, 4)
    assert {k: v.shape for k, v in model.diagnostics.items()} == {"r_hat": (3,), "ess": (3,)}
    tensor = model.sample(torch.as_tensor(y), 100, seed=1)
    np.testing.assert_array_equal(tensor.numpy(), x)
    assert fastinv.fit(model, problem, preset="smoke").batches == 0
    save(model, tmp_path / "mcmc.safetensors")
    again = load(tmp_path / "mcmc.safetensors")
    np.testing.assert_array_equal(again.sample(y, 100, seed=1), x)
    rows = torch.zeros(2, 4)
    assert model.log_prob(rows, rows) is model.cycle_error(rows) is None
    with pytest.raises(NotImplementedError, match="no loss"):
        model.loss(rows, rows)


def test_no_chains_for_other_problems() -> None:
    with pytest.raises(ValueError, match=r"no chains for problem 'ballistics-2021code'"):
        fastinv.model("mcmc", fastinv.problem("ballistics-2021code"))
