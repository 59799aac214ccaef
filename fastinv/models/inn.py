"""INN: coupling blocks x <-> [y, z], by maximum likelihood (equation 4) or by L2 + MMD (equation 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from fastinv.models.bidirectional import Bidirectional, LatentMatched, joint_log_density, supervised_loss
from fastinv.models.family import Dims
from fastinv.models.layers.coupling import Affine, CouplingFlow
from fastinv.models.settings import FlowSettings, InnMmdSettings, InnSettings


class InvertibleMap(Bidirectional):
    """A coupling flow x <-> [y, z]; what is a condition (a count) is fed to every block."""

    def __init__(self, dims: Dims, width: float, settings: FlowSettings) -> None:
        super().__init__()
        self.dims = dims
        self.latent_dim = self.draw_noise = dims.z
        self.flow = CouplingFlow(
            dims.x,
            dims.c,
            blocks=settings.blocks,
            width=width,
            layers=settings.layers,
            transform=Affine(settings.clamp),
            activation=settings.activation,
            learned_mixing=settings.learned_mixing,
        )

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        image, log_det = self.flow(x, c)
        return image, log_det, torch.zeros_like(log_det)

    def decode(self, y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        return self.flow.inverse(torch.cat((y, z), dim=-1), c)


class INN(InvertibleMap):
    """The map under a Gaussian likelihood of y with a small sigma and of z with unit variance."""

    def __init__(self, dims: Dims, width: float, settings: InnSettings) -> None:
        super().__init__(dims, width, settings)
        self.sigma = settings.sigma

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        image, log_det, _ = self.encode(x, c)
        return -joint_log_density(image, log_det, y, self.sigma).mean()


class InnL2Mmd(InvertibleMap, LatentMatched):
    """The same map, fitted to y by squared error and to standard normal z by MMD."""

    def __init__(self, dims: Dims, width: float, settings: InnMmdSettings) -> None:
        super().__init__(dims, width, settings)
        self.prepare_matching(dims, settings)
        self.settings = settings

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        image, _ = self.encode_with_earlier(x, c, len(noise))
        return supervised_loss(image, y, c, noise, self.settings)
