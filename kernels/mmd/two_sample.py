"""Two samples under the same kernels: where they differ (witness), and whether (permutation test)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels import backends
from fastinv.kernels.backends import is_torch_tensor
from fastinv.kernels.mmd import median, reference
from fastinv.kernels.mmd.arrays import check_finite, check_pair
from fastinv.kernels.mmd.engines import CPU_BACKENDS
from fastinv.kernels.mmd.kernel_functions import Kernel, MedianHeuristic, resolve

Array = NDArray[Any]
Float64 = NDArray[np.float64]

_BLOCK_PAIRS = 1 << 19
_TIE = 1e-12


def _to_host(sample: Any) -> Array:
    return sample.detach().cpu().numpy() if is_torch_tensor(sample) else sample  # type: ignore[no-any-return]


def _like(values: Float64, template: Any) -> Any:
    """Values as the template's kind: a tensor on its device, or the array itself."""
    if not is_torch_tensor(template):
        return values
    import torch

    return torch.from_numpy(np.asarray(values)).to(template.device)


def _scale(x: Array, y: Array, kernel: Kernel, backend: str) -> Float64:
    spec = kernel.spec()
    if isinstance(kernel, MedianHeuristic):
        return spec.scale / median.median_squared_distance(x, y, backend)
    return np.full(x.shape[0], spec.scale)


def witness(x: Any, y: Any, points: Any, *, kernel: str | Kernel = "paper", backend: str = "auto") -> Any:
    """Witness function of the MMD: the mean of k over x less that over y, at given points.

    Positive where x has more mass than y, negative where it has less. CUDA tensors are evaluated on the CPU.

    Args:
        x: samples, shape (n, d) or (B, n, d), float32 or float64.
        y: samples, shape (m, d) or (B, m, d).
        points: where to evaluate, shape (p, d) or (B, p, d).
        kernel: as in `mmd2`.
        backend: "auto", "native" or "reference".

    Returns:
        float64, shape (p,) or (B, p), of the kind of x.

    Raises:
        TypeError: as `mmd2`, for points too.
        ValueError: as `mmd2`, for points too.
        BackendUnavailable: if the back end asked for cannot serve.

    Example:
        >>> x, y = np.zeros((10, 1)), np.ones((10, 1))
        >>> witness(x, y, np.array([[0.0], [0.5], [1.0]]), kernel="gaussian").round(4)
        array([ 0.3935,  0.    , -0.3935])
    """
    resolved, both = resolve(kernel), check_pair(x, y)
    pairs = [check_pair(points, sample, ("points", name)) for sample, name in ((x, "x"), (y, "y"))]
    for sample, argument in ((both.x, "x"), (both.y, "y"), (pairs[0].x, "points")):
        check_finite(_to_host(sample), argument)
    name = backends.select(backend, device="cpu", serving=("native", "reference"), operation="witness")
    scale = _scale(_to_host(both.x), _to_host(both.y), resolved, name)
    means = [_row_means(_to_host(p.x), _to_host(p.y), resolved, scale, name) for p in pairs]
    difference = means[0] - means[1]
    batched = any(p.batched for p in (both, *pairs))
    return _like(difference if batched else difference[0], x)


def _row_means(points: Array, sample: Array, kernel: Kernel, scale: Float64, name: str) -> Float64:
    scales = np.ascontiguousarray(np.broadcast_to(scale, len(points)))
    if name == "native":
        from fastinv.kernels.mmd import native_cpu

        return native_cpu.row_means(points, sample, kernel.spec(), scales)
    return reference.row_means(points, sample, kernel.spec(), scales)


@dataclass(frozen=True)
class PermutationTest:
    """Result of `permutation_test`.

    Attributes:
        statistic: biased MMD^2 of the samples as given, float64, shape (B,) or scalar.
        p_value: share of relabellings, the given one included, that reach the statistic.
        permutations: how many random relabellings were drawn.
    """

    statistic: Any
    p_value: Any
    permutations: int


def permutation_test(
    x: Any, y: Any, *, kernel: str | Kernel = "paper", permutations: int = 999, seed: int = 0
) -> PermutationTest:
    """Two-sample test: were x and y drawn from one distribution?

    The p-value (1 + number of random relabellings whose MMD^2 reaches the observed one) / (1 + permutations)
    is exact: under the null hypothesis it is at most a with probability at most a. That holds for the median
    heuristic too, since its bandwidth depends on the pooled sample only. Kernel values are computed once, a
    block of rows at a time, and serve all relabellings by one matrix product. Runs on the CPU in float64;
    tensors on CUDA are copied.

    Args:
        x: samples, shape (n, d) or (B, n, d), float32 or float64.
        y: samples, shape (m, d) or (B, m, d).
        kernel: as in `mmd2`.
        permutations: number of random relabellings, at least 1.
        seed: seed of the relabellings; the same ones serve every problem of a batch.

    Raises:
        TypeError: as `mmd2`.
        ValueError: as `mmd2`, and for permutations < 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> test = permutation_test(rng.normal(size=(50, 2)), 2.0 + rng.normal(size=(50, 2)))
        >>> float(test.p_value)
        0.001
    """
    if isinstance(permutations, bool) or not isinstance(permutations, int) or permutations < 1:
        raise ValueError(f"permutations must be an integer of at least 1, got {permutations!r}")
    samples, resolved = check_pair(x, y), resolve(kernel)
    xs, ys = _to_host(samples.x), _to_host(samples.y)
    check_finite(xs, "x")
    check_finite(ys, "y")
    name = backends.select("auto", device="cpu", serving=CPU_BACKENDS, operation="permutation_test")
    scale = _scale(xs, ys, resolved, name)
    signs = _relabellings(xs.shape[1], ys.shape[1], permutations, seed)
    pooled = np.concatenate([xs, ys], axis=1).astype(np.float64)
    forms = np.stack([_quadratic_forms(p, signs, resolved, s) for p, s in zip(pooled, scale, strict=True)])
    statistic = forms[:, 0]
    tie = _TIE * resolved.spec().at_zero
    p_value = (forms >= statistic[:, None] - tie).sum(axis=1) / (1.0 + permutations)
    if not samples.batched:
        statistic, p_value = statistic[0], p_value[0]
    return PermutationTest(_like(statistic, x), _like(p_value, x), permutations)


def _relabellings(n: int, m: int, permutations: int, seed: int) -> Float64:
    """Columns 1/n for members of x and -1/m for those of y; the first column is the labelling as given."""
    given = np.concatenate([np.full(n, 1.0 / n), np.full(m, -1.0 / m)])
    rng = np.random.default_rng(seed)
    return np.stack([given, *(rng.permutation(given) for _ in range(permutations))], axis=1)


def _quadratic_forms(pooled: Float64, signs: Float64, kernel: Kernel, scale: float) -> Float64:
    """s^T K s for each column s of the labels, its biased MMD^2; K exists one block of rows at a time."""
    total = np.zeros(signs.shape[1])
    step = max(1, _BLOCK_PAIRS // len(pooled))
    for start in range(0, len(pooled), step):
        difference = pooled[start : start + step, None, :] - pooled[None, :, :]
        values = reference.kernel_values(
            kernel.spec(), scale * np.einsum("ijk,ijk->ij", difference, difference)
        )
        total += np.einsum("ip,ip->p", signs[start : start + step], values @ signs)
    return total
