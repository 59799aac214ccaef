"""The libraries that bench/mmd_cpu.py compares, each as its users would call it.

Every contestant turns float32 samples x, y of shape (B, n, 4) and a task into a call. The call returns the
biased MMD^2 of each problem, or with gradients the gradients of their sum in x and y.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Call = Callable[[], Any]

IMQ_TERMS = {"paper": ((0.2, 0.1), (0.2, 0.5), (0.2, 2.0))}
BANDWIDTHS = {"gaussian": (1.0,), "octaves": (0.5, 1.0, 2.0)}


@dataclass(frozen=True)
class Task:
    """A kernel, and whether gradients in both samples are wanted too."""

    kernel: str
    gradients: bool = False

    def __str__(self) -> str:
        return f"{self.kernel} with gradients" if self.gradients else self.kernel


TASKS = {str(t): t for g in (False, True) for t in (Task(k, g) for k in ("gaussian", "octaves", "paper"))}


def fastinv(backend: str) -> Callable[[Array, Array, Task], Call]:
    """One of our own back ends."""

    def make(x: Array, y: Array, task: Task) -> Call:
        from fastinv.kernels import Gaussian, mmd2

        kernel = Gaussian(*BANDWIDTHS[task.kernel]) if task.kernel in BANDWIDTHS else task.kernel
        if not task.gradients:
            return lambda: mmd2(x, y, kernel=kernel, backend=backend)
        return _autograd(lambda a, b: mmd2(a, b, kernel=kernel, backend=backend), x, y)

    return make


def _autograd(function: Callable[[Any, Any], Any], x: Array, y: Array) -> Call:
    import torch

    leaves = [torch.from_numpy(a).clone().requires_grad_() for a in (x, y)]
    return lambda: torch.autograd.grad(function(*leaves).sum(), leaves)


def _torch_call(function: Callable[[Any, Any], Any], x: Array, y: Array, task: Task) -> Call:
    import torch

    if task.gradients:
        return _autograd(function, x, y)
    a, b = torch.from_numpy(x), torch.from_numpy(y)
    return lambda: function(a, b)


def _kernel(s: Any, task: Task) -> Any:
    """The kernel of squared distances, in whatever arithmetic s brings along."""
    if task.kernel in BANDWIDTHS:
        return sum((-s / (2.0 * h * h)).exp() for h in BANDWIDTHS[task.kernel])
    return sum(a**a * (1.0 + s / c) ** -a for c, a in IMQ_TERMS[task.kernel])


def _squared_mmd(mean: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda a, b: mean(a, a) + mean(b, b) - 2.0 * mean(a, b)


def torch_dense(x: Array, y: Array, task: Task) -> Call:
    """What users write: three n x n matrices."""
    import torch

    mmd = _squared_mmd(lambda a, b: _kernel(torch.cdist(a, b).square(), task).mean((-2, -1)))
    return _torch_call(mmd, x, y, task)


def torch_compiled(x: Array, y: Array, task: Task) -> Call:
    """The same by differences, for torch.compile to fuse."""
    import torch

    def mean(a: Any, b: Any) -> Any:
        return _kernel((a[:, :, None, :] - b[:, None, :, :]).square().sum(-1), task).mean((-2, -1))

    return _torch_call(torch.compile(_squared_mmd(mean), dynamic=False), x, y, task)


def keops(x: Array, y: Array, task: Task) -> Call:
    """Streaming sums compiled by KeOps, with its flags or those in CXXFLAGS."""
    from pykeops.torch import LazyTensor

    def mean(a: Any, b: Any) -> Any:
        s = ((LazyTensor(a[:, :, None, :]) - LazyTensor(b[:, None, :, :])) ** 2).sum(-1)
        return _kernel(s, task).sum(2).mean((1, 2)) / b.shape[1]

    return _torch_call(_squared_mmd(mean), x, y, task)


def geomloss(x: Array, y: Array, task: Task) -> Call:
    """geomloss in the mode that it chooses itself; its loss is half of MMD^2."""
    from geomloss import SamplesLoss

    loss = SamplesLoss("gaussian", blur=BANDWIDTHS[task.kernel][0])
    return _torch_call(lambda a, b: 2.0 * loss(a, b), x, y, task)


def goodpoints(x: Array, y: Array, task: Task) -> Call:
    """goodpoints' biased estimate, in float64, its only precision, one problem after the other."""
    from goodpoints.gaussianc import biased_sqMMD_gaussian

    h = BANDWIDTHS[task.kernel][0]
    pairs = [(a, b) for a, b in zip(x.astype(np.float64), y.astype(np.float64), strict=True)]
    return lambda: np.array([biased_sqMMD_gaussian(a, b, 2.0 * h * h) for a, b in pairs])


