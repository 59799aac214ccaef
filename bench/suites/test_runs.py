"""Speed of what surrounds the numbers: the store, the command line, imports."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tracking.fixture import Tracked

from fastinv.store import RunWriter, StageKey, StageResult

RUN = "from fastinv.cli import main; main()"
STARTS = {
    "help": ["-c", RUN, "--help"],
    "list": ["-c", RUN, "list", "models"],
    "import": ["-c", "import fastinv"],
    "import-kernels": ["-c", "from fastinv.kernels import mmd2"],
}


@pytest.mark.parametrize("observations", [20, 1000])
def test_store_write(tracked: Tracked, tmp_path: Path, observations: int) -> None:
    scores = {name: np.random.default_rng(0).random(observations) for name in ("err_post", "err_resim")}
    seeds = itertools.count()
    with RunWriter(tmp_path, settings={}, settings_hash="0", provenance={}) as run:

        def call() -> StageKey:
            key = StageKey("kinematics", "cinn", next(seeds), "score")
            run.begin(key)
            run.finish(key, StageResult(1.0, scores))
            return key

        key = call()
        assert run.stages()[key].status == "done"
        tracked(call, yardstick="disk")


@pytest.mark.parametrize("name", STARTS)
def test_start(tracked: Tracked, name: str) -> None:
    command = [sys.executable, *STARTS[name]]
    assert subprocess.run(command, capture_output=True, check=True).returncode == 0
    tracked(lambda: subprocess.run(command, capture_output=True, check=True), yardstick="process")
