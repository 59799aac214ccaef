"""What holds for all tests."""

import os
import sys

import pytest

# The networks in tests are tiny: more threads would only wait for each other, and badly so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _torch_uses_one_thread() -> None:
    """Again before every test, because Numba's OpenMP layer resets the number that torch uses."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
