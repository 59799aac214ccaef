"""Checks and times MMD in Triton; `bench/gpu_kernels.py` calls it.

Pairs are counted as elsewhere: 3 n^2 per problem ("effective"), whatever symmetry saves.
"""

from __future__ import annotations

from typing import Any

import torch

from fastinv.kernels import Gaussian, mmd2, mmd2_terms

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


def check(device: str) -> list[dict[str, Any]]:
    """Every kernel on odd sizes, both dtypes, near the origin and far from it.

    Args:
        device: "cuda", or "cpu" for Triton's interpreter.
    """
    rows = []
    for dtype, limits in LIMITS.items():
        for n, m, d in SHAPES[device]:
            for shift in SHIFTS[device]:
                for name, kernel in [*KERNELS.items(), ("hint", "hint"), ("median", "median")]:
                    if name == "median" and n == 1:
                        continue
                    found = check_one(*samples(2, n, m, d, dtype, shift, device), kernel)
                    passed = found["error"] <= limits[0] and found["gradient_error"] <= limits[1]
                    shape = {"dtype": str(dtype), "n": n, "m": m, "d": d, "shift": shift, "kernel": name}
                    rows.append({**shape, **found, "passed": passed})
    return rows


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


def time_all() -> list[dict[str, Any]]:
    """Forward, and forward plus both gradients, over sizes of scoring and of training."""
    rows = []
    for batch, n, d in [
        (1000, 1000, 4),
        (1000, 4000, 4),
        (1, 20000, 4),
        (1, 1000, 4),
        (10000, 64, 4),
        (100, 1000, 16),
    ]:
        x, y = samples(batch, n, n, d, torch.float32)
        leaves = [t.clone().requires_grad_() for t in (x, y)]
        for name, kernel in KERNELS.items():
            forward = milliseconds(lambda x=x, y=y, kernel=kernel: mmd2(x, y, kernel=kernel))

            def step(leaves: Any = leaves, kernel: Any = kernel) -> None:
                torch.autograd.grad(mmd2(*leaves, kernel=kernel).sum(), leaves)

            both = milliseconds(step)
            median, median_both = forward[len(forward) // 2], both[len(both) // 2]
            rows.append(
                {
                    "batch": batch,
                    "n": n,
                    "d": d,
                    "kernel": name,
                    "forward_ms": forward,
                    "with_gradients_ms": both,
                    "effective_pairs_per_s": 3.0 * n * n * batch / (1e-3 * median),
                    "gradient_over_forward": median_both / median,
                }
            )
    return rows
