"""Affine coupling blocks (RealNVP) with conditions, and the orthogonal maps that mix between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from fastinv.models.layers.mlp import hidden_widths, joined, mlp
from fastinv.models.layers.orthogonal import Orthogonal


def soft_clamp(s: Tensor, limit: float) -> Tensor:
    """Squeeze s smoothly into (-limit, limit), with slope 1 at 0."""
    return (2.0 * limit / math.pi) * torch.atan(s * (math.pi / (2.0 * limit)))


class AffineCoupling(nn.Module):
    """Both halves of x are scaled and shifted, one after the other, given the other half and a condition.

    Args:
        dim: coordinates of x, at least 2.
        dim_c: coordinates of the condition.
        widths: hidden layers of each of the two networks.
        clamp: bound of every log-scale.
        activation: of the hidden layers.
    """

    def __init__(self, dim: int, dim_c: int, widths: Sequence[int], clamp: float, activation: str) -> None:
        super().__init__()
        self.split = [dim // 2, dim - dim // 2]
        self.clamp = clamp
        a, b = self.split
        self.net_a = mlp(b + dim_c, widths, 2 * a, activation=activation, zero_last=True)
        self.net_b = mlp(a + dim_c, widths, 2 * b, activation=activation, zero_last=True)

    def _scale_shift(self, net: nn.Module, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        s, t = net(joined(x, c)).chunk(2, dim=-1)
        return soft_clamp(s, self.clamp), t

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, dim), c (N, dim_c) -> the transformed x and log|det J| per row."""
        a, b = torch.split(x, self.split, dim=-1)
        scale_a, shift_a = self._scale_shift(self.net_a, b, c)
        a = a * scale_a.exp() + shift_a
        scale_b, shift_b = self._scale_shift(self.net_b, a, c)
        b = b * scale_b.exp() + shift_b
        return torch.cat((a, b), dim=-1), scale_a.sum(-1) + scale_b.sum(-1)

    def inverse(self, x: Tensor, c: Tensor) -> Tensor:
        """The exact inverse of `forward`'s first result."""
        a, b = torch.split(x, self.split, dim=-1)
        scale_b, shift_b = self._scale_shift(self.net_b, a, c)
        b = (b - shift_b) * (-scale_b).exp()
        scale_a, shift_a = self._scale_shift(self.net_a, b, c)
        a = (a - shift_a) * (-scale_a).exp()
        return torch.cat((a, b), dim=-1)


class MixedCoupling(nn.Module):
    """An orthogonal map and the coupling block after it."""

    def __init__(self, mixing: Orthogonal, coupling: AffineCoupling) -> None:
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
        clamp: bound of every log-scale.
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
        clamp: float,
        activation: str,
        learned_mixing: bool,
    ) -> None:
        super().__init__()
        widths = hidden_widths(width, layers)
        self.blocks = nn.ModuleList(
            MixedCoupling(
                Orthogonal(dim, learned=learned_mixing),
                AffineCoupling(dim, dim_c, widths, clamp, activation),
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
