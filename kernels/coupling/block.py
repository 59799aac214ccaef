"""What back ends are given: the blocks of a flow, as they are for x -> z."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Layers = Sequence[tuple[Array, Array]]

ACTIVATIONS = ("silu", "relu")
"""Activations that are applied between any two layers."""


@dataclass(frozen=True)
class Block:
    """One block, x -> coupling(Q x).

    Attributes:
        net_a: weights (outputs, inputs) and bias of each layer; the other half of x and the condition in,
            log-scales and then shifts of the first dim // 2 coordinates out.
        net_b: the same for the other coordinates, which are transformed last.
        mixing: Q, shape (dim, dim).
    """

    net_a: Layers
    net_b: Layers
    mixing: Array


def check_activation(activation: str) -> None:
    """Refuse activations that no back end has.

    Raises:
        ValueError: neither "silu" nor "relu".
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be 'silu' or 'relu', got {activation!r}")


def check_blocks(blocks: Sequence[Block], dim: int, dim_c: int) -> None:
    """Refuse sizes that do not fit each other; the C++ checks the same by itself.

    Raises:
        ValueError: what does not fit.
    """
    a = dim // 2
    b = dim - a
    for block in blocks:
        if block.mixing.shape != (dim, dim):
            raise ValueError(f"mixing must have shape ({dim}, {dim}), got {block.mixing.shape}")
        for net, given, own in ((block.net_a, b, a), (block.net_b, a, b)):
            if len(net) < 2:
                raise ValueError(f"a network has at least two layers, got {len(net)}")
            sizes = [given + dim_c]
            for weight, bias in net:
                if weight.shape[1] != sizes[-1] or bias.shape != (weight.shape[0],):
                    raise ValueError(
                        "layers must fit each other, the first one the other half of x and the condition: "
                        f"got weights {weight.shape} and bias {bias.shape} for {sizes[-1]} inputs"
                    )
                sizes.append(weight.shape[0])
            if sizes[-1] != 2 * own:
                raise ValueError(
                    f"a network must give a scale and a shift for each of {own} coordinates, got {sizes[-1]}"
                )
