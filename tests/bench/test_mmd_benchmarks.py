"""The comparison of MMD with its peers: who is wrong gets no time, results grow piece by piece."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import contest
import machine
import mmd_cpu
import mmd_report
import mmd_scaling
import pytest
import results_file
from mmd_contestants import CONTESTANTS, TASKS
from mmd_worker import Worker


class Claims:
    """A worker that claims an error, or fails."""

    def __init__(self, answer: float | RuntimeError) -> None:
        self.answer = answer

    def ask(self, **request: Any) -> float:
        if isinstance(self.answer, RuntimeError):
            raise self.answer
        return self.answer


def test_who_is_wrong_gets_no_time(tmp_path: Path) -> None:
    workers: Any = {
        "numba": Claims(1e-7),
        "native avx2": Claims(1e-5),
        "KeOps": Claims(1e-5),
        "torch dense": Claims(1e-3),
        "geomloss": Claims(RuntimeError("it broke")),
    }
    errors, reasons = mmd_cpu.checked(workers, TASKS["gaussian"], tmp_path)
    assert errors == {"numba": 1e-7, "KeOps": 1e-5}
    assert reasons["geomloss"] == "it broke"
    assert "above" in reasons["native avx2"]
    assert "above" in reasons["torch dense"]


@pytest.mark.parametrize("task", ["paper", "gaussian with gradients"])
def test_contestants_alternate_and_agree(task: str) -> None:
    options = argparse.Namespace(only=["numba", "torch dense"], samples=50, batch=2, seconds=0.001, rounds=2)
    result = mmd_cpu.compete(TASKS[task], options)
    assert result["left_out"] == {}
    assert [row["name"] for row in result["rows"]] == ["numba", "torch dense"]
    assert all(len(row["seconds"]) == 2 and row["error"] < 1e-4 for row in result["rows"])
    page = mmd_report.markdown({"machine": machine.describe(["numpy"]), "tasks": {task: result}})
    assert "| torch dense |" in page


def test_a_worker_reports_what_its_library_raises() -> None:
    worker = Worker("numba")
    try:
        with pytest.raises(RuntimeError, match="KeyError"):
            worker.ask(do="measure", task="gaussian")
    finally:
        worker.close()


def test_absent_peers_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> str:
        raise contest.importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(contest.importlib.metadata, "version", absent)
    taking, left_out = mmd_cpu.field("gaussian", None)
    assert "numba" in taking
    assert left_out["scikit-learn"] == "scikit-learn is not installed"
    assert set(taking) & {name for name, c in CONTESTANTS.items() if c.package} == set()


def test_pieces_add_up_in_one_file(tmp_path: Path) -> None:
    prefix = tmp_path / "results" / "scaling"
    described = machine.describe(["numpy"])
    rows = [{"d": d, "seconds": [0.1 * d, 0.2 * d]} for d in mmd_scaling.DIMENSIONS]
    for kernel in ("gaussian", "paper"):
        results_file.update(
            prefix, {"machine": described, "dimensions": {kernel: rows}}, mmd_scaling.markdown
        )
    assert set(json.loads(prefix.with_suffix(".json").read_text())["dimensions"]) == {"gaussian", "paper"}
    page = prefix.with_suffix(".md").read_text()
    assert "## Dimensions, paper" in page
    assert "Fitted exponent of the time in d from 16 on: 1.000." in page


def test_the_multiply_adds_are_done() -> None:
    """More than one per ten nanoseconds and core, and fewer than a thousand lanes per nanosecond and core."""
    import time

    try:
        call, operations = machine.multiply_adds(0.02)
    except RuntimeError as problem:
        pytest.skip(str(problem))
    call()
    start = time.perf_counter()
    call()
    rate = operations / (time.perf_counter() - start) / machine.cores()
    assert 1e8 < rate < 1e12
