"""`fastinv bench` from the outside: exit codes, streams, exports, signals."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import warm
from typer.testing import CliRunner, Result

import fastinv.runner.stages as stages
from fastinv.cli.app import app
from fastinv.store import RunReader

BENCH = ("bench", "--preset", "tiny", "--device", "cpu")


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--problem", "kinematic"), "unknown problem 'kinematic'; did you mean 'kinematics'?"),
        (("--model", "cin"), "did you mean 'cinn'"),
        (("--preset", "smok"), "did you mean 'smoke'"),
        (("--counts", "rounde"), "did you mean 'rounded'"),
        (("--kernel", "papr"), "did you mean 'paper'"),
        (("--device", "cud"), "did you mean 'cuda'"),
        (("--seed", "-1"), "seed must be between 0"),
        (("--seeds", "1,x"), "--seeds must be whole numbers"),
        (("--seeds", "1", "--seed", "1"), "--seeds goes neither with"),
        (("--repeats", "0"), "--repeats must be between 1"),
        (("--samples", "1"), "samples must be at least 2"),
        (("--samples", "999999999999"), "GiB of memory"),
        (("--observations", "0"), "observations must be at least 1"),
        (("--export", "table.txt"), "accepted extensions are .json, .csv, .md"),
        (("--export", "nowhere/table.md"), "there is no folder 'nowhere'"),
        (("--run", "../escape"), "--run must be a plain folder name"),
        (("--redo", "mdn", "--model", "cinn"), "--redo mdn: it is not among the models"),
        (("--jobs", "0"), "--jobs must be between 1 and 256"),
        (("--threads", "0"), "--threads must be between 1 and 1024"),
        (("--jobs", "2", "--cluster", "tcp://x:1"), "--jobs does not go with --cluster"),
    ],
)
def test_wrong_usage_is_answered_before_any_work(arguments: tuple[str, ...], message: str) -> None:
    result = cli("bench", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert not Path("runs").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_export_without_permission_is_answered_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert cli("bench", "--export", "closed/x.json").exit_code == 2


MODEL_KEYS = {
    "name", "status", "error", "parameters", "latent_dim", "err_post", "err_post_4000", "err_resim",
    "inference_ms", "training_s",
}  # fmt: skip
RESULT_KEYS = {
    "problem", "preset", "seed", "counts", "kernel", "observations", "samples", "protocol", "floor", "models",
    "provenance",
}  # fmt: skip


def test_table_and_exports(tmp_path: Path) -> None:
    arguments = (*BENCH, "--model", "mdn", "--model", "inn", "--export", "r.json", "--export", "r.csv")
    first = cli(*arguments, "--export", "r.md")
    assert first.exit_code == 0, first.output
    assert "kinematics mdn: training" in first.stderr
    table = first.stdout
    assert "\x1b" not in table
    assert max(map(len, table.splitlines())) <= 110
    assert [line.split()[0] for line in table.splitlines() if re.match("(floor|inn|mdn)  ", line)] == [
        "floor", "inn", "mdn",
    ] * 3  # fmt: skip

    result = json.loads(Path("r.json").read_text())
    assert set(result) == RESULT_KEYS
    assert (result["problem"], result["seed"], result["observations"], result["samples"]) == (
        "kinematics",
        0,
        8,
        50,
    )
    assert set(result["floor"]) == {"err_post", "err_post_4000"}
    assert set(result["floor"]["err_post"]) == {"mean", "median"}
    inn, mdn = result["models"]
    assert set(inn) == MODEL_KEYS
    assert set(mdn["err_post"]) == {"mean", "median", "ci95", "unbiased_mean"}
    assert set(mdn["err_resim"]) == set(mdn["err_post_4000"]) == {"mean", "median", "ci95"}
    assert mdn["err_post"]["ci95"][0] < mdn["err_post"]["mean"] < mdn["err_post"]["ci95"][1]
    assert (inn["latent_dim"], mdn["latent_dim"]) == (2, None)

    rows = list(csv.DictReader(io.StringIO(Path("r.csv").read_text())))
    assert [row["model"] for row in rows] == ["floor", "inn", "mdn"]
    assert float(rows[2]["err_post_mean"]) == mdn["err_post"]["mean"]
    assert (rows[1]["paper_err_post"], rows[2]["paper_err_post"]) == ("0.025", "")
    assert Path("r.md").read_text().count("| floor |") == 3

    # The same command shows the finished run again, and computes nothing.
    again = cli(*arguments)
    assert again.exit_code == 0
    assert again.stdout == table
    assert "training" not in again.stderr


def test_json_on_stdout_leaves_the_table_to_stderr() -> None:
    result = cli(*BENCH, "--model", "mdn", "--problem", "all", "--export", "-")
    assert result.exit_code == 0, result.output
    both = json.loads(result.stdout)
    assert [r["problem"] for r in both] == ["kinematics", "ballistics"]
    assert "floor" in result.stderr


def test_a_failed_model_is_a_row_and_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    original = stages.train

    def train(model: Any, *rest: Any) -> Any:
        if model.info.name == "inn":
            raise RuntimeError("loss is NaN")
        return original(model, *rest)

    monkeypatch.setattr(stages, "train", train)
    result = cli(*BENCH, "--model", "mdn", "--model", "inn", "--export", "r.json")
    assert result.exit_code == 1
    assert "inn failed: RuntimeError: loss is NaN (details: runs/" in result.stdout
    statuses = {m["name"]: m["status"] for m in json.loads(Path("r.json").read_text())["models"]}
    assert statuses == {"inn": "failed", "mdn": "ok"}


def test_an_accuracy_gate_is_exit_code_4() -> None:
    arguments = (*BENCH, "--model", "mdn")
    assert cli(*arguments, "--gate", "err_post<=10", "--gate", "mdn.err_resim<=1e9").exit_code == 0
    missed = cli(*arguments, "--gate", "err_post<=10", "--gate", "mdn.err_post<=0.001")
    assert missed.exit_code == 4
    assert "accuracy gate missed: kinematics mdn err_post" in missed.stderr
    for gate in ("err_post", "err_post<0.1", "cin.err_post<=1", "speed<=1", "err_post<=-"):
        assert cli(*arguments, "--gate", gate).exit_code == 2, gate


def test_seeds_are_pooled_and_marked() -> None:
    result = cli(*BENCH, "--model", "mdn", "--repeats", "2", "--seed", "3", "--export", "-")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["seed"] == [3, 4]
    assert "Intervals cover 2 training seeds" in result.stderr


def test_clamping_changes_what_is_shown_and_not_what_is_stored() -> None:
    arguments = (*BENCH, "--model", "inn", "--observations", "40")
    plain = cli(*arguments, "--export", "plain.json")
    assert plain.exit_code == 0, plain.output
    clamped = cli(*arguments, "--clamp-outliers", "--export", "clamped.json", "--export", "clamped.csv")
    assert "Outliers were clamped" in clamped.stdout
    a, b = (json.loads(Path(f"{name}.json").read_text())["models"][0] for name in ("plain", "clamped"))
    assert b["err_resim"]["mean"] < a["err_resim"]["mean"]
    assert b["err_resim"]["median"] == a["err_resim"]["median"]
    assert cli(*arguments).stdout == plain.stdout


def test_threads_are_in_the_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    done = cli(*BENCH, "--model", "mdn", "--threads", "2", "--export", "-")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["provenance"]["torch_threads"] == 2


def test_a_named_run_refuses_other_settings() -> None:
    assert cli(*BENCH, "--model", "mdn", "--run", "mine").exit_code == 0
    other = cli(*BENCH, "--model", "mdn", "--run", "mine", "--kernel", "hint")
    assert other.exit_code == 2
    assert "kernel: paper there, hint here" in other.stderr
    fresh = cli(*BENCH, "--model", "mdn", "--run", "mine", "--kernel", "hint", "--fresh")
    assert fresh.exit_code == 0


def test_streams_without_unicode(start: Any) -> None:
    cli(*BENCH, "--model", "mdn")
    process = start(*BENCH, "--model", "mdn", PYTHONIOENCODING="ascii", plain=True)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "floor" in out
    assert out.isascii()
    assert "?" not in out


def wait_for(condition: Any, process: warm.Process, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def running_stage(name: str = "r") -> tuple[str, str] | None:
    try:
        with sqlite3.connect(f"file:runs/{name}/run.sqlite3?mode=ro", uri=True) as raw:
            row = raw.execute("SELECT model, stage FROM stage WHERE status = 'running'").fetchone()
        raw.close()
    except sqlite3.Error:
        return None
    return row if row is None else (row[0], row[1])


LONG = ("bench", "--preset", "long", "--device", "cpu", "--run", "r", "--export", "r.json")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_saves_and_shows_what_is_finished(start: Any, number: int, code: int) -> None:
    # As users start it: what follows a signal is what is tested.
    process = start(*LONG, "--model", "inn", plain=True)
    wait_for(lambda: running_stage() == ("inn", "train"), process)
    stopped = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    # Generous, for a busy machine; alone it takes a fraction of a second.
    assert time.monotonic() - stopped < 15.0
    assert process.returncode == code
    assert "the same command goes on from here" in err
    assert "Traceback" not in err
    assert "Not finished: inn;" in out
    (model,) = json.loads(Path("r.json").read_text())["models"]
    assert model["status"] == "skipped"
    with RunReader(Path("runs/r")) as run:
        assert {s.status for s in run.stages().values()} == {"done"}


def children(process: warm.Process) -> list[int]:
    """Processes that a process started and that live."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[1]) == process.pid and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_with_jobs_leaves_no_process(start: Any, number: int) -> None:
    process = start(*LONG, "--model", "inn", "--model", "mdn", "--jobs", "2", new_session=True, plain=True)
    wait_for(lambda: (running_stage() or ("", ""))[1] == "train", process)
    workers = children(process)
    assert len(workers) >= 2
    # A terminal's Ctrl-C reaches every process of the group.
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    out, err = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "the same command goes on from here" in err
        assert "Traceback" not in err
        assert "Not finished: inn, mdn;" in out
    deadline = time.monotonic() + 30.0
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline, "a worker outlived its head"
        time.sleep(0.05)
    again = start(*LONG, "--model", "inn")
    wait_for(lambda: running_stage() is not None, again)


def test_the_second_process_is_told_who_holds_the_run(start: Any) -> None:
    process = start("bench", "--preset", "long", "--device", "cpu", "--model", "inn", "--run", "r")
    wait_for(lambda: running_stage() is not None, process)
    second = start("bench", "--preset", "long", "--device", "cpu", "--model", "inn", "--run", "r")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"run 'r' is held by process {process.pid}" in err
