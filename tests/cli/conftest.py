"""The command line in this process and in processes of its own, with a preset of a second or two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import warm
from brisk import BRISK, brisk_rows

from fastinv.presets import PRESETS, Preset

__all__ = ["brisk_rows"]

TINY = Preset("tiny", 5000, 2000, 100, 1, 8, 50)

# Processes of their own know the preset through this.
# KILL_AT injects a fault: the process kills itself right before this one of the store's COMMITs, or of the
# rows that a stage inserts.
MAIN = f"""
import os, signal
from fastinv.presets import PRESETS, Preset
PRESETS["tiny"] = {TINY!r}
PRESETS["long"] = Preset("long", 5000, 2000, 100, 500, 8, 50)
if "KILL_AT" in os.environ:
    import fastinv.store.writer as writer
    what, left = os.environ["KILL_AT"].split(":")
    left, connect = int(left), writer.connect_for_writing
    def count(statement):
        global left
        left -= statement.startswith(what)
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    def traced(path):
        connection = connect(path)
        connection.set_trace_callback(count)
        return connection
    writer.connect_for_writing = traced
exec(os.environ.get("PREAMBLE", ""))
import fastinv.cli.bench
fastinv.cli.bench.draw_quickly = lambda folder, changed: None
import fastinv.runner.stages
from fastinv.timing import Plan
fastinv.runner.stages.PLAN = {BRISK!r}
fastinv.cli.main()
"""


@pytest.fixture(autouse=True)
def _tiny(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    monkeypatch.setenv("FASTINV_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    # Figures take seconds; tests/reports draws them.
    monkeypatch.setattr("fastinv.cli.bench.draw_quickly", lambda folder, changed: None)
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


Start = Callable[..., warm.Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start `fastinv ARGUMENTS` in a process of its own, in the test's folder."""
    processes: list[warm.Process] = []

    def run(
        *arguments: str, new_session: bool = False, plain: bool = False, **environment: str
    ) -> warm.Process:
        begin = warm.plain if plain else warm.fork
        everything = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        process = begin(MAIN, arguments, tmp_path, everything, new_session=new_session)
        processes.append(process)
        return process

    yield run
    for process in processes:
        warm.end(process)
