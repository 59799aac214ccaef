"""MMD on CUDA through Triton: packing, launch settings, reductions."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from fastinv.kernels.mmd import triton_kernels
from fastinv.kernels.mmd.kernel_functions import KernelSpec
from fastinv.kernels.mmd.plan import plan

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

_FAR = 8.0
_UNROLLED = 16


@dataclass(frozen=True)
class Launch:
    """One way to launch a program: tile sizes, column tiles per program, warps, pipeline stages."""

    rows: int
    columns: int
    tiles: int
    warps: int
    stages: int = 2

    def options(self) -> dict[str, Any]:
        """What a launch passes on to the compiler, which the interpreter has no use for."""
        if INTERPRETED:
            return {}
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}


SUM_LAUNCHES = (Launch(64, 64, 32, 4), Launch(32, 128, 16, 4), Launch(128, 64, 32, 8), Launch(32, 64, 32, 4))
PULL_LAUNCHES = (Launch(64, 64, 0, 4), Launch(32, 64, 0, 4), Launch(32, 128, 0, 4), Launch(128, 32, 0, 4))

# Launches and their milliseconds, the fastest first, by what they were tried for.
_tried: dict[tuple[object, ...], list[tuple[Launch, float]]] = {}


def _tuned(key: tuple[object, ...], candidates: Sequence[Launch], run: Callable[[Launch], object]) -> Launch:
    """The fastest launch for this key, timed at its first use; not while a CUDA graph is being captured."""
    if INTERPRETED:
        return Launch(16, 32, 4, 1)
    if len(candidates) == 1:
        return candidates[0]
    if key not in _tried:
        if torch.cuda.is_current_stream_capturing():
            return candidates[0]
        times = [
            (launch, triton.testing.do_bench(lambda launch=launch: run(launch), 5, 20))
            for launch in candidates
        ]
        _tried[key] = sorted(times, key=lambda tried: tried[1])
    return _tried[key][0][0]


def tried_launches(program: str) -> list[list[tuple[Launch, float]]]:
    """Launches of "sums", "rows" or "pulls" since `forget_launches`, with milliseconds, fastest first."""
    return [times for key, times in _tried.items() if key[0] == program]


def forget_launches() -> None:
    """Choose launches anew at their next use."""
    _tried.clear()


def packed_pair(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Packed copies, shapes (B, D, n) and (B, D, m), shifted as in pack.py, without synchronising."""
    low = torch.minimum(x.amin(1), y.amin(1))
    high = torch.maximum(x.amax(1), y.amax(1))
    far = torch.maximum(low.abs(), high.abs()) > _FAR * (high - low)
    shift = torch.where(far, low, torch.zeros_like(low))[:, None, :]
    return (x - shift).transpose(1, 2).contiguous(), (y - shift).transpose(1, 2).contiguous()


def _constants(spec: KernelSpec, dtype: torch.dtype) -> dict[str, Any]:
    """The plan as flat tuples of numbers, which Triton compiles in; `triton_kernels` names their columns."""
    chosen = plan(spec)
    fast = dtype == torch.float32 and not INTERPRETED
    flat: list[float] = []
    if chosen.family == "gaussian":
        rate = 0.0
        for start, squarings, weight in chosen.heads.tolist():
            rate = (start or rate) * 2.0**squarings
            flat += [start, int(squarings), weight, weight * rate]
        return {"GAUSSIAN": True, "HEADS": tuple(flat), "TAILS": (-1, 0.0, 0.0), "FAST": fast}
    # Triton knows no empty tuples: a term of no group stands for none.
    tails: list[float] = [-1, 0.0, 0.0]
    rows = iter(chosen.tails.tolist())
    for group, (rate, count, *coefficients) in enumerate(chosen.heads.tolist()):
        flat += [rate, *coefficients]
        for _ in range(int(count)):
            tails += [group, *next(rows)]
    return {"GAUSSIAN": False, "HEADS": tuple(flat), "TAILS": tuple(tails), "FAST": fast}


