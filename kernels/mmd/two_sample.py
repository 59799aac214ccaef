"""Two samples under the same kernels: where they differ (witness), and whether (permutation test)."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels import backends
from fastinv.kernels.backends import is_torch_tensor
from fastinv.kernels.mmd import median, reference
from fastinv.kernels.mmd.arrays import Samples, as_samples, check_finite, check_pair
from fastinv.kernels.mmd.engines import CPU_BACKENDS
from fastinv.kernels.mmd.kernel_functions import Kernel, MedianHeuristic, resolve

Array = NDArray[Any]
Float64 = NDArray[np.float64]

# Kernel values of one block, and the least rows of one: smaller ones would skip more of the lower half of the
# kernel matrix, but leave the matrix product less to do at a time.
_BLOCK_VALUES = 1 << 19
_LEAST_ROWS = 64
_TIE = 1e-12
_ROW_MEANS = {"native": "native_cpu", "numba": "numba_rows", "reference": "reference"}


def _to_host(sample: Any) -> Array:
    return sample.detach().numpy() if is_torch_tensor(sample) else sample  # type: ignore[no-any-return]


def _like(values: Any, template: Any) -> Any:
    """Values as the template's kind: a tensor where it is one."""
    if not is_torch_tensor(template) or is_torch_tensor(values):
        return values
    import torch

    return torch.from_numpy(np.asarray(values))


def _check_values(*named: tuple[Any, str], device: str, check: bool) -> None:
    """Look for NaN and infinity: always on the CPU, on CUDA only if asked for, since that synchronises."""
    for sample, name in named:
        if device == "cpu":
            check_finite(_to_host(sample), name)
        elif check and not bool(sample.isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinity; all values must be finite")


def _scale(x: Array, y: Array, kernel: Kernel, backend: str) -> Float64:
    spec = kernel.spec()
    if isinstance(kernel, MedianHeuristic):
        return spec.scale / median.median_squared_distance(x, y, backend)
    return np.full(x.shape[0], spec.scale)


def witness(
    x: Any, y: Any, points: Any, *, kernel: str | Kernel = "paper", backend: str = "auto", check: bool = False
) -> Any:
    """Witness function of the MMD: the mean of k over x less that over y, at given points.

    Positive where x has more mass than y, negative where it has less. No matrix of pairs is stored.

    Args:
        x: samples, shape (n, d) or (B, n, d), float32 or float64.
        y: samples, shape (m, d) or (B, m, d).
        points: where to evaluate, shape (p, d) or (B, p, d).
        kernel: as in `mmd2`.
        backend: as in `mmd2`.
        check: as in `mmd2`; unchecked NaN and infinity make the values on CUDA NaN.

    Returns:
        float64, shape (p,) or (B, p), of the kind of x and on its device; carries no gradient.

    Raises:
        TypeError: as `mmd2`, for points too.
        ValueError: as `mmd2`, for points too.
        BackendUnavailable: if the back end asked for cannot serve.

    Examples:
        >>> x, y = np.zeros((10, 1)), np.ones((10, 1))
        >>> witness(x, y, np.array([[0.0], [0.5], [1.0]]), kernel="gaussian").round(4)
        array([ 0.3935,  0.    , -0.3935])
    """
    resolved, both, points = resolve(kernel), check_pair(x, y), as_samples(points, "points")
    pairs = tuple(check_pair(points, s, ("points", n)) for s, n in ((both.x, "x"), (both.y, "y")))
    _check_values((both.x, "x"), (both.y, "y"), (points, "points"), device=both.device, check=check)
    interpreted = both.tensor and both.device == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    serving: tuple[str, ...] = ("triton",) if both.device == "cuda" else CPU_BACKENDS
    if interpreted:
        serving = (*CPU_BACKENDS, "triton")
    name = backends.select(backend, device=both.device, serving=serving, operation="witness")
    if name == "triton":
        from fastinv.kernels.mmd import torch_two_sample

        scale = torch_two_sample.scales(both, resolved, name)
        difference: Any = torch_two_sample.witness((pairs[0], pairs[1]), resolved, scale)
    else:
        difference = _witness(both, (pairs[0], pairs[1]), resolved, name)
    batched = both.batched or points.ndim == 3
    return _like(difference if batched else difference[0], x)


def _witness(both: Samples, pairs: tuple[Samples, Samples], kernel: Kernel, name: str) -> Float64:
    scale = _scale(_to_host(both.x), _to_host(both.y), kernel, name)
    engine = importlib.import_module(f"fastinv.kernels.mmd.{_ROW_MEANS[name]}")
    means: list[Float64] = []
    for pair in pairs:
        points, sample = _to_host(pair.x), _to_host(pair.y)
        scales = np.ascontiguousarray(np.broadcast_to(scale, len(points)))
        means.append(engine.row_means(points, sample, kernel.spec(), scales))
    return means[0] - means[1]


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
    x: Any,
    y: Any,
    *,
    kernel: str | Kernel = "paper",
    permutations: int = 999,
    seed: int = 0,
    check: bool = False,
) -> PermutationTest:
    """Two-sample test: were x and y drawn from one distribution?

    The p-value (1 + number of random relabellings whose MMD^2 reaches the observed one) / (1 + permutations)
    is exact: under the null hypothesis it is at most a with probability at most a. That holds for the median
    heuristic too, since its bandwidth depends on the pooled sample only. Kernel values are computed once, a
    block of rows at a time, and serve all relabellings by one matrix product. Everything is float64, on the
    device of x; the relabellings depend on the seed and the sample sizes alone, not on the device.

    Args:
        x: samples, shape (n, d) or (B, n, d), float32 or float64.
        y: samples, shape (m, d) or (B, m, d).
        kernel: as in `mmd2`.
        permutations: number of random relabellings, at least 1.
        seed: seed of the relabellings; the same ones serve every problem of a batch.
        check: as in `mmd2`; unchecked NaN and infinity on CUDA make the statistic and the p-value NaN.

    Raises:
        TypeError: as `mmd2`.
        ValueError: as `mmd2`, and for permutations < 1.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> test = permutation_test(rng.normal(size=(50, 2)), 2.0 + rng.normal(size=(50, 2)))
        >>> float(test.p_value)
        0.001
    """
    if isinstance(permutations, bool) or not isinstance(permutations, int) or permutations < 1:
        raise ValueError(f"permutations must be an integer of at least 1, got {permutations!r}")
    samples, resolved = check_pair(x, y), resolve(kernel)
    forms: Any
    _check_values((samples.x, "x"), (samples.y, "y"), device=samples.device, check=check)
    labels = _relabellings(samples.x.shape[1], samples.y.shape[1], permutations, seed)
    if samples.device == "cuda":
        from fastinv.kernels.mmd import torch_two_sample

        forms = torch_two_sample.quadratic_forms(samples, _to_device(labels, samples.x), resolved)
    else:
        forms = _all_forms(samples, labels, resolved)
    statistic, p_value = _p_values(forms, _TIE * resolved.spec().at_zero)
    if not samples.batched:
        statistic, p_value = statistic[0], p_value[0]
    return PermutationTest(_like(statistic, x), _like(p_value, x), permutations)


