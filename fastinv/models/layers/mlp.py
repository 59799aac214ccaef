"""Fully connected networks whose width can be solved for in fine steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": lambda: nn.GELU(approximate="tanh"),
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}


def hidden_widths(width: float, layers: int) -> list[int]:
    """Widths of `layers` hidden layers that average `width`.

    A fractional width is spread: some layers get the integer below, the later ones the integer above. This
    makes steps in the number of parameters small enough to meet a small budget.

    Examples:
        >>> hidden_widths(16.5, 4)
        [16, 16, 17, 17]
    """
    return [int(width + i / layers + 1e-9) for i in range(layers)]


def mlp(
    inputs: int, widths: Sequence[int], outputs: int, *, activation: str = "relu", zero_last: bool = False
) -> nn.Sequential:
    """A feed-forward network.

    Args:
        inputs: input features.
        widths: sizes of the hidden layers.
        outputs: output features.
        activation: a key of `ACTIVATIONS`.
        zero_last: start with a last layer of zeros, so that the network's first output is 0.
    """
    layers: list[nn.Module] = []
    size = inputs
    for width in widths:
        layers += [nn.Linear(size, width), ACTIVATIONS[activation]()]
        size = width
    last = nn.Linear(size, outputs)
    if zero_last:
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def output_bias(net: nn.Sequential) -> Tensor:
    """The bias of a network's last layer."""
    last = net[-1]
    assert isinstance(last, nn.Linear)
    return last.bias


def joined(*parts: Tensor) -> Tensor:
    """Concatenate along the last axis, leaving out empty parts."""
    filled = [p for p in parts if p.shape[-1]]
    return filled[0] if len(filled) == 1 else torch.cat(filled, dim=-1)
