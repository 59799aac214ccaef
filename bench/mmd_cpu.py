"""Exact MMD on a CPU against other libraries and against the machine's own limit, interleaved in one run.

    python bench/mmd_cpu.py [--batch 100] [--output mmd_cpu.json]

Peers that are installed take part (`pip install pykeops geomloss scikit-learn`); dense torch always does.
Pairs are "effective" ones, 3 n^2 per problem, whatever a library evaluates. Times are wall-clock, or CPU
seconds of the process with --cpu-time, which other load disturbs less. Each figure is the median over the
rounds, with the distance of the quartiles as its spread.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastinv.kernels import Gaussian, available_backends, mmd2

Call = Callable[[], Any]


def dense_torch(x: torch.Tensor, y: torch.Tensor, h: float) -> torch.Tensor:
    """What users write: three n x n matrices."""

    def mean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.exp(-torch.cdist(a, b).square() / (2 * h * h)).mean((-2, -1))

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def keops(x: torch.Tensor, y: torch.Tensor, h: float) -> Call:
    from pykeops.torch import LazyTensor

    def mean(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        s = ((LazyTensor(a[:, :, None, :]) - LazyTensor(b[:, None, :, :])) ** 2).sum(-1)
        return (-s / (2 * h * h)).exp().sum(2).mean((1, 2)) / b.shape[1]

    return lambda: mean(x, x) + mean(y, y) - 2 * mean(x, y)


def geomloss(x: torch.Tensor, y: torch.Tensor, h: float) -> Call:
    from geomloss import SamplesLoss

    loss = SamplesLoss("gaussian", blur=h)
    return lambda: 2 * loss(x, y)


def scikit_learn(x: np.ndarray, y: np.ndarray, h: float) -> Call:
    from sklearn.metrics.pairwise import rbf_kernel

    def one(a: np.ndarray, b: np.ndarray) -> float:
        pairs = ((a, a), (b, b), (a, b))
        xx, yy, xy = (float(rbf_kernel(p, q, gamma=0.5 / h**2).mean()) for p, q in pairs)
        return xx + yy - 2 * xy

    return lambda: [one(a, b) for a, b in zip(x, y, strict=True)]


def contestants(batch: int, n: int, d: int) -> dict[str, tuple[Call, int]]:
    """Name to (call, problems in it); slow libraries get fewer problems."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(batch, n, d)).astype(np.float32) for _ in range(2))
    few = max(1, batch // 20)
    xt, yt = torch.from_numpy(x[:few]), torch.from_numpy(y[:few])
    leaves = [t.clone().requires_grad_() for t in (xt, yt)]
    many = [torch.from_numpy(a).requires_grad_() for a in (x, y)]
    found: dict[str, tuple[Call, int]] = {}
    kernels = {"gaussian": Gaussian(1.0), "octaves": Gaussian(0.5, 1.0, 2.0), "paper": "paper"}
    for backend in ("native", "numba"):
        if available_backends()[backend].available:
            for name, kernel in kernels.items():
                found[f"{backend} {name}"] = (
                    lambda k=kernel, b=backend: mmd2(x, y, kernel=k, backend=b),
                    batch,
                )
    for name, kernel in kernels.items():
        found[f"fastinv {name} with gradients"] = (
            lambda k=kernel: torch.autograd.grad(mmd2(*many, kernel=k).sum(), many),
            batch,
        )
    found["torch dense"] = (lambda: dense_torch(xt, yt, 1.0), few)
    found["torch dense with gradients"] = (
        lambda: torch.autograd.grad(dense_torch(*leaves, 1.0).sum(), leaves),
        few,
    )
    if importlib.util.find_spec("pykeops"):
        found["pykeops"] = (keops(xt, yt, 1.0), few)
    if importlib.util.find_spec("geomloss"):
        found["geomloss"] = (geomloss(xt, yt, 1.0), few)
    if importlib.util.find_spec("sklearn"):
        found["scikit-learn"] = (scikit_learn(x[:few], y[:few], 1.0), few)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--dimensions", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="CPU seconds of the process, not wall-clock")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    calls = contestants(arguments.batch, arguments.samples, arguments.dimensions)
    times: dict[str, list[float]] = {name: [] for name in calls}
    for call, _ in calls.values():
        call()
    for _ in range(arguments.rounds):
        for name, (call, problems) in calls.items():
            start = clock()
            call()
            times[name].append((clock() - start) / problems)
    base = statistics.median(times["native gaussian" if "native gaussian" in times else "numba gaussian"])
    rows = []
    for name, seconds in times.items():
        low, middle, high = (float(v) for v in np.quantile(seconds, [0.25, 0.5, 0.75]))
        pairs = 3 * arguments.samples**2 / middle
        rows.append(
            {"name": name, "seconds": [low, middle, high], "pairs_per_s": pairs, "times": middle / base}
        )
        spread = f"+-{(high - low) / middle:.0%}"
        print(f"{name:34} {pairs / 1e9:7.2f} G pairs/s  {middle / base:8.2f} x the time  {spread}")
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