def scikit_learn(x: Array, y: Array, task: Task) -> Call:
    """Three kernel matrices by scikit-learn, one problem after the other."""
    from sklearn.metrics.pairwise import rbf_kernel

    gamma = 0.5 / BANDWIDTHS[task.kernel][0] ** 2

    def mean(a: Array, b: Array) -> float:
        return float(rbf_kernel(a, b, gamma=gamma).mean())

    mmd = _squared_mmd(mean)
    return lambda: np.array([mmd(a, b) for a, b in zip(x, y, strict=True)])


def sbi(x: Array, y: Array, task: Task) -> Call:
    """sbi's biased estimate, whose root it returns, one problem after the other."""
    import torch
    from sbi.utils.metrics import biased_mmd

    h = BANDWIDTHS[task.kernel][0]

    def mmd(a: Any, b: Any) -> Any:
        return torch.stack([biased_mmd(p, q, scale=h).square() for p, q in zip(a, b, strict=True)])

    return _torch_call(mmd, x, y, task)


@dataclass(frozen=True)
class Contestant:
    """How to call a library, in which environment, and what it can do.

    Attributes:
        make: turns samples and a task into a call.
        tasks: names of the tasks that it takes part in.
        package: what has to be installed; none for our own back ends.
        environment: variables of its process.
    """

    make: Callable[[Array, Array, Task], Call]
    tasks: tuple[str, ...] = tuple(TASKS)
    package: str = ""
    environment: tuple[tuple[str, str], ...] = ()


def _cache(name: str) -> str:
    return str(Path(tempfile.gettempdir()) / f"fastinv-bench-{name}-{os.getuid()}")


_ONE_GAUSSIAN = ("gaussian", "gaussian with gradients")

CONTESTANTS = {
    "native avx512": Contestant(fastinv("native"), environment=(("FASTINV_ISA", "avx512"),)),
    "native avx2": Contestant(fastinv("native"), environment=(("FASTINV_ISA", "avx2"),)),
    "native sse2": Contestant(fastinv("native"), environment=(("FASTINV_ISA", "sse2"),)),
    "native neon": Contestant(fastinv("native"), environment=(("FASTINV_ISA", "neon"),)),
    "numba": Contestant(fastinv("numba")),
    "KeOps": Contestant(
        keops, package="pykeops", environment=(("CXXFLAGS", ""), ("KEOPS_CACHE_FOLDER", _cache("keops")))
    ),
    "KeOps tuned": Contestant(
        keops,
        package="pykeops",
        environment=(
            ("CXXFLAGS", "-march=native -ffast-math"),
            ("KEOPS_CACHE_FOLDER", _cache("keops-tuned")),
        ),
    ),
    "torch dense": Contestant(torch_dense, package="torch"),
    "torch compiled": Contestant(torch_compiled, package="torch"),
    "geomloss": Contestant(geomloss, _ONE_GAUSSIAN, "geomloss"),
    "goodpoints": Contestant(goodpoints, ("gaussian",), "goodpoints"),
    "scikit-learn": Contestant(scikit_learn, ("gaussian",), "scikit-learn"),
    "sbi": Contestant(sbi, _ONE_GAUSSIAN, "sbi"),
}
