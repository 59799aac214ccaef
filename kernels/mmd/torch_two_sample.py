"""Witness function and permutation test where CUDA tensors lie; nothing is copied to the host."""

from __future__ import annotations

import torch
from torch import Tensor

from fastinv.kernels.mmd import torch_op
from fastinv.kernels.mmd.arrays import Samples
from fastinv.kernels.mmd.kernel_functions import Kernel, KernelSpec, MedianHeuristic

_BLOCK_VALUES = 1 << 24


def scales(samples: Samples, kernel: Kernel, backend: str = "auto") -> Tensor:
    """Factor on squared distances for each problem, float64, shape (B,)."""
    spec, x, y = kernel.spec(), samples.x.detach(), samples.y.detach()
    if isinstance(kernel, MedianHeuristic):
        squared: Tensor = torch_op.median_squared_distance(x, y, backend)
        return spec.scale / squared
    return torch.full((x.shape[0],), spec.scale, dtype=torch.float64, device=x.device)


def witness(pairs: tuple[Samples, Samples], kernel: Kernel, scale: Tensor) -> Tensor:
    """Mean of k over the first pair's sample less that over the second's, by Triton.

    Args:
        pairs: (points, x) and (points, y), each of shapes (B, p, d) and (B, n, d).
        kernel: the kernel.
        scale: factor on squared distances, shape (B,) or (1,).

    Returns:
        Shape (B, p), float64.
    """
    from fastinv.kernels.mmd import triton_gpu

    over_x, over_y = (
        triton_gpu.row_means(p.x.detach(), p.y.detach(), kernel.spec(), scale.expand(len(p.x)).contiguous())
        for p in pairs
    )
    return over_x - over_y


def kernel_values(spec: KernelSpec, s: Tensor) -> Tensor:
    """Kernel values at scaled squared distances s, of the same shape."""
    values = torch.zeros_like(s)
    for weight, rate, power in spec.table.tolist():
        term = torch.exp2(-rate * s) if spec.family == "gaussian" else (1.0 + rate * s).pow_(-power)
        values.add_(term, alpha=weight)
    return values


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    total = torch.zeros((*a.shape[:2], b.shape[1]), dtype=a.dtype, device=a.device)
    for k in range(a.shape[2]):
        total += (a[:, :, None, k] - b[:, None, :, k]).square_()
    return total


def quadratic_forms(samples: Samples, labels: Tensor, kernel: Kernel) -> Tensor:
    """Biased MMD^2 of every relabelling of each pooled sample.

    Args:
        samples: tensors of shapes (B, n, d) and (B, m, d).
        labels: float64, shape (n + m, relabellings), on the samples' device: 1/n for members of x, -1/m for
            those of y.
        kernel: the kernel.

    Returns:
        Shape (B, relabellings), float64. The kernel matrix exists a block of rows at a time, and only its
        upper half.
    """
    scale = scales(samples, kernel)[:, None, None]
    pooled = torch.cat([samples.x.detach(), samples.y.detach()], dim=1).double()
    batch, size, _ = pooled.shape
    total = torch.zeros((batch, labels.shape[1]), dtype=torch.float64, device=pooled.device)
    step = max(1, _BLOCK_VALUES // (max(batch, 1) * max(size, labels.shape[1])))
    for start in range(0, size, step):
        rows = slice(start, start + step)
        s = _squared_distances(pooled[:, rows], pooled[:, start:]) * scale
        values = kernel_values(kernel.spec(), s)
        values[:, :, step:] *= 2.0
        total += ((values @ labels[start:]) * labels[rows]).sum(dim=1)
    return total