def _bucket(size: int) -> int:
    return math.ceil(math.log2(max(size, 1)))


def _mean(a: Tensor, b: Tensor, scale: Tensor, constants: dict[str, Any], *, same: bool) -> Tensor:
    batch, d, n = a.shape
    m = b.shape[2]
    pairs = n * (n - 1) // 2 if same else n * m
    if pairs == 0 or batch == 0:
        return torch.zeros(batch, dtype=torch.float64, device=a.device)

    def run(launch: Launch) -> Tensor:
        splits = triton.cdiv(triton.cdiv(m, launch.columns), launch.tiles)
        grid = (triton.cdiv(n, launch.rows) * splits, batch)
        partial = torch.empty((batch, grid[0]), dtype=torch.float64, device=a.device)
        settings = {"ROWS": launch.rows, "COLUMNS": launch.columns, "TILES": launch.tiles}
        triton_kernels.sums[grid](
            a, b, scale, partial, n, m, splits, D=d, UNROLL=d <= _UNROLLED, SAME=same,
            **settings, **constants, **launch.options(),
        )  # fmt: skip
        return partial

    key = ("sums", d, a.dtype, same, _bucket(n), _bucket(m), _bucket(batch), *constants.values())
    return run(_tuned(key, SUM_LAUNCHES, run)).sum(1) / pairs


def means(x: Tensor, y: Tensor, spec: KernelSpec, scale: Tensor, parts: tuple[bool, bool, bool]) -> Tensor:
    """Mean kernel values, float64, shape (B, 3); see `reference.means`."""
    a, b = packed_pair(x, y)
    return _all_means(a, b, scale, _constants(spec, x.dtype), parts)


def _all_means(
    a: Tensor, b: Tensor, scale: Tensor, constants: dict[str, Any], parts: tuple[bool, bool, bool]
) -> Tensor:
    nothing = torch.zeros(a.shape[0], dtype=torch.float64, device=a.device)
    pairs = ((a, a, True), (b, b, True), (a, b, False))
    return torch.stack(
        [
            _mean(p, q, scale, constants, same=same) if part else nothing
            for part, (p, q, same) in zip(parts, pairs, strict=True)
        ],
        dim=1,
    )


def row_means(points: Tensor, y: Tensor, spec: KernelSpec, scale: Tensor) -> Tensor:
    """Mean of k over y at each point, float64, shape (B, points); see `reference.row_means`."""
    a, b = packed_pair(points, y)
    constants = _constants(spec, points.dtype)
    batch, d, n = a.shape
    m = b.shape[2]

    def run(launch: Launch) -> Tensor:
        splits = triton.cdiv(triton.cdiv(m, launch.columns), launch.tiles)
        grid = (triton.cdiv(n, launch.rows) * splits, batch)
        partial = torch.empty((batch, splits, n), dtype=torch.float64, device=a.device)
        settings = {"ROWS": launch.rows, "COLUMNS": launch.columns, "TILES": launch.tiles}
        triton_kernels.row_sums[grid](
            a, b, scale, partial, n, m, splits, D=d, UNROLL=d <= _UNROLLED,
            **settings, **constants, **launch.options(),
        )  # fmt: skip
        return partial

    if batch == 0:
        return torch.zeros((0, n), dtype=torch.float64, device=a.device)
    key = ("rows", d, a.dtype, _bucket(n), _bucket(m), _bucket(batch), *constants.values())
    return run(_tuned(key, SUM_LAUNCHES, run)).sum(1) / m


