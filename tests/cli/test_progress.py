"""What is shown while a run goes on."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from rich.console import Console

from fastinv.cli.estimate import Estimate, due_stages, weight
from fastinv.cli.live import LiveView
from fastinv.cli.progress import _Plain, watching
from fastinv.cli.sparkline import ASCII, UNICODE, sparkline
from fastinv.presets import preset
from fastinv.runner import BenchSettings, Note, StageFailed, StageFinished, StageProgress, StageStarted
from fastinv.store import FLOOR, STAGES, Stage, StageKey

TRAIN = StageKey("kinematics", "cinn", 0, "train")
SCORE = TRAIN._replace(stage="score")
MODELS = ("inn", "cinn", "iaf", "iresnet", "cvae", "mdn", "spline", "flow-matching", "of a plug-in")
SETTINGS = BenchSettings(("kinematics",), preset("quick"), (0,), "factorised", "paper", "cpu")


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


def shown(view: LiveView, console: Console, out: io.TextIOWrapper) -> list[str]:
    """The lines of the live region as they are now."""
    out.seek(0)
    out.truncate()
    console.print(view)
    out.flush()
    raw = out.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode(out.encoding).splitlines()


def half_way(encoding: str = "utf-8", width: int = 80) -> tuple[LiveView, Console, io.TextIOWrapper]:
    """A view of a run that has done one row of three and half of a training."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, force_terminal=True, width=width, color_system=None, legacy_windows=False)
    due = {TRAIN._replace(model=m, stage=s) for m in ("inn", "cinn", "mdn") for s in STAGES}
    view = LiveView(console, Estimate(due))
    inn = TRAIN._replace(model="inn")
    for stage in STAGES:
        view(StageStarted(inn._replace(stage=stage), 1, 3))
        view(StageFinished(inn._replace(stage=stage), 30.0))
    view(StageStarted(TRAIN, 2, 3))
    for i in range(100):
        view(StageProgress(TRAIN, "training", i / 200, 61.0, 2.0 * math.exp(-i / 30) + 0.25))
    return view, console, out


def test_the_live_view_shows_stages_loss_and_time_left() -> None:
    first, second, third = shown(*half_way())
    assert first == "kinematics cinn  [2/3]   › train  score  time"
    assert "50%  loss 0.3238 " in second
    assert second.endswith("1 min 01 s left")
    assert sum(sign in UNICODE for sign in second) == 14
    assert third.startswith("run ")
    assert "1 of 3 rows, about " in third


def test_the_live_view_needs_no_unicode() -> None:
    lines = shown(*half_way("ascii"))
    assert all(line.isascii() for line in lines)
    assert lines[0] == "kinematics cinn  [2/3]   > train  score  time"
    assert "########--------  50%" in lines[1]


@pytest.mark.parametrize("width", [20, 40, 79, 80, 200])
def test_no_line_of_the_live_view_is_folded(width: int) -> None:
    lines = shown(*half_way(width=width))
    assert len(lines) == 3
    assert all(len(line) <= width for line in lines)


def test_what_is_done_stays_above_the_live_view() -> None:
    view, _, out = half_way()
    view(StageFinished(SCORE, 2.0, {"err_post": 0.0123}))
    view(StageFailed(TRAIN._replace(model="mdn"), "RuntimeError: [red]no[/red]", "logs/x.log"))
    view(Note("by the way"))
    out.flush()
    raw = out.buffer
    assert isinstance(raw, io.BytesIO)
    text = raw.getvalue().decode()
    assert "kinematics cinn: Err_post 0.0123, scoring took 2.0 s" in text
    # An error's brackets are no markup, and its log has a name.
    assert "kinematics mdn: failed: RuntimeError: [red]no[/red] (details: logs/x.log)" in text.replace(
        "\n", " "
    )
    assert "by the way" in text


def test_off_a_terminal_progress_is_plain(capsys: pytest.CaptureFixture[str]) -> None:
    with watching() as on_event:
        on_event(StageStarted(TRAIN, 1, 1))
    assert capsys.readouterr().err == "kinematics cinn: training (1 of 1)\n"


