"""A finished run of both problems, small enough for tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fastinv.presets import Preset
from fastinv.runner import BenchSettings, run_benchmark
from fastinv.store import RunWriter

MODELS = ("inn", "cinn", "mdn")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    preset = Preset("tiny", 5000, 2000, 100, 1, 8, 50)
    settings = BenchSettings(("kinematics", "ballistics"), preset, (0,), "factorised", "paper", "cpu")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with RunWriter(folder, settings=settings.as_dict(), settings_hash=settings.hash, provenance={}) as store:
        outcome = run_benchmark(settings, MODELS, store)
    torch.set_num_threads(threads)
    assert not outcome.failed
    return folder
