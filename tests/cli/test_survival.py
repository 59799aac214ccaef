"""Killed at any moment, the disk full or read-only: what was committed stays, the rest is done later."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fastinv.cli.app import app
from fastinv.store import RunReader

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")

MODELS = ("inn", "mdn", "cvae")
BENCH = ("bench", "--preset", "tiny", "--device", "cpu", *(a for m in MODELS for a in ("--model", m)))


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def figures(path: str) -> Any:
    """The part of an export that does not depend on the clock."""
    result = json.loads(Path(path).read_text())
    del result["provenance"]
    for model in result["models"]:
        del model["training_s"], model["inference_ms"]
    return result


def committed() -> set[Any]:
    if not Path("runs/r/run.sqlite3").exists():
        return set()
    with sqlite3.connect("runs/r/run.sqlite3") as raw:
        tables = raw.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        query = "SELECT model, stage, ended FROM stage WHERE status = 'done'"
        found = set(raw.execute(query)) if tables else set()
    raw.close()
    return found


@cache
def undisturbed() -> Any:
    """Figures of the run that was never killed."""
    whole = cli(*BENCH, "--runs", "elsewhere", "--run", "whole", "--export", "whole.json")
    assert whole.exit_code == 0, whole.output
    return figures("whole.json")


class Siege:
    """One run that is killed again and again, and has to end in the numbers of one that never was."""

    def __init__(self, start: Any) -> None:
        self.start, self.done, self.figures = start, set[Any](), undisturbed()

    def run(self, *options: str, **environment: str) -> Any:
        return self.start(*BENCH, "--no-figures", *options, "--run", "r", "--export", "r.json", **environment)

    def look(self) -> None:
        now = committed()
        assert self.done <= now, "something that had been committed is gone"
        self.done = now

    def kill_after(self, seconds: float, *options: str) -> None:
        process = self.run(*options)
        while not Path("runs/r/lock").exists() or not Path("runs/r/lock").read_text():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.communicate()
        self.look()

    def kill_at(self, what: str, number: int) -> int:
        """Kill it before a statement of the store; returns the exit code."""
        process = self.run(KILL_AT=f"{what}:{number}")
        process.communicate(timeout=120)
        self.look()
        return int(process.returncode)

    def end(self) -> None:
        process = self.run()
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert figures("r.json") == self.figures
        kept = [path.name for path in Path("runs/r/checkpoints").iterdir()]
        assert not [name for name in kept if "training" in name or "unfinished" in name]
        assert not list(Path("runs/r").glob("run.sqlite3-*"))
        assert Path("runs/r/lock").read_text() == ""


def test_killed_at_random_moments(start: Any) -> None:
    siege = Siege(start)
    for seconds in np.random.default_rng(0).uniform(0.0, 1.5, size=3):
        siege.kill_after(float(seconds))
    siege.end()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(1, 11))
def test_killed_at_fifty_moments(start: Any, seed: int) -> None:
    """Five kills in each of ten runs; every other one has two jobs, whose workers must not outlive it."""
    siege = Siege(start)
    for seconds in np.random.default_rng(seed).uniform(0.0, 3.0, size=5):
        siege.kill_after(float(seconds), *(("--jobs", "2") if seed % 2 else ()))
    siege.end()


# The first COMMITs are the opening, the plan and the floor's; a stage has two and inserts 40 scores or more.
@pytest.mark.parametrize(
    ("what", "number"), [pytest.param("COMMIT", 6, marks=pytest.mark.slow), ("INSERT INTO score", 70)]
)
def test_killed_in_mid_commit(start: Any, what: str, number: int) -> None:
    siege = Siege(start)
    assert siege.kill_at(what, number) == -9
    siege.end()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_in_mid_commit_ten_times(start: Any) -> None:
    siege = Siege(start)
    killed = 0
    # In turn in the middle of a stage's rows and before a COMMIT; something is left to do for the tenth.
    for number, commit in enumerate((3, 5, 3, 5, 3)):
        for what, at in (("INSERT INTO score", 7 * number), ("COMMIT", commit)):
            killed += siege.kill_at(what, at) == -9
    assert killed == 10
    siege.end()


def stopped_for_want_of_room(siege: Siege, **environment: str) -> None:
    process = siege.run(**environment)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, (out, err)
    assert "Traceback" not in err
    assert re.search("disk is full|disk refuses|No space left|File too large", out + err), (out, err)
    siege.look()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], object]]:
    """A disk of its own for the runs; called with its size in kB it makes room."""
    folder = tmp_path / "runs"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}k", str(folder)], check=True)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(
    start: Any, small_disk: Callable[[int], object]
) -> None:
    siege = Siege(start)
    # Full while the run is opened, in a training's checkpoint, and later.
    for size in (40, 220, 300):
        small_disk(size)
        stopped_for_want_of_room(siege)
    small_disk(100_000)
    siege.end()


def test_a_limit_on_files_is_named_and_the_run_goes_on_without_it(start: Any) -> None:
    """Like a quota: writes fail in the middle of a file, with another error than on a full disk."""
    siege = Siege(start)
    for size in (30_000, 70_000):
        limit = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))"
        stopped_for_want_of_room(siege, PREAMBLE=limit)
    siege.end()


def test_a_run_in_a_read_only_folder(tmp_path: Path) -> None:
    assert cli(*BENCH, "--run", "r").exit_code == 0
    folder = tmp_path / "runs" / "r"
    before = (folder / "run.sqlite3").read_bytes()
    folder.chmod(0o500)
    (folder / "run.sqlite3").chmod(0o400)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write anywhere")
        refused = cli(*BENCH, "--run", "r")
        assert refused.exit_code == 1
        assert refused.stderr.count("\n") == 1
        with RunReader(folder) as run:
            assert run.stages()
    finally:
        folder.chmod(0o700)
    assert (folder / "run.sqlite3").read_bytes() == before
