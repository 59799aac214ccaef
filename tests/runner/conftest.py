"""A benchmark small enough for tests: real models, a twentieth of the smallest preset."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from brisk import brisk_rows

from fastinv.presets import Preset
from fastinv.runner import BenchSettings

__all__ = ["brisk_rows"]

TINY = Preset("tiny", 5000, 2000, 100, 1, 8, 50)


@pytest.fixture
def settings() -> BenchSettings:
    return BenchSettings(("kinematics",), TINY, (0,), "factorised", "paper", "cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Bit-identical training needs a fixed number of threads, and a busy machine needs few."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
