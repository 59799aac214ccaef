"""One Gaussian per observation: the simplest model with a density."""

from __future__ import annotations

from torch import Tensor

from fastinv.models import Dims, Family
from fastinv.models.family import standard_normal_log_density
from fastinv.models.layers.mlp import hidden_widths, joined, mlp
from fastinv.models.settings import Settings


class Gaussian(Family):
    """A network gives mean and log standard deviation of each coordinate; trained by maximum likelihood.

    Everything here is in standardised coordinates: fastinv puts its own chart around a family.
    """

    def __init__(self, dims: Dims, width: float, settings: Settings) -> None:
        super().__init__()
        self.dims = dims
        self.latent_dim = self.draw_noise = dims.x
        widths = hidden_widths(width, settings.layers)
        self.net = mlp(dims.y + dims.c, widths, 2 * dims.x, activation=settings.activation)

    def moments(self, y: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and bounded log standard deviation, each of shape (N, dims.x)."""
        mean, log_std = self.net(joined(y, c)).chunk(2, dim=-1)
        return mean, 5.0 * (log_std / 5.0).tanh()

    def log_prob(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        mean, log_std = self.moments(y, c)
        return standard_normal_log_density((x - mean) * (-log_std).exp()) - log_std.sum(-1)

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return -self.log_prob(x, y, c).mean()

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        mean, log_std = self.moments(y, c)
        return mean + log_std.exp() * noise