@pytest.mark.parametrize("n", [0, 1])
def test_a_sparkline_needs_two_values(n: int) -> None:
    assert sparkline([1.0] * n, 10) == ""


def test_a_sparkline_has_the_width_that_it_may_have() -> None:
    assert sparkline(range(1000), 8) == UNICODE
    assert sparkline([1.0, math.nan, 2.0, math.inf], 8, ASCII) == "_#"
    assert sparkline([3.0, 3.0, 3.0], 8) == UNICODE[0] * 3
    # One wild value at the start leaves the rest readable.
    assert len(set(sparkline([1e9, *range(20, 0, -1)], 10))) > 4


def test_what_is_due_is_what_is_not_done() -> None:
    done = StageKey("kinematics", "inn", 0, "train")
    failed = StageKey("kinematics", "mdn", 0, "train")
    known = {done: Stage(done, "done", 1.0), failed: Stage(failed, "failed", 1.0, "no")}
    due = due_stages(SETTINGS, ("inn", "mdn"), known, (), only_missing=False)
    names = [(key.model, key.stage) for key in due]
    assert names == [
        (FLOOR, "score"), (FLOOR, "time"), ("inn", "score"), ("inn", "time"),
        ("mdn", "train"), ("mdn", "score"), ("mdn", "time"),
    ]  # fmt: skip
    assert len(due_stages(SETTINGS, ("inn", "mdn"), known, ("inn",), only_missing=False)) == 8
    assert len(due_stages(SETTINGS, ("inn", "mdn"), known, (), only_missing=True)) == 4


def play(seed: int, speed: float, spread: float) -> list[tuple[float, float, float]]:
    """(time, estimate, truth) every second of a made-up run whose stages take about what is expected."""
    rng = np.random.default_rng(seed)
    due = due_stages(SETTINGS, MODELS, {}, (), only_missing=False)
    pace = {"train": speed, "score": speed * math.exp(spread * rng.normal()), "time": 1.0}
    seconds = {key: weight(key) * pace[key.stage] * math.exp(spread * rng.normal()) for key in due}
    total, now = sum(seconds.values()), 0.0
    estimate = Estimate(set(due))
    found = []
    for key in due:
        estimate(StageStarted(key, 1, 1))
        for second in range(math.floor(seconds[key])):
            share, left = second / seconds[key], seconds[key] - second
            if key.stage != "time":
                estimate(StageProgress(key, "", share, left if second else None))
            if (guess := estimate.left()) is not None:
                found.append((now + second, guess, total - now - second))
        now += seconds[key]
        estimate(StageFinished(key, seconds[key]))
    assert estimate.left() == 0.0
    return found


@pytest.mark.parametrize("speed", [0.3, 1.0, 4.0])
def test_the_time_left_is_right_within_30_percent_after_the_first_minute(speed: float) -> None:
    """Machines of other speeds, and stages that take up to a fifth more or less than expected."""
    late = [point for seed in range(5) for point in play(seed, speed, 0.12) if point[0] >= 60.0]
    errors = [abs(guess - truth) / truth for _, guess, truth in late if truth > 10.0]
    assert len(errors) > 100
    assert max(errors) < 0.3


def test_a_failed_row_is_not_waited_for() -> None:
    due = due_stages(SETTINGS, ("inn", "cinn"), {}, (), only_missing=False)
    estimate = Estimate(set(due))
    estimate(StageFinished(TRAIN, 33.0))
    before = estimate.left()
    estimate(StageFailed(TRAIN._replace(model="inn"), "no", "x.log"))
    after = estimate.left()
    assert before is not None
    assert after is not None
    assert after < before
    assert not [key for key in estimate.due if key.model == "inn"]
    estimate(StageFailed(StageKey("kinematics", FLOOR, 0, "score"), "no", "x.log"))
    assert not estimate.due
