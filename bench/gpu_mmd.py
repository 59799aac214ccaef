"""Checks and times MMD in Triton; `bench/gpu_kernels.py` calls it.

Every check uses one way to launch the programs, another one from case to case: so all are checked, and each
case is compiled once. Pairs are counted as elsewhere: 3 n^2 per problem ("effective"), whatever symmetry
saves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fastinv.kernels import Gaussian, mmd2, mmd2_terms
from fastinv.kernels.mmd import triton_gpu

KERNELS: dict[str, Any] = {"gaussian": Gaussian(1.0), "octaves": Gaussian(0.5, 1.0, 2.0), "paper": "paper"}
# Largest errors: means relative to k(0), gradients relative to their largest entry.
LIMITS = {torch.float32: (2e-6, 5e-5), torch.float64: (1e-13, 1e-10)}
# Odd sizes (n, m, d) near the origin and far from it; in Triton's interpreter on a CPU every launch is slow.
SHAPES = {
    "cuda": [(1, 1, 1), (63, 70, 3), (1000, 129, 4), (257, 300, 17), (64, 64, 128)],
    "cpu": [(1, 1, 1), (5, 18, 3), (17, 7, 17)],
}
SHIFTS = {"cuda": (0.0, 1000.0), "cpu": (1000.0,)}


def samples(
    batch: int, n: int, m: int, d: int, dtype: torch.dtype, shift: float = 0.0, device: str = "cuda"
) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(n + m + d)
    x = torch.randn(batch, n, d, generator=generator, dtype=torch.float64) + shift
    y = 0.8 * torch.randn(batch, m, d, generator=generator, dtype=torch.float64) + 0.2 + shift
    return x.to(device, dtype), y.to(device, dtype)


def check_one(x: torch.Tensor, y: torch.Tensor, kernel: Any) -> dict[str, float]:
    """Errors of the means and of the gradients against the float64 reference on the CPU."""
    got, want = (
        mmd2_terms(x, y, kernel=kernel, backend="triton"),
        mmd2_terms(x.cpu(), y.cpu(), kernel=kernel, backend="reference"),
    )
    error = max(
        (getattr(got, part).cpu() - getattr(want, part)).abs().max().item() / want.k0
        for part in ("xx", "yy", "xy")
    )
    gradient_error = 0.0
    inputs = [t.detach().clone().requires_grad_() for t in (x, y)]
    hosts = [t.detach().cpu().requires_grad_() for t in (x, y)]
    for g, w in zip(
        torch.autograd.grad(mmd2(*inputs, kernel=kernel, backend="triton").sum(), inputs),
        torch.autograd.grad(mmd2(*hosts, kernel=kernel, backend="reference").sum(), hosts),
        strict=True,
    ):
        gradient_error = max(
            gradient_error, ((g.cpu() - w).abs().max() / w.abs().max().clamp_min(1e-300)).item()
        )
    return {"error": error, "gradient_error": gradient_error}


def cases(device: str) -> list[dict[str, Any]]:
    """Every kernel on odd sizes, both dtypes, near the origin and far from it.

    Args:
        device: "cuda", or "cpu" for Triton's interpreter.
    """
    found = [
        {"dtype": str(dtype), "n": n, "m": m, "d": d, "shift": shift, "kernel": name}
        for dtype in LIMITS
        for n, m, d in SHAPES[device]
        for shift in SHIFTS[device]
        for name in [*KERNELS, "hint", "median"]
        if name != "median" or n > 1
    ]
    return [
        {**case, "launch": i % len(triton_gpu.SUM_LAUNCHES), "device": device} for i, case in enumerate(found)
    ]


def check(case: dict[str, Any]) -> dict[str, Any]:
    """Errors of one of the `cases`, and whether they are within the limits."""
    dtype = next(dtype for dtype in LIMITS if str(dtype) == case["dtype"])
    kernel = KERNELS.get(case["kernel"], case["kernel"])
    with only_launch(case["launch"]):
        x, y = samples(2, case["n"], case["m"], case["d"], dtype, case["shift"], case["device"])
        found = check_one(x, y, kernel)
    errors = (found["error"], found["gradient_error"])
    passed = all(error <= limit for error, limit in zip(errors, LIMITS[dtype], strict=True))
    return {**case, **found, "passed": passed}


@contextmanager
def only_launch(index: int) -> Iterator[None]:
    """Launch the programs in this one of their ways."""
    before = triton_gpu.SUM_LAUNCHES, triton_gpu.PULL_LAUNCHES
    triton_gpu.SUM_LAUNCHES, triton_gpu.PULL_LAUNCHES = (before[0][index],), (before[1][index],)
    try:
        yield
    finally:
        triton_gpu.SUM_LAUNCHES, triton_gpu.PULL_LAUNCHES = before


def milliseconds(call: Any, repeats: int = 10) -> list[float]:
    """Times of single calls by CUDA events, after a warm-up that also tunes the launch settings."""
    call()
    call()
    times = []
    for _ in range(repeats):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop))
    return sorted(times)


TIMED = [
    {"batch": batch, "n": n, "d": d, "kernel": kernel}
    for batch, n, d in [
        (1000, 1000, 4),
        (1000, 4000, 4),
        (1, 20000, 4),
        (1, 1000, 4),
        (10000, 64, 4),
        (100, 1000, 16),
    ]
    for kernel in KERNELS
]


def calls(case: dict[str, Any]) -> tuple[Any, Any]:
    """Forward, and forward plus both gradients, at a size of scoring or of training."""
    kernel = KERNELS[case["kernel"]]
    x, y = samples(case["batch"], case["n"], case["n"], case["d"], torch.float32)
    leaves = [t.clone().requires_grad_() for t in (x, y)]

    def step() -> None:
        torch.autograd.grad(mmd2(*leaves, kernel=kernel).sum(), leaves)

    return (lambda: mmd2(x, y, kernel=kernel)), step


def warm(case: dict[str, Any]) -> None:
    """Compile what a timing needs, in any process: Triton keeps its programs on disk."""
    for call in calls(case):
        call()


def time_one(case: dict[str, Any]) -> dict[str, Any]:
    """Times of one of the `TIMED`, and the launches that were chosen for it."""
    triton_gpu.forget_launches()
    forward, step = (milliseconds(call) for call in calls(case))
    median, median_both = forward[len(forward) // 2], step[len(step) // 2]
    return {
        **case,
        "forward_ms": forward,
        "with_gradients_ms": step,
        "effective_pairs_per_s": 3.0 * case["n"] ** 2 * case["batch"] / (1e-3 * median),
        "gradient_over_forward": median_both / median,
        "launches_ms": {program: tried(program) for program in ("sums", "pulls")},
    }


def tried(program: str) -> list[dict[str, float]]:
    """Milliseconds of each way to launch a program, by rows x columns, tiles and warps."""
    return [
        {f"{w.rows}x{w.columns}, {w.tiles} tiles, {w.warps} warps": ms for w, ms in times}
        for times in triton_gpu.tried_launches(program)
    ]
