"""Parts of models whose sampling is one call of compiled code.

The inverse of a coupling flow in C++ on a CPU and in Triton on a GPU; a mixture's samples in Numba on a CPU.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from fastinv.kernels.coupling.block import Array, Block
from fastinv.models.layers.coupling import Affine, CouplingFlow, MixedCoupling
from fastinv.models.layers.mixture import MixtureSampling

_ACTIVATIONS: dict[type[nn.Module], str] = {nn.SiLU: "silu", nn.ReLU: "relu"}

Inverse = Callable[[Tensor, Tensor], Tensor]


class FusedFlow(nn.Module):
    """The inverse of a coupling flow, without gradients.

    Args:
        flow: where the weights are copied from.
        bf16: let inner layers multiply in bfloat16.
        backend: "native" or "triton"; that of the weights' device if None.

    Raises:
        ValueError: this machine or this flow cannot be served; the message says why.
    """

    def __init__(self, flow: CouplingFlow, *, bf16: bool, backend: str | None = None) -> None:
        super().__init__()
        blocks = [cast(MixedCoupling, block) for block in flow.blocks]
        first = blocks[0].coupling
        if not isinstance(first.transform, Affine):
            raise ValueError("only affine couplings are fused")
        net_a = first.net_a
        activation = _ACTIVATIONS.get(type(net_a[1]))
        if activation is None:
            raise ValueError(f"only SiLU and ReLU are fused, not {type(net_a[1]).__name__}")
        device = cast(nn.Linear, net_a[0]).weight.device
        make = _MAKERS[backend or ("native" if device.type == "cpu" else "triton")]
        self._inverse = make(
            [
                Block(_layers(b.coupling.net_a), _layers(b.coupling.net_b), _array(b.mixing.matrix()))
                for b in blocks
            ],
            device,
            dim=sum(first.split),
            dim_c=cast(nn.Linear, net_a[0]).in_features - first.split[1],
            clamp=first.transform.clamp,
            activation=activation,
            bf16=bf16,
        )

    def inverse(self, z: Tensor, c: Tensor) -> Tensor:
        """As `CouplingFlow.inverse`, up to rounding."""
        return self._inverse(z, c)


class FusedMixture(nn.Module):
    """As `MixtureSampling`, up to rounding, on a CPU and without gradients."""

    def __init__(self, sampling: MixtureSampling) -> None:
        super().__init__()
        self.components, self.bounds = sampling.components, sampling.bounds

    def forward(self, outputs: Tensor, row: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        from fastinv.kernels.mixture.numba_cpu import draw

        mixtures = outputs.view(len(outputs), self.components, -1)
        arrays = (t.contiguous().numpy() for t in (mixtures, row, uniform.flatten(), normal))
        return torch.from_numpy(draw(*arrays, **self.bounds._asdict()))


def fused(module: nn.Module, *, bf16: bool = False, backend: str | None = None) -> nn.Module | None:
    """A copy of a module whose coupling flows and mixtures are fused; None where it contains none.

    Mixtures stay as they are in bfloat16 and on a GPU, where a graph of their operators serves.

    Args:
        module: left as it is.
        bf16: see `FusedFlow`.
        backend: see `FusedFlow`.

    Raises:
        ValueError: see `FusedFlow`.
    """
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    device = next((p.device.type for p in copied.parameters()), "cpu")
    mixtures = device == "cpu" and not bf16 and backend in (None, "numba")
    found = [
        (parent, name, child)
        for parent in copied.modules()
        for name, child in parent.named_children()
        if isinstance(child, CouplingFlow) or (mixtures and isinstance(child, MixtureSampling))
    ]
    for parent, name, child in found:
        if isinstance(child, CouplingFlow):
            setattr(parent, name, FusedFlow(child, bf16=bf16, backend=backend))
        else:
            setattr(parent, name, FusedMixture(child))
    return copied if found else None


def _native(blocks: Sequence[Block], device: torch.device, **how: Any) -> Inverse:
    from fastinv.kernels.coupling.native_cpu import CouplingInverse

    invert = CouplingInverse(blocks, **how)

    def inverse(z: Tensor, c: Tensor) -> Tensor:
        x = invert(z.contiguous().numpy(), c.contiguous().numpy(), threads=torch.get_num_threads())
        return torch.from_numpy(x)

    return inverse


def _triton(blocks: Sequence[Block], device: torch.device, **how: Any) -> Inverse:
    from fastinv.kernels.coupling.serving import why_not_in_triton

    if (reason := why_not_in_triton()) is not None:
        raise ValueError(reason)
    from fastinv.kernels.coupling.triton_gpu import CouplingInverse

    return CouplingInverse(blocks, device=device, **how)


_MAKERS: dict[str, Callable[..., Inverse]] = {"native": _native, "triton": _triton}


def _layers(net: nn.Module) -> list[tuple[Array, Array]]:
    linear = [layer for layer in net.modules() if isinstance(layer, nn.Linear)]
    return [(_array(layer.weight), _array(layer.bias)) for layer in linear]


def _array(tensor: Tensor) -> Array:
    array: Array = tensor.detach().float().cpu().contiguous().numpy()
    return array
