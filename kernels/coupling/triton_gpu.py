"""Coupling flows on CUDA through Triton: one launch for all blocks; layout, launch settings, limits."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import triton
from torch import Tensor
from triton.runtime.errors import OutOfResources

from fastinv.kernels.coupling import triton_kernels
from fastinv.kernels.coupling.block import Array, Block, Layers, check_activation, check_blocks

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

# tl.dot multiplies in steps of 16; a product of inputs has to fit into shared memory.
_STEP, _MOST_INPUTS, _WIDEST = 16, 128, 1024
# Floats of a tile's activations that a warp holds in registers.
_PER_WARP = 64 * 32


@dataclass(frozen=True)
class Launch:
    """One way to launch the program: rows per tile, features per step, warps, stages, how float32 multiplies.

    Attributes:
        precision: "tf32x3" multiplies on tensor cores in three parts and rounds hardly more than float32;
            "ieee" multiplies in float32.
    """

    rows: int
    chunk: int
    warps: int
    stages: int
    precision: str

    def options(self) -> dict[str, Any]:
        """What a launch passes on to the compiler, which the interpreter has no use for."""
        if INTERPRETED:
            return {}
        return {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": True}


# Few rows leave multiprocessors idle; with many, a tile's traffic of weights counts.
FEW, FEW_ROWS = (
    (Launch(16, 32, 4, 2, "tf32x3"), Launch(16, 16, 8, 2, "tf32x3"), Launch(16, 16, 8, 2, "ieee")),
    8192,
)
MANY = (Launch(32, 16, 8, 2, "tf32x3"), Launch(64, 16, 8, 2, "tf32x3"))
_chosen: dict[tuple[object, ...], Launch] = {}


@dataclass(frozen=True)
class _Sizes:
    """Sizes of the padded matrices: inputs of a network, features of a layer; hidden layers; widest layer."""

    dim: int
    dim_c: int
    inputs: int
    wide: int
    hidden: int
    widest: int

    @property
    def own(self) -> int:
        """Coordinates of the larger half."""
        return self.dim - self.dim // 2


@dataclass
class _Layout:
    """Collects matrices, padded with zeros, in the order in which the program reads them."""

    sizes: _Sizes
    floats: list[Array] = field(default_factory=list)
    inner: list[Array] = field(default_factory=list)

    def net(self, layers: Layers, given: slice, own: slice) -> None:
        """A network that sees the coordinates `given` and the condition, and transforms `own`."""
        s = self.sizes
        (weight, _), *between, (last, last_bias) = layers
        first = np.zeros((s.inputs, s.wide), np.float32)
        half = given.stop - given.start
        first[given, : len(weight)] = weight[:, :half].T
        first[s.dim : s.dim + s.dim_c, : len(weight)] = weight[:, half:].T
        self.floats.append(first)
        self.floats += [_padded(bias, (s.wide,)) for _, bias in layers[:-1]]
        self.inner += [_padded(w.T, (s.wide, s.wide)) for w, _ in between]
        for w, bias in zip(np.split(last, 2), np.split(last_bias, 2), strict=True):
            biases = np.zeros(s.inputs, np.float32)
            biases[own] = bias
            self.floats.append(biases)
            self.inner.append(_padded(w, (s.own, s.wide)))

    def mixing(self, q: Array) -> None:
        """A block's orthogonal map, which leaves the condition as it is."""
        matrix = np.eye(self.sizes.inputs, dtype=np.float32)
        matrix[: len(q), : len(q)] = q
        self.floats.append(matrix)


