"""The loop: determinism, resumption bit for bit, divergence, interruption, schedules and data."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import fastinv
from fastinv.models import CheckpointError, model_names
from fastinv.models.settings import Settings
from fastinv.names import UnknownNameError
from fastinv.presets import PRESETS, Preset
from fastinv.training import TrainingDivergedError, TrainingProgress, fit, preset, training_set
from fastinv.training.data import BatchOrder
from fastinv.training.loop import learning_rate

TINY = Preset("tiny", 20_000, 1000, 100, 3, 5, 5)
SHORT = dataclasses.replace(TINY, training_pairs=500)


class Stop(Exception):
    pass


def stop_after(batch: int):
    def callback(progress: TrainingProgress) -> None:
        if progress.batch >= batch:
            raise Stop

    return callback


@pytest.fixture
def report_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinv.training.progress.REPORT_EVERY_S", 0.0)


@pytest.mark.usefixtures("report_always")
@pytest.mark.parametrize("name", model_names())
def test_resumed_training_is_bit_identical(tmp_path: Path, name: str) -> None:
    problem = fastinv.problem("ballistics")
    whole = fastinv.model(name, problem, preset=SHORT)
    expected = fit(whole, problem, preset=SHORT)
    for batch in (5, 11):
        with pytest.raises(Stop):
            fit(
                fastinv.model(name, problem, preset=SHORT),
                problem,
                preset=SHORT,
                checkpoint=tmp_path / "c.safetensors",
                checkpoint_every=4,
                on_progress=stop_after(batch),
            )
    model = fastinv.model(name, problem, preset=SHORT)
    result = fit(model, problem, preset=SHORT, checkpoint=tmp_path / "c.safetensors", checkpoint_every=4)
    assert result.loss == expected.loss
    assert result.validation_loss == expected.validation_loss
    for key, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[key]), key
    again = fastinv.model(name, problem, preset=SHORT)
    assert fit(again, problem, preset=SHORT, checkpoint=tmp_path / "c.safetensors").batches == 15
    y = problem.observations(2)
    np.testing.assert_array_equal(again.sample(y, 10), whole.sample(y, 10))


def test_checkpoint_of_another_training(tmp_path: Path) -> None:
    problem = fastinv.problem("kinematics")
    path = tmp_path / "c.safetensors"
    fit(fastinv.model("cinn", problem, preset=TINY), problem, preset=TINY, checkpoint=path)
    other = fastinv.model("cinn", problem, preset=TINY)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(CheckpointError, match="another seed"):
        fit(other, problem, preset=TINY, seed=1, checkpoint=path)
    with pytest.raises(CheckpointError, match="another lr"):
        fit(
            fastinv.model("cinn", problem, preset=TINY, settings={"lr": 1e-5}),
            problem,
            preset=TINY,
            checkpoint=path,
        )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a whole"):
        fit(other, problem, preset=TINY, checkpoint=path)
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in before.items())


def test_divergence_keeps_the_last_good_state(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = fastinv.problem("kinematics")
    model = fastinv.model("cinn", problem, preset=TINY)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    plain, calls = model.loss_of, []

    def poisoned(*args, **kwargs):
        calls.extend([1] * model.training)
        loss = plain(*args, **kwargs)
        return loss * float("nan") if len(calls) == 12 and model.training else loss

    monkeypatch.setattr(model, "loss_of", poisoned)
    with pytest.raises(TrainingDivergedError, match="diverged at batch 12 of 30: loss nan"):
        fit(model, problem, preset=TINY)
    assert all(torch.isfinite(v).all() for v in model.state_dict().values())
    assert any(not torch.equal(v, start[k]) for k, v in model.state_dict().items())


@pytest.mark.usefixtures("report_always")
def test_interrupt_passes_through_and_progress_is_told() -> None:
    problem = fastinv.problem("kinematics")
    seen: list[TrainingProgress] = []

    def callback(progress: TrainingProgress) -> None:
        seen.append(progress)
        if progress.batch == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(fastinv.model("mdn", problem, preset=TINY), problem, preset=TINY, on_progress=callback)
    assert [p.batch for p in seen] == list(range(1, 16))
    assert (seen[9].epoch, seen[10].epoch) == (1, 2)
    assert (seen[-1].epochs, seen[-1].batches) == (3, 30)
    assert seen[-1].validation_loss is not None
    assert np.isfinite([p.loss for p in seen]).all()


def test_last_batch_is_always_reported() -> None:
    problem = fastinv.problem("kinematics")
    seen: list[TrainingProgress] = []
    fit(fastinv.model("mdn", problem, preset=TINY), problem, preset=TINY, on_progress=seen.append)
    assert seen[-1].batch == 30


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize("problem_name", ["kinematics", "ballistics"])
def test_loss_falls(name: str, problem_name: str) -> None:
    problem = fastinv.problem(problem_name)
    sizes = Preset("short", 20_000, 10_000, 250, 1, 5, 5)
    result = fit(fastinv.model(name, problem, preset=sizes), problem, preset=sizes)
    assert result.validation_loss[-1][1] < result.validation_loss[0][1]
    assert result.loss[-1][0] == result.batches == 40


def test_wrong_problem() -> None:
    model = fastinv.model("cinn", fastinv.problem("kinematics"), preset=TINY)
    with pytest.raises(ValueError, match="kinematics"):
        fit(model, fastinv.problem("ballistics"), preset=TINY)


def test_data_with_nan() -> None:
    from fastinv.problems.kinematics import Kinematics

    class Broken(Kinematics):
        name = "broken"

        def simulate(self, x):
            y = super().simulate(x)
            y[500 % len(y)] = float("nan")
            return y

    with pytest.raises(ValueError, match="row 500 has"):
        training_set(Broken(), 1000)


def test_batches_are_a_permutation_and_pure() -> None:
    order, second = BatchOrder(TINY, seed=4), TINY.batches_per_epoch
    rows = torch.cat([order.rows(second + k) for k in range(TINY.batches_per_epoch)])
    assert sorted(rows.tolist()) == list(range(1000))
    assert torch.equal(BatchOrder(TINY, seed=4).rows(second + 7), rows[700:800])
    assert not torch.equal(BatchOrder(TINY, seed=5).rows(second + 7), rows[700:800])


def test_earlier_batches_follow_a_steps_own() -> None:
    order, last = BatchOrder(TINY, seed=4), TINY.batches - 1
    among = BatchOrder(TINY, seed=4, earlier=3)
    assert among.pairs == 4 * order.pairs
    for step, expected in ((12, [12, 11, 10, 9]), (1, [1, 0, last, last - 1])):
        alone = torch.cat([order.rows(k) for k in expected])
        assert torch.equal(among.rows(step), alone)
    short = BatchOrder(dataclasses.replace(TINY, epochs=1, training_pairs=200), seed=4, earlier=3)
    assert short.pairs == 200
    assert sorted(short.rows(1).tolist()) == list(range(200))


def test_schedule() -> None:
    settings = Settings(lr=1.0, warmup=0.1)
    rates = [learning_rate(k, 100, settings, 3_000_000) for k in range(100)]
    assert rates[0] < 0.2
    assert max(rates) == rates[10] == 1.0
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3


def test_wider_networks_may_learn_more_slowly() -> None:
    settings = Settings(lr=1.0, lr_power=0.5)
    assert [settings.peak_rate(n) for n in (20_000, 200_000, 800_000)] == [1.0, 1.0, 0.5]
    assert learning_rate(5, 100, settings, 800_000) == 0.5


def test_presets() -> None:
    assert preset("quick") is PRESETS["quick"]
    with pytest.raises(UnknownNameError, match="quick"):
        preset("quik")