def _to_device(labels: Float64, template: Any) -> Any:
    import torch

    return torch.from_numpy(labels).to(template.device)


def _p_values(forms: Any, tie: float) -> tuple[Any, Any]:
    """Statistic and p-value of each row of MMD^2 values, of which the first is the observed one.

    A value that is no number is below nothing; it makes the p-value NaN instead of 0.
    """
    statistic = forms[:, 0]
    reached = (forms >= statistic[:, None] - tie).sum(1)
    return statistic, (reached + 0.0 * statistic) / forms.shape[1]


def _relabellings(n: int, m: int, permutations: int, seed: int) -> Float64:
    """Columns 1/n for members of x and -1/m for those of y; the first column is the labelling as given."""
    given = np.concatenate([np.full(n, 1.0 / n), np.full(m, -1.0 / m)])
    rng = np.random.default_rng(seed)
    return np.stack([given, *(rng.permutation(given) for _ in range(permutations))], axis=1)


def _all_forms(samples: Samples, labels: Float64, kernel: Kernel) -> Float64:
    """Biased MMD^2 of every relabelling of each problem, shape (B, relabellings)."""
    xs, ys = _to_host(samples.x), _to_host(samples.y)
    name = backends.select("auto", device="cpu", serving=CPU_BACKENDS, operation="permutation_test")
    scale = _scale(xs, ys, kernel, name)
    forms = np.empty((len(scale), labels.shape[1]))
    for b, (own, other, factor) in enumerate(zip(xs, ys, scale, strict=True)):
        forms[b] = _quadratic_forms(np.concatenate([own, other]).astype(np.float64), labels, kernel, factor)
    return forms


def _quadratic_forms(pooled: Float64, labels: Float64, kernel: Kernel, scale: float) -> Float64:
    """s^T K s for each column s of the labels, its biased MMD^2.

    K exists one block of rows at a time, and only from the diagonal on: what lies right of the block's square
    on the diagonal counts for its mirror image too.
    """
    total = np.zeros(labels.shape[1])
    size = len(pooled)
    step = max(1, min(_BLOCK_VALUES // size, max(_LEAST_ROWS, size // 8)))
    for start in range(0, size, step):
        rows = slice(start, start + step)
        s = scale * reference.squared_distances(pooled[rows], pooled[start:])
        values = reference.kernel_values(kernel.spec(), s)
        values[:, step:] *= 2.0
        total += np.einsum("ip,ip->p", labels[rows], values @ labels[start:])
    return total
