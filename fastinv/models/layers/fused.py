"""Coupling flows whose whole inverse is one call of compiled code, for drawing samples on a CPU."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from fastinv.kernels.coupling.native_cpu import Array, Block, CouplingInverse
from fastinv.models.layers.coupling import Affine, CouplingFlow, MixedCoupling

_ACTIVATIONS: dict[type[nn.Module], str] = {nn.SiLU: "silu", nn.ReLU: "relu"}


class FusedFlow(nn.Module):
    """The inverse of a coupling flow, without gradients.

    Args:
        flow: where the weights are copied from.
        bf16: let inner layers multiply in bfloat16.

    Raises:
        ValueError: this machine or this flow cannot be served; the message says why.
    """

    def __init__(self, flow: CouplingFlow, *, bf16: bool) -> None:
        super().__init__()
        blocks = [cast(MixedCoupling, block) for block in flow.blocks]
        first = blocks[0].coupling
        if not isinstance(first.transform, Affine):
            raise ValueError("only affine couplings are fused")
        net_a = first.net_a
        activation = _ACTIVATIONS.get(type(net_a[1]))
        if activation is None:
            raise ValueError(f"only SiLU and ReLU are fused, not {type(net_a[1]).__name__}")
        self._inverse = CouplingInverse(
            [
                Block(_layers(b.coupling.net_a), _layers(b.coupling.net_b), _array(b.mixing.matrix()))
                for b in blocks
            ],
            dim=sum(first.split),
            dim_c=cast(nn.Linear, net_a[0]).in_features - first.split[1],
            clamp=first.transform.clamp,
            activation=activation,
            bf16=bf16,
        )

    def inverse(self, z: Tensor, c: Tensor) -> Tensor:
        """As `CouplingFlow.inverse`, up to rounding."""
        x = self._inverse(z.contiguous().numpy(), c.contiguous().numpy(), threads=torch.get_num_threads())
        return torch.from_numpy(x)


def fused(module: nn.Module, *, bf16: bool = False) -> nn.Module | None:
    """A copy of a module whose coupling flows are fused; None where it contains none.

    Raises:
        ValueError: see `FusedFlow`.
    """
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    found = [
        (parent, name, child)
        for parent in copied.modules()
        for name, child in parent.named_children()
        if isinstance(child, CouplingFlow)
    ]
    for parent, name, flow in found:
        setattr(parent, name, FusedFlow(flow, bf16=bf16))
    return copied if found else None


def _layers(net: nn.Module) -> list[tuple[Array, Array]]:
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    return [(_array(layer.weight), _array(layer.bias)) for layer in linear]


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().float().contiguous().numpy()
    return array
