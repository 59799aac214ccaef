"""A profile that is stopped: what was measured stays, and the same command measures what is missing."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import warm
from brisk import BRISK
from typer.testing import CliRunner, Result

import fastinv
from fastinv.cli.app import app
from fastinv.models import save
from fastinv.reports.profile_export import profile_from_object, profile_object
from fastinv.timing import Plan, measure, profile
from fastinv.timing.roofline import Machine

MODES = ("--mode", "eager", "--mode", "packed")
PROFILE = ("profile", "-m", "cvae", "-m", "mdn", *MODES, "--device", "cpu", "--run", "mine")
# What other processes do before they start: measure briefly. HANG names the step that never ends.
PREAMBLE = f"""
import time
import fastinv.timing.profile as profile, fastinv.timing.roofline as roofline
from fastinv.timing import Plan
brisk = {BRISK!r}
profile.Plan, profile._LONG = lambda **how: brisk, brisk
roofline._SIZE, roofline._BYTES = {{"cpu": 256}}, {{"cpu": 8 << 20}}
step = profile._Profiler._step
def hanging(self, what):
    step(self, what)
    while self.model.spec.model + ": " + what == os.environ.get("HANG"):
        time.sleep(0.05)
profile._Profiler._step = hanging
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that holds the weights of two models."""
    problem = fastinv.problem("kinematics")
    for name in ("mdn", "cvae"):
        path = tmp_path / "runs" / "mine" / "checkpoints" / f"kinematics-{name}-seed0.safetensors"
        save(fastinv.model(name, problem, preset="tiny"), path)
    return tmp_path / "runs" / "mine"


def saved(run: Path, model: str) -> Any:
    path = run / "profiles" / f"kinematics-{model}-cpu.json"
    return json.loads(path.read_text()) if path.exists() else None


def points(run: Path, model: str) -> list[list[int]]:
    """Batch sizes that are saved of each mode."""
    (found,) = saved(run, model)["models"]
    return [[point["batch"] for point in mode["points"]] for mode in found["modes"]]


def stop(process: warm.Process, step: str, how: signal.Signals) -> tuple[str, str]:
    """Wait until a step is announced, and send a signal."""
    assert process.stderr is not None
    before = ""
    for line in process.stderr:
        before += line
        if line.strip() == step:
            break
    else:
        raise AssertionError(before)
    time.sleep(0.1)
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    return out, before + err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_stopped_it_saves_shows_and_goes_on(run: Path, start: Callable[..., Any]) -> None:
    arguments = (*PROFILE, "--batch-sizes", "1,10,100", "--export", "p.json")
    step = "mdn: packed: 10 samples per call"
    process = start(*arguments, PREAMBLE=PREAMBLE, HANG=step)
    out, err = stop(process, step, signal.SIGINT)
    assert process.returncode == 130, err
    assert err.strip().splitlines()[-1] == (
        "stopped; what is measured is saved, and the same command goes on from here"
    )
    assert "Traceback" not in err
    assert "cvae on kinematics" in out
    assert "mdn on kinematics" in out
    assert points(run, "cvae") == [[1, 10, 100], [1, 10, 100]]
    assert points(run, "mdn") == [[1, 10, 100], [1]]
    exported = json.loads(Path("p.json").read_text())["models"]
    assert [m["model"] for m in exported] == ["cvae", "mdn"]
    before = saved(run, "cvae")["models"], saved(run, "mdn")["models"][0]["modes"]

    again = start(*arguments, PREAMBLE=PREAMBLE)
    out, err = again.communicate(timeout=100)
    assert again.returncode == 0, err
    steps = [line for line in err.splitlines() if "goes on from" not in line]
    assert steps == [step, "mdn: packed: 100 samples per call", "saved in runs/mine/profiles"]
    assert saved(run, "cvae")["models"] == before[0]
    eager, packed = saved(run, "mdn")["models"][0]["modes"]
    assert eager == before[1][0]
    assert packed["latency"] == before[1][1]["latency"]
    assert points(run, "mdn") == [[1, 10, 100], [1, 10, 100]]
    assert saved(run, "cvae")["finished"] is saved(run, "mdn")["finished"] is True


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_it_keeps_what_was_measured(run: Path, start: Callable[..., Any]) -> None:
    step = "cvae: packed: 10 samples per call"
    process = start(*PROFILE, "--batch-sizes", "1,10", PREAMBLE=PREAMBLE, HANG=step)
    stop(process, step, signal.SIGKILL)
    assert points(run, "cvae") == [[1, 10], [1]]
    assert saved(run, "cvae")["finished"] is False
    assert saved(run, "mdn") is None
    assert [path.name for path in (run / "profiles").iterdir()] == ["kinematics-cvae-cpu.json"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What this process measures, step by step, and briefly."""
    monkeypatch.setattr(profile, "Plan", lambda **how: BRISK)
    monkeypatch.setattr(profile, "_LONG", BRISK)
    monkeypatch.setattr("fastinv.timing.roofline._SIZE", {"cpu": 256})
    monkeypatch.setattr("fastinv.timing.roofline._BYTES", {"cpu": 8 << 20})
    seen: list[str] = []
    monkeypatch.setattr(profile._Profiler, "_step", lambda self, what: seen.append(what))
    return seen