def _pull(
    gradient: Tensor, a: Tensor, b: Tensor, scale: Tensor, constants: dict[str, Any], weight: float
) -> None:
    batch, d, n = a.shape
    m = b.shape[2]
    if constants["GAUSSIAN"]:
        weight *= math.log(2.0)

    def run(launch: Launch, target: Tensor = gradient) -> None:
        grid = (triton.cdiv(n, launch.rows), batch)
        triton_kernels.pulls[grid](
            a, b, scale, target, n, m, weight, D=d, UNROLL=d <= _UNROLLED, PADDED=triton.next_power_of_2(d),
            ROWS=launch.rows, COLUMNS=launch.columns, **constants,
            **launch.options(),
        )  # fmt: skip

    key = ("pulls", d, a.dtype, _bucket(n), _bucket(m), _bucket(batch), *constants.values())
    run(_tuned(key, PULL_LAUNCHES, lambda launch: run(launch, torch.empty_like(gradient))))


def means_and_gradients(
    x: Tensor,
    y: Tensor,
    spec: KernelSpec,
    scale: Tensor,
    weights: tuple[float, float, float],
    needs: tuple[bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean kernel values and gradients of their weighted sum; see `reference.means_and_gradients`."""
    a, b = packed_pair(x, y)
    constants = _constants(spec, x.dtype)
    n, m = x.shape[1], y.shape[1]
    gradients = []
    for sample, need, own, other, weight in (
        (x, needs[0], a, b, weights[0]),
        (y, needs[1], b, a, weights[1]),
    ):
        size = sample.shape[1]
        shape = sample.shape if need else (sample.shape[0], 0, sample.shape[2])
        gradient = torch.zeros(shape, dtype=sample.dtype, device=sample.device)
        if need and gradient.numel() > 0:
            if size > 1 and weight != 0.0:
                _pull(gradient, own, own, scale, constants, 2.0 * weight / (size * (size - 1)))
            _pull(gradient, own, other, scale, constants, weights[2] / (n * m))
        gradients.append(gradient)
    parts = (weights[0] != 0.0, weights[1] != 0.0, weights[2] != 0.0)
    return _all_means(a, b, scale, constants, parts), gradients[0], gradients[1]


def median_squared_distance(x: Tensor, y: Tensor) -> Tensor:
    """Squared median distance of each pooled sample, float64, shape (B,); nothing synchronises.

    The bits of non-negative floats are ordered as the floats are: the k-th smallest squared distance is built
    from its highest bit down by counting the distances below, a block of rows at a time.
    """
    pooled = torch.cat(packed_pair(x, y), dim=2)
    pairs = pooled.shape[2] * (pooled.shape[2] - 1) // 2
    ranks = torch.tensor([(pairs - 1) // 2, pairs // 2], device=x.device)
    kind, bits = (torch.int32, 31) if x.dtype == torch.float32 else (torch.int64, 63)
    found = torch.zeros((2, pooled.shape[0]), dtype=kind, device=x.device)
    for bit in reversed(range(bits)):
        trial = found + (1 << bit)
        below = _count_below(pooled, trial.view(x.dtype))
        found = torch.where(below <= ranks[:, None], trial, found)
    return (0.5 * found.view(x.dtype).double().sqrt().sum(0)).square()


def _count_below(pooled: Tensor, thresholds: Tensor) -> Tensor:
    """How many pairs i < j of each problem have a squared distance below each threshold."""
    batch, d, size = pooled.shape
    counts = torch.zeros(thresholds.shape, dtype=torch.int64, device=pooled.device)
    step = max(1, (1 << 24) // max(1, batch * size))
    for start in range(0, size, step):
        rows = pooled[:, :, start : start + step]
        d2 = torch.zeros((batch, rows.shape[2], size - start), dtype=pooled.dtype, device=pooled.device)
        for k in range(d):
            d2 += (rows[:, k, :, None] - pooled[:, k, None, start:]).square_()
        later = torch.ones(d2.shape[1:], dtype=torch.bool, device=pooled.device).triu_(1)
        for c, threshold in enumerate(thresholds):
            counts[c] += ((d2 < threshold[:, None, None]) & later).sum((1, 2))
    return counts
