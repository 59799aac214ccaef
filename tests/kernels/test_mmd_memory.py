"""Peak memory of MMD: what a call takes grows with the samples, never with the pairs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastinv.kernels import available_backends

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="the system has no /proc/self/clear_refs"
    ),
]
BACKENDS = [name for name in ("native", "numba") if available_backends()[name].available]

# Growth of the peak resident memory by one call, in KiB, after small calls that loaded the code. The peak
# comes from /proc, reset before the call: what getrusage tells starts at the peak of the parent process.
SCRIPT = """
import sys
from pathlib import Path
import torch
from fastinv.kernels import mmd2

how, gradient, kernel = sys.argv[1], sys.argv[2] == "gradient", sys.argv[3]
batch, size = int(sys.argv[4]), int(sys.argv[5])


def dense(x, y, kernel):
    def mean(a, b):
        return torch.exp(-0.5 * (a[:, :, None] - b[:, None]).square().sum(-1)).mean((1, 2))

    return mean(x, x) + mean(y, y) - 2.0 * mean(x, y)


def call(x, y):
    value = dense(x, y, kernel) if how == "dense" else mmd2(x, y, kernel=kernel, backend=how)
    if gradient:
        value.sum().backward()


def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def samples(batch, size):
    return (torch.randn(batch, size, 4, requires_grad=gradient) for _ in range(2))


torch.manual_seed(0)
for _ in range(2):
    call(*samples(2, 40))
x, y = samples(batch, size)
Path("/proc/self/clear_refs").write_text("5")
before = resident("VmRSS")
call(x, y)
print(resident("VmHWM") - before)
"""


def growth(how: str, mode: str, kernel: str, batch: int, size: int) -> int:
    """Bytes by which one call raises the peak of a fresh process."""
    pytest.importorskip("torch")
    command = [sys.executable, "-c", SCRIPT, how, mode, kernel, str(batch), str(size)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return int(run.stdout) * 1024


@pytest.mark.parametrize("kernel", ["gaussian", "paper"])
@pytest.mark.parametrize("mode", ["forward", "gradient"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_twenty_thousand_samples_take_no_matrix(backend: str, mode: str, kernel: str) -> None:
    """One matrix of all pairs would be 1.5 GiB; samples and gradients are 1.3 MB."""
    assert growth(backend, mode, kernel, 1, 20_000) < 50e6


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_take_a_fiftieth_of_dense_torch(backend: str) -> None:
    dense = growth("dense", "gradient", "gaussian", 20, 1000)
    # Dense at all: autograd keeps more than two matrices of all pairs.
    assert dense > 2 * 20 * 1000**2 * 4
    assert growth(backend, "gradient", "gaussian", 20, 1000) < dense / 50
