"""Two versions measured in step: processes of pytest that take turns."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tracking import suites
from tracking.fixture import INJECT
from tracking.verdict import CPU
from tracking.versions import Version

# Variables of INJECT reach this checkout's benchmarks alone, which is how these tell who they are.
OLD, NEW = Version(Path(sys.executable), "c0ffee"), Version(Path(sys.executable))
CONFTEST = f"""
import sys
sys.path.insert(0, {str(Path(suites.__file__).parents[1])!r})
from tracking.fixture import tracked
"""
SUITE = """
import itertools, os, pytest
OLD = "FASTINV_BENCH_INJECT" not in os.environ

def work():
    return sum(range(20_000))

def after_some_calls(act):
    count = itertools.count()
    def call():
        if next(count) > 20:
            act()
        work()
    return call

def fail():
    raise ValueError("out of luck")

def test_first(tracked):
    if OLD:
        pytest.skip("not in this version")
    tracked(work, "interpreter")

def test_disk(tracked):
    tracked(work, "disk")

def test_gives_up(tracked):
    tracked(after_some_calls(fail if OLD else work), "interpreter")

def test_fails(tracked):
    tracked(after_some_calls(work if OLD else fail), "interpreter")

def test_slower(tracked):
    tracked(work, "interpreter")

def test_ends(tracked):
    tracked(after_some_calls((lambda: os._exit(1)) if OLD else work), "interpreter")

def test_last(tracked):
    tracked(work, "interpreter")
"""


@pytest.fixture(autouse=True)
def _suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / suites.FOLDER
    folder.mkdir(parents=True)
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_a.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setattr(suites, "ROOT", tmp_path)
    monkeypatch.setattr(suites, "STEPS_S", 0.1)
    monkeypatch.setenv(INJECT, "slower:1.0")


def in_step(*names: str) -> dict[str, float]:
    return suites.in_step(OLD, NEW, [f"a::{name}" for name in names])


def test_the_ratio_is_that_of_this_checkout_to_the_older_version() -> None:
    found = in_step("disk", "slower", "last")
    # What waits for the disk has no CPU times.
    assert found.keys() == {"a::disk", "a::slower", "a::slower" + CPU, "a::last", "a::last" + CPU}
    # Twice the time was asked for.
    assert 1.5 < found["a::slower" + CPU] < 2.6
    assert found["a::last" + CPU] < 1.4


def test_ratios_to_yardsticks_are_read_from_the_file(tmp_path: Path) -> None:
    what = [f"{suites.FOLDER}/test_a.py::test_{name}" for name in ("disk", "last")]
    found = suites.beside_yardstick(NEW, what, tmp_path / "kept.json")
    assert found.keys() == {"a::disk", "a::last", "a::last" + CPU}
    assert min(found.values()) > 0.0
    benchmarks = json.loads((tmp_path / "kept.json").read_text())["benchmarks"]
    assert found["a::last"] in [benchmark["extra_info"]["ratio"] for benchmark in benchmarks]


def test_what_the_older_version_cannot_run_is_left_out() -> None:
    found = in_step("first", "gives_up", "disk", "last")
    assert found.keys() == {"a::disk", "a::last", "a::last" + CPU}


def test_an_older_version_that_ends_takes_nothing_with_it() -> None:
    assert in_step("disk", "ends", "last").keys() == {"a::disk"}


def test_a_benchmark_that_fails_in_this_checkout_is_told() -> None:
    with pytest.raises(SystemExit, match=r"(?s)did not pass.*out of luck"):
        in_step("disk", "fails", "last")


def test_no_process_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            started.append(self)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(suites.subprocess, "Popen", Recorded)
    monkeypatch.setattr(suites, "_alternate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_step("disk")
    assert [process.returncode for process in started] == [-signal.SIGKILL] * 2
