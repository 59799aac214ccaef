"""cVAE: a conditional variational autoencoder whose decoder gets z and y; equation (8)."""

from __future__ import annotations

from torch import Tensor

from fastinv.models.family import Dims, Family
from fastinv.models.layers.mlp import hidden_widths, joined, mlp
from fastinv.models.settings import CvaeSettings


class CVAE(Family):
    """An encoder (x, y) -> N(mu_z, sigma_z) and a deterministic decoder (z, y) -> x."""

    def __init__(self, dims: Dims, width: float, settings: CvaeSettings) -> None:
        super().__init__()
        self.dims, self.settings = dims, settings
        self.latent_dim = self.draw_noise = self.loss_noise = settings.latent or max(1, dims.x - dims.y)
        widths = hidden_widths(width, settings.layers)
        condition = dims.y + dims.c
        self.encoder = mlp(dims.x + condition, widths, 2 * self.latent_dim, activation=settings.activation)
        self.decoder = mlp(self.latent_dim + condition, widths, dims.x, activation=settings.activation)

    def encode(self, x: Tensor, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of z."""
        mean, log_variance = self.encoder(joined(x, y, c)).chunk(2, dim=-1)
        return mean, log_variance

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        x: Tensor = self.decoder(joined(noise, y, c))
        return x

    def reconstruct(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        mean, _ = self.encode(x, y, c)
        return self.draw(y, c, mean)

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        mean, log_variance = self.encode(x, y, c)
        variance = log_variance.exp()
        decoded = self.draw(y, c, mean + variance.sqrt() * noise)
        divergence = -0.5 * (1.0 + log_variance - mean.square() - variance)
        return (decoded - x).square().sum(-1).mean() + self.settings.alpha * divergence.sum(-1).mean()