def cli(*more: str, batches: str = "1,10", run: tuple[str, ...] = ("--run", "mine")) -> Result:
    arguments = ("profile", "-m", "mdn", "--mode", "eager", "--device", "cpu", *run, "--batch-sizes", batches)
    return CliRunner().invoke(app, (*arguments, *more))


def interrupted(monkeypatch: pytest.MonkeyPatch, **how: Any) -> Result:
    """The command, stopped at its second batch size."""

    def stopping(call: Any, **plan: Any) -> Any:
        if call.n == 10:
            raise KeyboardInterrupt
        return measure(call, **plan)

    with monkeypatch.context() as patched:
        patched.setattr(profile, "measure", stopping)
        result = cli(**how)
    assert result.exit_code == 130, result.output
    return result


def test_a_finished_command_measures_anew(run: Path, steps: list[str]) -> None:
    assert cli().exit_code == 0
    first = list(steps)
    assert cli().exit_code == 0
    assert steps == first + first


def test_fresh_drops_what_was_left(run: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(monkeypatch)
    steps.clear()
    assert cli("--fresh").exit_code == 0
    assert "latency of 1000 samples" in steps


def test_another_request_is_measured_anew(
    run: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch)
    steps.clear()
    assert cli(batches="1,20").exit_code == 0
    assert "latency of 1000 samples" in steps
    interrupted(monkeypatch)
    save(fastinv.model("mdn", fastinv.problem("kinematics"), preset="tiny", seed=1),
         run / "checkpoints" / "kinematics-mdn-seed0.safetensors")  # fmt: skip
    steps.clear()
    assert cli().exit_code == 0
    assert "latency of 1000 samples" in steps


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"finished": false, "request": 1, "models": []}'])
def test_a_damaged_file_is_measured_anew(run: Path, steps: list[str], content: str) -> None:
    (run / "profiles").mkdir()
    (run / "profiles" / "kinematics-mdn-cpu.json").write_text(content)
    assert cli().exit_code == 0
    assert "latency of 1000 samples" in steps


def test_without_a_run_a_stop_says_that_nothing_is_saved(
    steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = interrupted(monkeypatch, run=())
    assert "nothing is saved, for the models belong to no run" in result.stderr
    assert "mdn on kinematics" in result.stdout


def test_a_run_that_cannot_be_written_is_profiled_and_said(
    run: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, how: "profiles" not in str(path) and access(path, how))
    result = cli()
    assert result.exit_code == 0
    assert "cannot be written" in result.stderr
    assert "saved in runs" not in result.stderr


def test_a_profile_survives_json() -> None:
    brisk = Plan(min_repeats=2, max_repeats=2, max_warmup=2, budget_s=0.0)
    made = profile.profile_model(
        fastinv.model("mdn", fastinv.problem("kinematics"), preset="smoke"),
        modes=("eager", "cudagraph"), batches=(1, 10), plan=brisk, machine=Machine(1e9, 2e9, 3e9),
    )  # fmt: skip
    (content,) = json.loads(json.dumps(profile_object([made], [], {})["models"]))
    assert profile_from_object(content) == made
    for broken in ({}, [], None, {**content, "threads": "2"}, {**content, "modes": [1]}):
        with pytest.raises(ValueError, match="not a profile"):
            profile_from_object(broken)
