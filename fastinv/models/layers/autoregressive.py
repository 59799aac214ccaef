"""Autoregressive affine maps: coordinate i is scaled and shifted given the coordinates before it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fastinv.models.layers.coupling import soft_clamp
from fastinv.models.layers.mlp import joined, mlp


class Conditioners(nn.Module):
    """One network per coordinate, fed with the coordinates before it and a condition.

    In few dimensions this costs no more than one masked network, and it is triangular by construction: no
    mask can be wrong, and running it coordinate by coordinate costs no more than running it at once.

    Args:
        dim: coordinates.
        dim_c: coordinates of the condition.
        widths: hidden layers of each network.
        clamp: bound of every log-scale.
        activation: of the hidden layers.
    """

    def __init__(self, dim: int, dim_c: int, widths: Sequence[int], clamp: float, activation: str) -> None:
        super().__init__()
        self.dim, self.clamp = dim, clamp
        self.first = nn.Parameter(torch.zeros(2))
        start = 0 if dim_c else 1
        self.nets = nn.ModuleList(
            mlp(i + dim_c, widths, 2, activation=activation, zero_last=True) for i in range(start, dim)
        )

    def scale_shift(self, before: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Log-scale and shift, each (N,), of the coordinate after `before` (N, i)."""
        index = before.shape[1] - (self.dim - len(self.nets))
        if index < 0:
            outputs = self.first.expand(len(before), 2)
        else:
            outputs = self.nets[index](joined(before, c)) + (self.first if before.shape[1] == 0 else 0.0)
        return soft_clamp(outputs[:, 0], self.clamp), outputs[:, 1]


class MaskedAutoregressive(nn.Module):
    """MAF layer: out_i = (in_i - t_i) exp(-s_i), with s_i and t_i functions of the preceding INPUTS."""

    def __init__(self, conditioners: Conditioners) -> None:
        super().__init__()
        self.conditioners = conditioners

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, dim) -> image and log|det J| per row."""
        parts = [self.conditioners.scale_shift(x[:, :i], c) for i in range(x.shape[1])]
        scale = torch.stack([s for s, _ in parts], dim=1)
        shift = torch.stack([t for _, t in parts], dim=1)
        return (x - shift) * (-scale).exp(), -scale.sum(-1)

    def inverse(self, image: Tensor, c: Tensor) -> Tensor:
        """The exact inverse, coordinate by coordinate."""
        x = image[:, :0]
        for i in range(image.shape[1]):
            scale, shift = self.conditioners.scale_shift(x, c)
            x = torch.cat((x, (image[:, i] * scale.exp() + shift)[:, None]), dim=1)
        return x


class InverseAutoregressive(nn.Module):
    """IAF layer: out_i = in_i exp(s_i) + t_i, with s_i and t_i functions of the preceding OUTPUTS."""

    def __init__(self, conditioners: Conditioners) -> None:
        super().__init__()
        self.conditioners = conditioners

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, dim) -> image and log|det J| per row, coordinate by coordinate."""
        image, log_det = x[:, :0], x.new_zeros(len(x))
        for i in range(x.shape[1]):
            scale, shift = self.conditioners.scale_shift(image, c)
            image = torch.cat((image, (x[:, i] * scale.exp() + shift)[:, None]), dim=1)
            log_det = log_det + scale
        return image, log_det

    def inverse(self, image: Tensor, c: Tensor) -> Tensor:
        """The exact inverse, all coordinates at once."""
        parts = [self.conditioners.scale_shift(image[:, :i], c) for i in range(image.shape[1])]
        scale = torch.stack([s for s, _ in parts], dim=1)
        shift = torch.stack([t for _, t in parts], dim=1)
        return (image - shift) * (-scale).exp()
