"""Autoencoder: two free networks, [y, z] of the input's dimension in between; equation (7)."""

from __future__ import annotations

from torch import Tensor

from fastinv.models.bidirectional import LatentMatched, supervised_loss
from fastinv.models.family import Dims
from fastinv.models.layers.mlp import hidden_widths, joined, mlp
from fastinv.models.settings import CycleSettings


class Autoencoder(LatentMatched):
    """An encoder x -> [y, z] and a decoder back, tied together by the cycle loss alone."""

    def __init__(self, dims: Dims, width: float, settings: CycleSettings) -> None:
        super().__init__()
        self.prepare_matching(dims, settings)
        self.settings = settings
        widths = hidden_widths(width, settings.layers)
        self.encoder = mlp(dims.x + dims.c, widths, dims.y + dims.z, activation=settings.activation)
        self.decoder = mlp(dims.y + dims.z + dims.c, widths, dims.x, activation=settings.activation)

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nothing = x.new_zeros(len(x))
        return self.encoder(joined(x, c)), nothing, nothing

    def decode(self, y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        x: Tensor = self.decoder(joined(y, z, c))
        return x

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        batch = len(noise)
        image, _ = self.encode_with_earlier(x, c, batch)
        # The decoder is trained on what sampling feeds it: the true y beside z.
        decoded = self.decode(*self.split(image[:batch]), c[:batch])
        cycle = (decoded - x[:batch]).square().sum(-1).mean()
        return supervised_loss(image, y, c, noise, self.settings) + self.settings.beta * cycle
