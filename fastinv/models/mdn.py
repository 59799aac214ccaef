"""MDN: a network from y to a mixture of Gaussians with full precision matrices; equation (9)."""

from __future__ import annotations

import torch
from torch import Tensor

from fastinv.models.family import Dims, Family, to_uniform
from fastinv.models.layers.mixture import (
    Bounds,
    Mixture,
    MixtureSampling,
    mixture_from_outputs,
    mixture_log_density,
    outputs_per_component,
)
from fastinv.models.layers.mlp import hidden_widths, joined, mlp, output_bias
from fastinv.models.settings import MdnSettings


class MDN(Family):
    """Mixture density network; it samples by back-substitution, without a matrix inverse."""

    latent_dim = None

    def __init__(self, dims: Dims, width: float, settings: MdnSettings) -> None:
        super().__init__()
        self.dims = dims
        self.draw_noise = dims.x + 1
        self.components, self.bounds = settings.components, Bounds(settings.clamp, settings.widest)
        self.net = mlp(
            dims.y + dims.c,
            hidden_widths(width, settings.layers),
            settings.components * outputs_per_component(dims.x),
            activation=settings.activation,
        )
        self.sampling = MixtureSampling(settings.components, dims.x, self.bounds)
        # Start the components apart: where they coincide they also share their gradients.
        with torch.no_grad():
            bias = output_bias(self.net).view(settings.components, -1)
            bias[:, 1 : 1 + dims.x] = torch.randn(settings.components, dims.x)

    def mixture(self, y: Tensor, c: Tensor) -> Mixture:
        """The predicted mixture of each row."""
        return mixture_from_outputs(self.net(joined(y, c)), self.components, self.dims.x, self.bounds)

    def log_prob(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        return mixture_log_density(self.mixture(y, c), x)

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return -self.log_prob(x, y, c).mean()

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        row = torch.arange(len(y), device=y.device)
        uniform = to_uniform(noise[:, -1:])
        samples: Tensor = self.sampling(self.net(joined(y, c)), row, uniform, noise[:, :-1])
        return samples

    def draw_many(self, y: Tensor, levels: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """As `draw`, but the network runs once per observation and level instead of once per sample."""
        groups, n, _ = noise.shape
        if len(levels) > n:
            return super().draw_many(y, levels, level, noise)
        outputs = self.net(joined(y.repeat_interleave(len(levels), dim=0), levels.repeat(groups, 1)))
        first = torch.arange(groups, device=y.device)[:, None] * len(levels)
        row = (first + level).flatten()
        uniform = to_uniform(noise[..., -1])
        if len(levels) > 1:
            uniform = uniform.flatten()
        samples: Tensor = self.sampling(outputs, row, uniform, noise[..., :-1].flatten(0, 1))
        return samples.view(groups, n, -1)
