"""Speed of one training step and of drawing samples in every mode, for every model that is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from machine import cpu_has_bf16
from model_modes import contenders
from tracking.fixture import Tracked

import fastinv
from fastinv.models import PosteriorModel
from fastinv.presets import preset
from fastinv.runner.threads import limit_torch
from fastinv.training.data import training_set
from fastinv.training.loop import Trainer

MODELS = (
    "inn", "inn-l2-mmd", "cinn", "iaf", "maf", "iresnet", "invauto", "autoencoder", "cvae", "mdn", "spline",
    "flow-matching",
)  # fmt: skip
SIZES = replace(preset("quick"), training_pairs=25_600, epochs=40)
MODES = [(mode, name) for mode in ("packed", "fused", "bf16-packed", "bf16-fused") for name in MODELS]
MODES += [("compiled", "cvae")]  # compiling takes longest of all, and one graph is as good as another


@pytest.fixture(autouse=True)
def _threads() -> None:
    """As many as a benchmark takes for networks of this size: one."""
    limit_torch(SIZES.parameters)


def made(name: str) -> PosteriorModel:
    return fastinv.model(name, fastinv.problem("kinematics"), preset="quick")


@pytest.mark.parametrize("name", MODELS)
def test_training_step(tracked: Tracked, name: str) -> None:
    model = made(name)
    data = training_set(model.problem, SIZES.training_pairs)
    trainer = Trainer(model, data, SIZES, 0, None)
    model.train()
    (before,) = trainer.advance(1)
    after = min(trainer.advance(20))
    assert np.isfinite(before)
    assert after < before
    tracked(lambda: trainer.advance(1), yardstick="core")


@pytest.mark.parametrize("name", ["cinn"])
def test_checkpoint(tracked: Tracked, name: str, tmp_path: Path) -> None:
    model = made(name)
    trainer = Trainer(model, training_set(model.problem, SIZES.training_pairs), SIZES, 0, None)
    trainer.advance(1)
    path = tmp_path / "training.safetensors"
    trainer.save(path)
    assert path.stat().st_size > 4 * 3 * SIZES.parameters
    tracked(lambda: trainer.save(path), yardstick="disk")


@pytest.mark.parametrize("name", MODELS)
def test_sampling(tracked: Tracked, name: str) -> None:
    sampling(tracked, name, observations=1, yardstick="core")


@pytest.mark.parametrize("name", MODELS)
def test_sampling_many(tracked: Tracked, name: str) -> None:
    sampling(tracked, name, observations=10, yardstick="layers")


def sampling(tracked: Tracked, name: str, observations: int, yardstick: str) -> None:
    """Samples of every observation that depend on nothing else, and the times of drawing 1000 for each."""
    model = made(name).eval()
    y = model.problem.observations(10)[:observations]
    samples = model.sample(y, 1000)
    assert samples.shape == (observations, 1000, 4)
    assert np.isfinite(samples).all()
    torch.testing.assert_close(model.sample(y[:1], 1000), samples[:1], atol=1e-4, rtol=1e-4)
    tracked(lambda: model.sample(y, 1000), yardstick)


@pytest.mark.parametrize(("mode", "name"), MODES)
def test_sampling_mode(tracked: Tracked, mode: str, name: str) -> None:
    if mode.startswith("bf16") and not cpu_has_bf16():
        pytest.skip("without bfloat16 in the processor its time says nothing about us")
    # Contenders have drawn what eager draws from the same noise.
    calls, notes = contenders(made(name).eval(), [mode])
    if mode not in calls:
        assert not notes[mode].startswith("wrong"), notes[mode]
        pytest.skip(notes[mode])
    tracked(calls[mode], yardstick="core")
