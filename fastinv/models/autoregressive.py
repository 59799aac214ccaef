"""IAF and MAF with a feed-forward decoder: equation (6)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from fastinv.models.bidirectional import Bidirectional, joint_log_density
from fastinv.models.family import Dims
from fastinv.models.layers.autoregressive import (
    Conditioners,
    InverseAutoregressive,
    MaskedAutoregressive,
)
from fastinv.models.layers.mlp import hidden_widths, joined, mlp
from fastinv.models.layers.orthogonal import Orthogonal
from fastinv.models.settings import AutoregressiveSettings
from fastinv.names import UnknownNameError

AutoregressiveLayer = type[MaskedAutoregressive] | type[InverseAutoregressive]


class AutoregressiveWithDecoder(Bidirectional):
    """A flow x -> [y, z] that is trained by maximum likelihood, and a free network for the way back.

    The flow's own inverse exists too: the setting `inverse = "exact"` samples with it, so that the price of
    the learned inverse can be read off.
    """

    layer: AutoregressiveLayer

    def __init__(self, dims: Dims, width: float, settings: AutoregressiveSettings) -> None:
        super().__init__()
        if settings.inverse not in ("decoder", "exact"):
            raise UnknownNameError("setting of inverse", settings.inverse, ("decoder", "exact"))
        self.dims, self.settings = dims, settings
        self.latent_dim = self.draw_noise = dims.z
        widths = hidden_widths(width, settings.layers)
        self.mixings = nn.ModuleList(
            Orthogonal(dims.x, learned=settings.learned_mixing) for _ in range(settings.blocks)
        )
        self.flows = nn.ModuleList(
            self.layer(Conditioners(dims.x, dims.c, widths, settings.clamp, settings.activation))
            for _ in range(settings.blocks)
        )
        self.decoder = mlp(
            dims.y + dims.z + dims.c,
            hidden_widths(width * settings.decoder_ratio, settings.decoder_layers),
            dims.x,
            activation=settings.activation,
        )

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = x.new_zeros(len(x))
        for mixing, flow in zip(self.mixings, self.flows, strict=True):
            x, log_det = flow(mixing(x), c)
            total = total + log_det
        return x, total, torch.zeros_like(total)

    def decode(self, y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        if self.settings.inverse == "exact":
            return self.exact_inverse(torch.cat((y, z), dim=-1), c)
        x: Tensor = self.decoder(joined(y, z, c))
        return x

    def exact_inverse(self, image: Tensor, c: Tensor) -> Tensor:
        """[y, z] -> x by inverting every layer of the flow."""
        for mixing, flow in zip(reversed(self.mixings), reversed(self.flows), strict=True):
            layer = cast(MaskedAutoregressive | InverseAutoregressive, flow)
            image = cast(Orthogonal, mixing).inverse(layer.inverse(image, c))
        return image

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        image, log_det, _ = self.encode(x, c)
        likelihood = joint_log_density(image, log_det, y, self.settings.sigma).mean()
        cycle = (self.decoder(joined(image, c)) - x).square().sum(-1).mean()
        loss: Tensor = self.settings.alpha * cycle - likelihood
        return loss


class IAF(AutoregressiveWithDecoder):
    """Scales and shifts depend on the preceding outputs of x -> [y, z]."""

    layer = InverseAutoregressive


class MAF(AutoregressiveWithDecoder):
    """Scales and shifts depend on the preceding inputs of x -> [y, z]."""

    layer = MaskedAutoregressive
