"""Carrying a benchmark out: resumption, failures, same numbers twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastinv.runner.stages as stages
from fastinv.reports import ProblemResult, load_results
from fastinv.runner import (
    BenchSettings,
    Event,
    Outcome,
    StageFailed,
    StageFinished,
    StageStarted,
    run_benchmark,
)
from fastinv.runner.events import Note
from fastinv.store import RunReader, RunWriter, StageKey
from fastinv.training import TrainingDivergedError

MODELS = ("inn", "mdn")


def bench(
    folder: Path, settings: BenchSettings, models: tuple[str, ...] = MODELS, **options: Any
) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []
    with RunWriter(folder, settings=settings.as_dict(), settings_hash=settings.hash, provenance={}) as store:
        outcome = run_benchmark(settings, models, store, on_event=events.append, **options)
    return outcome, events


def results(folder: Path) -> list[ProblemResult]:
    with RunReader(folder) as run:
        return load_results(run)


def scores(folder: Path, model: str = "mdn", problem: str = "kinematics") -> dict[str, np.ndarray]:
    with RunReader(folder) as run:
        return run.scores(problem, model, 0)


def test_a_benchmark_ends_with_all_stages_done(tmp_path: Path, settings: BenchSettings) -> None:
    outcome, events = bench(tmp_path / "r", settings)
    assert outcome == Outcome((), 2 + 2 * 3)
    started = [e for e in events if isinstance(e, StageStarted)]
    assert [(e.key.model, e.key.stage, e.position, e.total) for e in started] == [
        ("floor", "score", 1, 3),
        ("floor", "time", 1, 3),
        *(("inn", stage, 2, 3) for stage in ("train", "score", "time")),
        *(("mdn", stage, 3, 3) for stage in ("train", "score", "time")),
    ]
    (result,) = results(tmp_path / "r")
    assert [row.status for row in (result.floor, *result.rows)] == ["ok"] * 3
    assert result.floor.scores["err_resim"].mean < 1e-20
    assert result.floor.scores["err_post"].mean < min(r.scores["err_post"].mean for r in result.rows)
    inn, mdn = result.rows
    assert {"cycle_error", "forward_error"} <= set(inn.scores)
    assert not {"cycle_error", "forward_error"} & set(mdn.scores)
    assert mdn.facts is not None
    assert mdn.facts.parameters == pytest.approx(5000, rel=0.03)
    assert mdn.inference_ms is not None
    assert mdn.inference_ms > 0


def test_a_finished_run_is_not_computed_again(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(tmp_path / "r", settings, ("mdn",))
    monkeypatch.setattr(stages, "train", None)
    monkeypatch.setattr(stages, "score", None)
    outcome, events = bench(tmp_path / "r", settings, ("mdn",))
    assert outcome.computed == 0
    assert events == []


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path, settings: BenchSettings) -> None:
    bench(tmp_path / "a", settings)
    bench(tmp_path / "b", settings, ("mdn",))  # alone, so that its place in the run has no say
    a, b = scores(tmp_path / "a"), scores(tmp_path / "b")
    assert set(a) == set(b)
    for metric, values in a.items():
        np.testing.assert_array_equal(values, b[metric], err_msg=metric)
    bench(tmp_path / "c", replace(settings, seeds=(1,)), ("mdn",))
    with RunReader(tmp_path / "c") as run:
        assert not np.array_equal(run.scores("kinematics", "mdn", 1)["err_post"], a["err_post"])


def interrupt(monkeypatch: pytest.MonkeyPatch, name: str, when: Callable[[StageKey], bool]) -> None:
    original = getattr(stages, name)

    def replacement(*args: Any, **kwargs: Any) -> Any:
        key = next(a for a in args if isinstance(a, StageKey))
        if when(key):
            raise KeyboardInterrupt
        return original(*args, **kwargs)

    monkeypatch.setattr(stages, name, replacement)


def test_an_interrupted_run_goes_on_and_ends_the_same(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench(tmp_path / "whole", settings)
    with monkeypatch.context() as patch:
        interrupt(patch, "score", lambda key: key.model == "mdn")
        with pytest.raises(KeyboardInterrupt):
            bench(tmp_path / "cut", settings)
    (half,) = results(tmp_path / "cut")
    assert {row.name: row.status for row in half.rows} == {"inn": "ok", "mdn": "skipped"}
    outcome, events = bench(tmp_path / "cut", settings)
    done = [(e.key.model, e.key.stage) for e in events if isinstance(e, StageFinished)]
    assert done == [("mdn", "score"), ("mdn", "time")]
    assert outcome.failed == ()
    for model in ("floor", *MODELS):
        for metric, values in scores(tmp_path / "whole", model).items():
            np.testing.assert_array_equal(values, scores(tmp_path / "cut", model)[metric])


def test_training_goes_on_inside_from_its_checkpoint(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastinv.training.loop import Trainer

    bench(tmp_path / "whole", settings, ("mdn",))
    original, steps = Trainer.advance, []

    def advance(self: Trainer, n: int) -> list[float]:
        steps.append(self.step)
        if len(steps) == 13:
            raise KeyboardInterrupt
        return original(self, n)

    monkeypatch.setattr(Trainer, "advance", advance)
    with pytest.raises(KeyboardInterrupt):
        bench(tmp_path / "cut", settings, ("mdn",))
    checkpoints = tmp_path / "cut/checkpoints"
    assert (checkpoints / "kinematics-mdn-seed0.training.safetensors").exists()
    # As processes leave them that are killed while they write.
    for name in ("kinematics-mdn-seed0.training.safetensors", "kinematics-mdn-seed0.safetensors"):
        (checkpoints / f".{name}.0123456789ab.unfinished").touch()
    bench(tmp_path / "cut", settings, ("mdn",))
    assert steps == [*range(13), *range(12, 20)]
    assert [p.name for p in checkpoints.iterdir()] == ["kinematics-mdn-seed0.safetensors"]
    for metric, values in scores(tmp_path / "whole").items():
        np.testing.assert_array_equal(values, scores(tmp_path / "cut")[metric])


def fail(monkeypatch: pytest.MonkeyPatch, error: Exception, model: str = "inn") -> None:
    original = stages.train

    def train(m: Any, reference: Any, key: StageKey, *rest: Any) -> Any:
        if key.model == model:
            raise error
        return original(m, reference, key, *rest)

    monkeypatch.setattr(stages, "train", train)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            TrainingDivergedError("training of 'inn' diverged at batch 3"),
            "training of 'inn' diverged at batch 3",
        ),
        (RuntimeError("first line\nsecond"), "RuntimeError: first line second"),
        (MemoryError(), "MemoryError: no message"),
    ],
)
def test_a_failing_model_spoils_its_own_row_only(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    with monkeypatch.context() as patch:
        fail(patch, error)
        outcome, events = bench(tmp_path / "r", settings)
    assert outcome.failed == (StageKey("kinematics", "inn", 0, "train"),)
    (event,) = [e for e in events if isinstance(e, StageFailed)]
    assert event.error == line
    assert "Traceback" in (tmp_path / "r" / event.log).read_text()
    (result,) = results(tmp_path / "r")
    assert {row.name: row.status for row in result.rows} == {"inn": "failed", "mdn": "ok"}
    assert result.rows[0].error == line

    # --only-missing leaves the failure alone, the plain command tries again.
    assert bench(tmp_path / "r", settings, only_missing=True)[0] == Outcome(outcome.failed, 0)
    again, _ = bench(tmp_path / "r", settings)
    assert again == Outcome((), 3)


def test_samples_that_are_not_finite_fail_the_row(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = stages.model_sampler

    def sampler(*args: Any) -> Any:
        def draw(block: slice) -> np.ndarray:
            samples = original(*args)(block)
            samples[3, 7, 0] = np.nan
            return samples

        return draw

    monkeypatch.setattr(stages, "model_sampler", sampler)
    bench(tmp_path / "r", settings, ("mdn",))
    (result,) = results(tmp_path / "r")
    assert result.rows[0].status == "failed"
    assert result.rows[0].error == "1 of 400 samples are NaN or infinite, the first for observation 3"


def test_redo_computes_one_model_again(tmp_path: Path, settings: BenchSettings) -> None:
    bench(tmp_path / "r", settings)
    before = scores(tmp_path / "r")["err_post"]
    outcome, events = bench(tmp_path / "r", settings, redo=["mdn"])
    assert {e.key.model for e in events if isinstance(e, StageStarted)} == {"mdn"}
    assert outcome.computed == 3
    np.testing.assert_array_equal(scores(tmp_path / "r")["err_post"], before)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"rubbish")])
def test_lost_weights_are_trained_again(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], object]
) -> None:
    with monkeypatch.context() as patch:
        interrupt(patch, "score", lambda key: key.model == "mdn")
        with pytest.raises(KeyboardInterrupt):
            bench(tmp_path / "r", settings, ("mdn",))
    damage(tmp_path / "r/checkpoints/kinematics-mdn-seed0.safetensors")
    outcome, events = bench(tmp_path / "r", settings, ("mdn",))
    assert outcome.failed == ()
    assert any(isinstance(e, Note) and "training again" in e.text for e in events)


def test_a_damaged_checkpoint_of_a_training_costs_its_time_only(
    tmp_path: Path, settings: BenchSettings
) -> None:
    bench(tmp_path / "whole", settings, ("mdn",))
    damaged = tmp_path / "cut/checkpoints/kinematics-mdn-seed0.training.safetensors"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"rubbish")
    outcome, events = bench(tmp_path / "cut", settings, ("mdn",))
    assert outcome.failed == ()
    assert any(isinstance(e, Note) and "training from its start" in e.text for e in events)
    for metric, values in scores(tmp_path / "whole").items():
        np.testing.assert_array_equal(values, scores(tmp_path / "cut")[metric])


def test_ballistics_counts_and_both_problems_in_one_run(tmp_path: Path, settings: BenchSettings) -> None:
    both = replace(settings, problems=("kinematics", "ballistics"))
    bench(tmp_path / "r", both, ("mdn",))
    kinematics, ballistics = results(tmp_path / "r")
    assert (kinematics.has_counts, ballistics.has_counts) == (False, True)
    assert kinematics.protocol != ballistics.protocol
    assert "lost" in scores(tmp_path / "r", problem="ballistics")


def test_several_seeds_are_pooled(tmp_path: Path, settings: BenchSettings) -> None:
    bench(tmp_path / "r", replace(settings, seeds=(0, 1)), ("mdn",))
    with RunReader(tmp_path / "r") as run:
        (pooled,) = load_results(run)
        (one,) = load_results(run, seeds=[1])
        means = [run.scores("kinematics", "mdn", s)["err_post"].mean() for s in (0, 1)]
    assert pooled.rows[0].scores["err_post"].mean == pytest.approx(np.mean(means))
    assert one.rows[0].scores["err_post"].mean == pytest.approx(means[1])


def test_without_ground_truth_nothing_is_trained(
    tmp_path: Path, settings: BenchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastinv.problems.ballistics import Ballistics

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no samples today")

    both = replace(settings, problems=("ballistics", "kinematics"))
    with monkeypatch.context() as patch:
        patch.setattr(Ballistics, "sample_posterior", broken)
        outcome, events = bench(tmp_path / "r", both, ("mdn",))
    assert outcome.failed == (StageKey("ballistics", "floor", 0, "score"),)
    assert {e.key.problem for e in events if isinstance(e, StageStarted) and e.key.stage == "train"} == {
        "kinematics"
    }
    assert any(isinstance(e, Note) and "no ground truth" in e.text for e in events)
    assert bench(tmp_path / "r", both, ("mdn",), only_missing=True)[0].failed == ()
