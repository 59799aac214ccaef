"""cINN: coupling blocks x <-> z with y fed to every network; equation (5)."""

from __future__ import annotations

from torch import Tensor

from fastinv.models.family import Dims, Family, standard_normal_log_density
from fastinv.models.layers.coupling import Affine, CouplingFlow, Transform
from fastinv.models.layers.mlp import joined
from fastinv.models.settings import FlowSettings


class CINN(Family):
    """Conditional coupling flow, trained by maximum likelihood of x given y."""

    def __init__(self, dims: Dims, width: float, settings: FlowSettings) -> None:
        super().__init__()
        self.dims = dims
        self.latent_dim = self.draw_noise = dims.x
        self.flow = CouplingFlow(
            dims.x,
            dims.y + dims.c,
            blocks=settings.blocks,
            width=width,
            layers=settings.layers,
            transform=self.transform(settings),
            activation=settings.activation,
            learned_mixing=settings.learned_mixing,
        )

    @staticmethod
    def transform(settings: FlowSettings) -> Transform:
        """What a coupling does to each coordinate."""
        return Affine(settings.clamp)

    def log_prob(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        z, log_det = self.flow(x, joined(y, c))
        log_prob: Tensor = standard_normal_log_density(z) + log_det
        return log_prob

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return -self.log_prob(x, y, c).mean()

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return self.flow.inverse(noise, joined(y, c))

    def reconstruct(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        condition = joined(y, c)
        z, _ = self.flow(x, condition)
        return self.flow.inverse(z, condition)