class CouplingInverse:
    """The inverse of a flow of affine coupling blocks whose weights are copied and laid out once.

    Whether the machine can serve it says `serving.why_not_in_triton`.

    Args:
        blocks: in the order of x -> z.
        dim: coordinates of x, at least 2.
        dim_c: coordinates of the condition.
        clamp: bound of the log-scales, see `fastinv.models.layers.coupling.soft_clamp`.
        activation: "silu" or "relu", between any two layers.
        bf16: round weights and activations of inner layers to bfloat16; their sums, the first layers and all
            coordinates stay in float32.
        device: a CUDA device; the CPU in Triton's interpreter.

    Raises:
        ValueError: sizes that do not fit each other or are too large, or another activation.
    """

    def __init__(
        self,
        blocks: Sequence[Block],
        *,
        dim: int,
        dim_c: int,
        clamp: float,
        activation: str,
        bf16: bool,
        device: torch.device | str,
    ) -> None:
        check_activation(activation)
        if dim < 2:
            raise ValueError(f"a flow has at least 2 coordinates, got {dim}")
        check_blocks(blocks, dim, dim_c)
        self._sizes = _sizes(blocks, dim, dim_c)
        layout = _Layout(self._sizes)
        a = dim // 2
        for block in reversed(blocks):
            layout.net(block.net_b, slice(0, a), slice(a, dim))
            layout.net(block.net_a, slice(a, dim), slice(0, a))
            layout.mixing(block.mixing)
        self._floats = _flat(layout.floats).to(device)
        self._inner = _flat(layout.inner).to(device, torch.bfloat16 if bf16 else torch.float32)
        self._blocks, self._outer, self._silu = len(blocks), 2.0 * clamp / math.pi, activation == "silu"

    def __call__(self, z: Tensor, c: Tensor) -> Tensor:
        """x of z, shape (N, dim), and c, shape (N, dim_c), float32 on the device.

        Raises:
            ValueError: another shape, type or device.
        """
        self._check(z, c)
        z, c = z.contiguous(), c.contiguous()
        x = torch.empty_like(z)
        if len(z):
            self._launch(z, c, x, self._tuned(z, c))
        return x

    def _check(self, z: Tensor, c: Tensor) -> None:
        for name, t, columns in (("z", z, self._sizes.dim), ("c", c, self._sizes.dim_c)):
            if t.shape != (len(z), columns):
                raise ValueError(f"{name} must have shape ({len(z)}, {columns}), got {tuple(t.shape)}")
            if t.dtype != torch.float32 or t.device != self._floats.device:
                raise ValueError(
                    f"{name} must be float32 on {self._floats.device}, got {t.dtype} on {t.device}"
                )

    def _launch(self, z: Tensor, c: Tensor, x: Tensor, launch: Launch) -> None:
        s = self._sizes
        tiles = triton.cdiv(len(z), launch.rows)
        deep, chunk = s.hidden > 2, min(launch.chunk, s.wide)
        scratch = torch.empty(tiles * launch.rows * s.wide if deep else 1, device=z.device)
        triton_kernels.invert[(tiles,)](
            z, c, x, scratch, self._floats, self._inner, len(z), self._blocks,
            triton.cdiv(s.widest, chunk) * chunk, self._outer,
            DIM=s.dim, DIM_C=s.dim_c, OWN=s.own, IN=s.inputs, WIDE=s.wide, HIDDEN=s.hidden, SILU=self._silu,
            UPCAST=INTERPRETED, ROWS=launch.rows, CHUNK=chunk, PRECISION=launch.precision,
            **launch.options(),
        )  # fmt: skip

    def _key(self, rows: int) -> tuple[object, ...]:
        """Calls with the same key share their launch settings."""
        size = math.ceil(math.log2(rows))
        return (self._sizes, self._silu, self._inner.dtype, self._floats.device, size)

    def _candidates(self, rows: int) -> list[Launch]:
        """Launches whose activations fit into registers."""
        wide = self._sizes.wide
        launches = FEW if rows <= FEW_ROWS else MANY
        return [n for n in launches if n.rows * wide <= _PER_WARP * n.warps] or [FEW[1]]

    def _tuned(self, z: Tensor, c: Tensor) -> Launch:
        """The fastest launch for these sizes, timed at their first use; not while a graph is captured."""
        if INTERPRETED:
            return Launch(128, 32, 4, 1, "ieee")
        key, candidates = self._key(len(z)), self._candidates(len(z))
        if key not in _chosen:
            if torch.cuda.is_current_stream_capturing():
                return candidates[0]
            times = {launch: self._milliseconds(z, c, launch) for launch in candidates}
            _chosen[key] = min(times, key=lambda launch: times[launch])
        return _chosen[key]

    def _milliseconds(self, z: Tensor, c: Tensor, launch: Launch) -> float:
        x = torch.empty_like(z)
        try:
            found = triton.testing.do_bench(lambda: self._launch(z, c, x, launch), 5, 20)
        except OutOfResources:
            return math.inf  # a small GPU; where no launch fits, the first one says so
        return float(found)


def _sizes(blocks: Sequence[Block], dim: int, dim_c: int) -> _Sizes:
    nets = [net for block in blocks for net in (block.net_a, block.net_b)]
    depths = {len(net) - 1 for net in nets} or {1}
    if len(depths) > 1:
        raise ValueError(
            f"all networks must have the same number of layers, got {sorted(depths)} hidden ones"
        )
    widest = max((len(bias) for net in nets for _, bias in net[:-1]), default=1)
    inputs = max(_STEP, triton.next_power_of_2(dim + dim_c))
    wide = max(_STEP, triton.next_power_of_2(widest))
    if inputs > _MOST_INPUTS:
        raise ValueError(
            f"at most {_MOST_INPUTS} coordinates and conditions are fused on a GPU, got {dim} and {dim_c}"
        )
    if wide > _WIDEST:
        raise ValueError(f"layers of at most {_WIDEST} features are fused on a GPU, got {widest}")
    return _Sizes(dim, dim_c, inputs, wide, depths.pop(), widest)


def _padded(array: Array, shape: tuple[int, ...]) -> Array:
    result = np.zeros(shape, np.float32)
    result[tuple(slice(size) for size in array.shape)] = array
    return result


def _flat(arrays: list[Array]) -> Tensor:
    # A pointer has to point at something, even where a flow has no blocks.
    return torch.from_numpy(np.concatenate([a.ravel() for a in arrays] or [np.zeros(1, np.float32)]))
