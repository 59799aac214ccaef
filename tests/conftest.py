"""What holds for all tests."""

import os
import signal
import sys

import pytest

# A shell that runs the tests in the background makes them deaf to Ctrl-C, and with them what they interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The networks in tests are tiny: more threads would only wait for each other, and badly so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Threads that wait for each other by spinning take the cores from those they wait for, wherever tests share
# them: a call of a Numba kernel took 25 times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@pytest.fixture(autouse=True)
def _torch_uses_one_thread() -> None:
    """Again before every test, because Numba's OpenMP layer resets the number that torch uses."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
