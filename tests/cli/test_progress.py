"""What is shown while a run goes on."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fastinv.cli.progress import _Live, _Plain, watching
from fastinv.runner import Note, StageFailed, StageFinished, StageProgress, StageStarted
from fastinv.store import StageKey

TRAIN = StageKey("kinematics", "cinn", 0, "train")
SCORE = TRAIN._replace(stage="score")


def test_plain_lines_are_few_and_without_control_sequences(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("fastinv.cli.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    plain = _Plain(Console(file=out))
    plain(StageStarted(TRAIN, 2, 4))
    for second in range(1, 26):
        now[0] = float(second)
        plain(StageProgress(TRAIN, "training", second / 30, 30.0 - second, 1.5))
    plain(StageFinished(TRAIN, 30.0))
    plain(StageFinished(SCORE, 2.0, {"err_post": 0.0123, "err_resim": 0.5}))
    plain(StageFailed(SCORE._replace(seed=3), "RuntimeError: no", "logs/x.log"))
    plain(Note("by the way"))
    assert out.getvalue().splitlines() == [
        "kinematics cinn: training (2 of 4)",
        "kinematics cinn: training 33%, loss 1.50, 20 s left",
        "kinematics cinn: training 67%, loss 1.50, 10 s left",
        "kinematics cinn: training took 30 s",
        "kinematics cinn: Err_post 0.0123, Err_resim 0.5000, scoring took 2.0 s",
        "kinematics cinn seed 3: failed: RuntimeError: no (details: logs/x.log)",
        "by the way",
    ]


def test_the_live_view_shows_stage_loss_and_time_left() -> None:
    out = io.StringIO()
    live = _Live(Console(file=out, force_terminal=True, width=80, height=10, color_system=None))
    with live.progress:
        live(StageStarted(TRAIN, 2, 4))
        live(StageProgress(TRAIN, "training", 0.5, 61.0, 0.25))
        live.progress.refresh()
        live(StageFinished(TRAIN, 30.0))
        live(StageFailed(SCORE, "RuntimeError: [red]no[/red]", "logs/x.log"))
    text = out.getvalue()
    assert "[2/4] kinematics cinn: training" in text
    assert "loss 0.2500, 1 min 01 s left" in text
    assert "training took 30 s" in text
    assert "failed: RuntimeError: [red]no[/red]" in text  # an error's brackets are no markup


def test_off_a_terminal_progress_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as on_event:
        on_event(StageStarted(TRAIN, 1, 1))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "kinematics cinn: training (1 of 1)\n"
