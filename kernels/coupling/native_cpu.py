"""Coupling flows in C++: rows stay in cache from a flow's first layer to its last (AVX-512)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastinv.kernels.backends import native_module
from fastinv.kernels.coupling.block import Array, Block, check_activation


def why_not(*, bf16: bool) -> str | None:
    """Why this machine cannot invert flows in C++, None where it can.

    Args:
        bf16: whether inner layers are to multiply in bfloat16.
    """
    module = native_module()
    if module is None or not hasattr(module, "coupling_supported"):
        return "needs the C++ extension, which was not built at install (see fastinv doctor)"
    if not module.coupling_supported(bf16):
        return "needs a CPU with AVX-512" + (" and its bfloat16 instructions" if bf16 else "")
    return None


class CouplingInverse:
    """The inverse of a flow of affine coupling blocks whose weights are copied and laid out once.

    Args:
        blocks: in the order of x -> z.
        dim: coordinates of x, 2 to 64.
        dim_c: coordinates of the condition.
        clamp: bound of the log-scales, see `fastinv.models.layers.coupling.soft_clamp`.
        activation: "silu" or "relu", between any two layers.
        bf16: round weights and activations of inner layers to bfloat16; their sums, the first layers and all
            coordinates stay in float32.

    Raises:
        ValueError: sizes that do not fit each other, another activation, or a machine that lacks it.
    """

    def __init__(
        self, blocks: Sequence[Block], *, dim: int, dim_c: int, clamp: float, activation: str, bf16: bool
    ) -> None:
        if (reason := why_not(bf16=bf16)) is not None:
            raise ValueError(reason)
        check_activation(activation)
        self._flow: Any = native_module().PackedFlow(dim, dim_c, clamp, activation == "silu", bf16)  # type: ignore[union-attr]
        for block in blocks:
            self._flow.add(list(block.net_a), list(block.net_b), block.mixing)

    def __call__(self, z: Array, c: Array, *, threads: int) -> Array:
        """x of z, shape (N, dim), and c, shape (N, dim_c), both C-contiguous, on at most so many threads."""
        x = np.empty_like(z)
        self._flow.invert(z, c, x, threads)
        return x
