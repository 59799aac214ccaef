"""Speed of one training step and of drawing samples, for every model that is trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tracking.fixture import Tracked

import fastinv
from fastinv.models import PosteriorModel
from fastinv.presets import preset
from fastinv.training.data import training_set
from fastinv.training.loop import Trainer

MODELS = (
    "inn", "inn-l2-mmd", "cinn", "iaf", "maf", "iresnet", "invauto", "autoencoder", "cvae", "mdn", "spline",
    "flow-matching",
)  # fmt: skip
SIZES = replace(preset("quick"), training_pairs=25_600, epochs=1000)


def made(name: str) -> PosteriorModel:
    return fastinv.model(name, fastinv.problem("kinematics"), preset="quick")


@pytest.mark.parametrize("name", MODELS)
def test_training_step(tracked: Tracked, name: str) -> None:
    model = made(name)
    data = training_set(model.problem, SIZES.training_pairs)
    trainer = Trainer(model, data, SIZES, 0, None)
    model.train()
    before = trainer.one_step()
    after = min(trainer.one_step() for _ in range(20))
    assert np.isfinite(before)
    assert after < before
    tracked(trainer.one_step)


@pytest.mark.parametrize("observations", [1, 10])
@pytest.mark.parametrize("name", MODELS)
def test_sampling(tracked: Tracked, name: str, observations: int) -> None:
    model = made(name).eval()
    y = model.problem.observations(10)[:observations]
    samples = model.sample(y, 1000)
    assert samples.shape == (observations, 1000, 4)
    assert np.isfinite(samples).all()
    # Samples of an observation depend on nothing but itself.
    torch.testing.assert_close(model.sample(y[:1], 1000), samples[:1], atol=1e-4, rtol=1e-4)
    tracked(lambda: model.sample(y, 1000))
