"""INN: coupling blocks x <-> [y, z], trained by maximum likelihood; equation (4)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastinv.models.family import Dims, Family, standard_normal_log_density
from fastinv.models.layers.coupling import CouplingFlow
from fastinv.models.settings import InnSettings


class InvertibleMap(Family):
    """An invertible network x <-> [y, z]; what is a condition (a count) is fed to every block."""

    def __init__(self, dims: Dims, width: float, settings: InnSettings) -> None:
        super().__init__()
        self.dims = dims
        self.latent_dim = self.draw_noise = dims.z
        self.flow = CouplingFlow(
            dims.x,
            dims.c,
            blocks=settings.blocks,
            width=width,
            layers=settings.layers,
            clamp=settings.clamp,
            activation=settings.activation,
            learned_mixing=settings.learned_mixing,
        )

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x -> predicted y, latent z and log|det J| of the map."""
        image, log_det = self.flow(x, c)
        y, z = image.split((self.dims.y, self.dims.z), dim=-1)
        return y, z, log_det

    def decode(self, y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        """[y, z] -> x."""
        return self.flow.inverse(torch.cat((y, z), dim=-1), c)

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return self.decode(y, noise, c)

    def predict(self, x: Tensor, c: Tensor) -> Tensor:
        return self.encode(x, c)[0]

    def reconstruct(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        predicted, z, _ = self.encode(x, c)
        return self.decode(predicted, z, c)


class INN(InvertibleMap):
    """The same map under a Gaussian likelihood of y with a small sigma and of z with unit variance."""

    def __init__(self, dims: Dims, width: float, settings: InnSettings) -> None:
        super().__init__(dims, width, settings)
        self.sigma = settings.sigma

    def joint_log_density(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        """Minus equation (4), with its constants: log of N(y; predicted, sigma^2) N(z; 0, 1) |det J|."""
        predicted, z, log_det = self.encode(x, c)
        fit = standard_normal_log_density((y - predicted) / self.sigma)
        return fit - self.dims.y * math.log(self.sigma) + standard_normal_log_density(z) + log_det

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return -self.joint_log_density(x, y, c).mean()
