"""What holds for all tests."""

import gc
import os
import signal
import subprocess
import sys
import tempfile
import warnings

import pytest

# A shell that runs the tests in the background makes them deaf to Ctrl-C, and with them what they interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The networks in tests are tiny: more threads would only wait for each other, and badly so on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Threads that wait for each other by spinning take the cores from those they wait for, wherever tests share
# them: a call of a Numba kernel took 25 times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def pytest_configure(config: pytest.Config) -> None:
    """Warnings are errors, but for those that torch 2.11 gives of its own modules."""
    config.addinivalue_line(
        "filterwarnings", "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning"
    )


def pytest_collection_finish() -> None:
    """What is imported by now stays: to look for garbage there, again and again, took a tenth of the time."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish() -> None:
    """Nanobind takes what is left at the end for a leak, and says so."""
    gc.unfreeze()


LOOP = """
import torch, triton, triton.language as tl
@triton.jit
def loop(out, n):
    for i in range(tl.load(out), n):
        tl.store(out, i)
loop[(1,)](torch.zeros(1, dtype=torch.int32), 2)
"""


@pytest.fixture(scope="session")
def triton_interpreter() -> None:
    """For tests in processes with Triton's interpreter: that of Triton 3.6 does not work with NumPy 2.5."""
    triton = pytest.importorskip("triton")
    import numpy as np

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            int(np.ones(1))
    except TypeError:
        environment = {**os.environ, "TRITON_INTERPRET": "1"}
        # A file, as Triton reads a program's source.
        with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
            script.write(LOOP)
            script.flush()
            done = subprocess.run(
                [sys.executable, script.name], env=environment, capture_output=True, text=True
            )
        if done.returncode != 0:
            words = done.stderr.strip().splitlines()[-1]
            pytest.skip(f"Triton {triton.__version__}'s interpreter fails on NumPy {np.__version__}: {words}")


@pytest.fixture(autouse=True)
def _torch_uses_one_thread() -> None:
    """Again before every test, because Numba's OpenMP layer resets the number that torch uses."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
