"""Coupling blocks with conditions (RealNVP), and the orthogonal maps that mix between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from fastinv.models.layers.mlp import hidden_widths, joined, mlp
from fastinv.models.layers.orthogonal import Orthogonal


def soft_clamp(s: Tensor, limit: float) -> Tensor:
    """Squeeze s smoothly into (-limit, limit), with slope 1 at 0."""
    return (2.0 * limit / math.pi) * torch.atan(s * (math.pi / (2.0 * limit)))


class Transform(Protocol):
    """An invertible map of single coordinates whose parameters a network gives."""

    @property
    def outputs_per_coordinate(self) -> int:
        """Network outputs that one coordinate takes."""

    def forward(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, d), outputs (N, d * outputs_per_coordinate) -> image (N, d) and log|det J| (N,)."""

    def inverse(self, x: Tensor, outputs: Tensor) -> Tensor:
        """The exact inverse of `forward`'s first result."""


@dataclass(frozen=True)
class Affine:
    """x -> x exp(s) + t.

    Attributes:
        clamp: bound of the log-scale s.
    """

    clamp: float
    outputs_per_coordinate: int = 2

    def forward(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        scale, shift = outputs.chunk(2, dim=-1)
        scale = soft_clamp(scale, self.clamp)
        return x * scale.exp() + shift, scale.sum(-1)

    def inverse(self, x: Tensor, outputs: Tensor) -> Tensor:
        scale, shift = outputs.chunk(2, dim=-1)
        return (x - shift) * (-soft_clamp(scale, self.clamp)).exp()


class Coupling(nn.Module):
    """Both halves of x are transformed, one after the other, given the other half and a condition.

    Args:
        dim: coordinates of x, at least 2.
        dim_c: coordinates of the condition.
        widths: hidden layers of each of the two networks.
        transform: what is done to each coordinate.
        activation: of the hidden layers.
    """

    def __init__(
        self, dim: int, dim_c: int, widths: Sequence[int], transform: Transform, activation: str
    ) -> None:
        super().__init__()
        self.split = [dim // 2, dim - dim // 2]
        self.transform = transform
        a, b = self.split
        each = transform.outputs_per_coordinate
        self.net_a = mlp(b + dim_c, widths, each * a, activation=activation, zero_last=True)
        self.net_b = mlp(a + dim_c, widths, each * b, activation=activation, zero_last=True)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, dim), c (N, dim_c) -> the transformed x and log|det J| per row."""
        a, b = torch.split(x, self.split, dim=-1)
        a, log_det_a = self.transform.forward(a, self.net_a(joined(b, c)))
        b, log_det_b = self.transform.forward(b, self.net_b(joined(a, c)))
        return torch.cat((a, b), dim=-1), log_det_a + log_det_b

    def inverse(self, x: Tensor, c: Tensor) -> Tensor:
        """The exact inverse of `forward`'s first result."""
        a, b = torch.split(x, self.split, dim=-1)
        b = self.transform.inverse(b, self.net_b(joined(a, c)))
        a = self.transform.inverse(a, self.net_a(joined(b, c)))
        return torch.cat((a, b), dim=-1)


class MixedCoupling(nn.Module):
    """An orthogonal map and the coupling block after it."""

    def __init__(self, mixing: Orthogonal, coupling: Coupling) -> None:
        super().__init__()
        self.mixing, self.coupling = mixing, coupling

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        image, log_det = self.coupling(self.mixing(x), c)
        return image, log_det

    def inverse(self, x: Tensor, c: Tensor) -> Tensor:
        """The exact inverse of `forward`'s first result."""
        return self.mixing.inverse(self.coupling.inverse(x, c))


class CouplingFlow(nn.Module):
    """Coupling blocks with orthogonal maps in between: the body of INN and cINN.

    Args:
        dim: coordinates of x.
        dim_c: coordinates of the condition.
        blocks: number of coupling blocks.
        width: mean width of the hidden layers, see `hidden_widths`.
        layers: hidden layers per network.
        transform: what a coupling does to each coordinate.
        activation: of the hidden layers.
        learned_mixing: train the orthogonal maps; otherwise they stay at their random start.
    """

    def __init__(
        self,
        dim: int,
        dim_c: int,
        *,
        blocks: int,
        width: float,
        layers: int,
        transform: Transform,
        activation: str,
        learned_mixing: bool,
    ) -> None:
        super().__init__()
        widths = hidden_widths(width, layers)
        self.blocks = nn.ModuleList(
            MixedCoupling(
                Orthogonal(dim, learned=learned_mixing),
                Coupling(dim, dim_c, widths, transform, activation),
            )
            for _ in range(blocks)
        )

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, dim), c (N, dim_c) -> image of x and log|det J| per row."""
        log_det = x.new_zeros(x.shape[0])
        for block in self.blocks:
            x, term = block(x, c)
            log_det = log_det + term
        return x, log_det

    def inverse(self, z: Tensor, c: Tensor) -> Tensor:
        """The exact inverse of the map."""
        for block in reversed(self.blocks):
            z = cast(MixedCoupling, block).inverse(z, c)
        return z
