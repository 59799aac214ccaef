"""Networks made ready for drawing samples on a CPU: weights laid out once, activations fused, or in bf16."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

# oneDNN's names of the activations that it applies while the product is still in registers.
_FUSED: dict[type[nn.Module], tuple[str, str]] = {
    nn.ReLU: ("relu", ""),
    nn.SiLU: ("swish", ""),
    nn.GELU: ("gelu", "tanh"),
    nn.Tanh: ("tanh", ""),
}
# Below this the library's fixed cost per call outweighs what it gains.
_SMALL = 64


def packing_is_possible() -> bool:
    """Whether this build of torch has oneDNN's linear layer with a weight in its own layout."""
    built: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return built and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class PackedLinear(nn.Module):
    """A linear layer in eval mode whose weight is in oneDNN's own layout.

    Args:
        layer: where weight and bias come from.
        activation: applied to the result, None for none.
        rows: number of rows that the layout is chosen for; any number works.
        dtype: of weight, input and result.
    """

    def __init__(self, layer: nn.Linear, activation: nn.Module | None, rows: int, dtype: torch.dtype) -> None:
        super().__init__()
        weight = layer.weight.detach().to(dtype).contiguous()
        # A buffer would be copied, cast or saved, none of which an opaque layout survives.
        self._weight: Any = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        self._bias = layer.bias.detach().to(dtype)
        self._post = ("none", "") if activation is None else _FUSED[type(activation)]

    def forward(self, x: Tensor) -> Tensor:
        operation, algorithm = self._post
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            x, self._weight, self._bias, operation, [], algorithm
        )
        return result


class Bf16MLP(nn.Module):
    """A network whose wide layers multiply in bfloat16, while its inputs and outputs stay in float32.

    The first layer stays in float32: it costs little, and rounding coordinates to eight bits would move
    every sample by as much.

    Args:
        net: linear layers and activations in turn, as `mlp` makes them.
        wide: makes a layer that takes and gives bfloat16 out of a linear one and the activation after it.
    """

    def __init__(self, net: nn.Sequential, wide: Callable[[nn.Linear, nn.Module | None], nn.Module]) -> None:
        super().__init__()
        first, *rest = pairs_of_layers(net)
        self.first = nn.Sequential(*(part for part in first if part is not None))
        self.rest = nn.Sequential(*(wide(linear, activation) for linear, activation in rest))

    def forward(self, x: Tensor) -> Tensor:
        h: Tensor = self.rest(self.first(x).bfloat16())
        return h.float()


def bf16_layer(layer: nn.Linear, activation: nn.Module | None) -> nn.Module:
    """The layer and its activation in bfloat16."""
    parts = [layer.bfloat16(), *([] if activation is None else [activation])]
    return nn.Sequential(*parts)


def pairs_of_layers(net: nn.Sequential) -> list[tuple[nn.Linear, nn.Module | None]]:
    """The linear layers of an `mlp`, each with the activation that follows it."""
    layers = list(net)
    pairs: list[tuple[nn.Linear, nn.Module | None]] = []
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.Linear):
            after = layers[i + 1] if i + 1 < len(layers) else None
            pairs.append((layer, after))
    return pairs


def _packed(net: nn.Sequential, rows: int, dtype: torch.dtype) -> nn.Module:
    def layer(linear: nn.Linear, activation: nn.Module | None) -> nn.Module:
        if min(linear.weight.shape) < _SMALL and dtype is torch.float32:
            return nn.Sequential(linear, *([] if activation is None else [activation]))
        if activation is None or type(activation) in _FUSED:
            return PackedLinear(linear, activation, rows, dtype)
        return nn.Sequential(PackedLinear(linear, None, rows, dtype), activation)

    if dtype is torch.bfloat16:
        return Bf16MLP(net, layer)
    return nn.Sequential(*(layer(linear, activation) for linear, activation in pairs_of_layers(net)))


def prepared(module: nn.Module, *, bf16: bool = False, packed: bool = False, rows: int = 1000) -> nn.Module:
    """A copy of a module whose feed-forward networks are made ready for drawing samples.

    Args:
        module: anything that contains networks made by `mlp`; left as it is.
        bf16: let wide layers multiply in bfloat16.
        packed: lay weights out for oneDNN and fuse activations (CPU only).
        rows: number of rows that layouts are chosen for.

    Returns:
        A copy in eval mode, without gradients; its `networks_prepared` says how many took part.
    """
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    dtype = torch.bfloat16 if bf16 else torch.float32
    count = 0
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if not (isinstance(child, nn.Sequential) and isinstance(child[0], nn.Linear)):
                continue
            net = _packed(child, rows, dtype) if packed else Bf16MLP(child, bf16_layer) if bf16 else child
            setattr(parent, name, net)
            count += 1
    copied.networks_prepared = count  # type: ignore[assignment]
    return copied
