"""Flow matching (an addition): an ODE from noise to x whose velocity is learned by regression."""

from __future__ import annotations

import torch
from torch import Tensor

from fastinv.models.family import Dims, Family, to_uniform
from fastinv.models.layers.mlp import hidden_widths, joined, mlp
from fastinv.models.layers.ode import integrate, time_grid
from fastinv.models.settings import FlowMatchingSettings

# Both ends of a path lie within 5 standard deviations. Where no training point came, a network answers
# anything: a path that leaves the data by accident must not be thrown to infinity.
FASTEST = 10.0


class FlowMatching(Family):
    """dx/dt = v(x, t, y) carries standard normals at t = 0 to posterior samples at t = 1.

    The loss regresses v on the straight lines x1 - x0 between noise x0 and data x1 (Lipman et al., 2023).
    """

    def __init__(self, dims: Dims, width: float, settings: FlowMatchingSettings) -> None:
        super().__init__()
        self.dims, self.settings = dims, settings
        self.latent_dim = self.draw_noise = dims.x
        self.loss_noise = settings.draws * (dims.x + 1)
        self.net = mlp(
            dims.x + dims.y + dims.c + 3,
            hidden_widths(width, settings.layers),
            dims.x,
            activation=settings.activation,
        )

    def velocity(self, x: Tensor, t: Tensor, y: Tensor, c: Tensor) -> Tensor:
        """v at positions x (N, d_x) and times t (N, 1)."""
        angle = torch.pi * t
        v: Tensor = self.net(joined(x, y, c, t - 0.5, angle.sin(), angle.cos()))
        return v

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        # Each pair is joined to several starts at several times: that costs no further pairs.
        x, y, c = (part.repeat(self.settings.draws, 1) for part in (x, y, c))
        noise = torch.cat(noise.chunk(self.settings.draws, dim=1))
        start, t = noise[:, :-1], self.times(noise[:, -1:])
        error = self.velocity(torch.lerp(start, x, t), t, y, c) - (x - start)
        return error.square().sum(-1).mean()

    def times(self, normal: Tensor) -> Tensor:
        """Standard normals -> times in (0, 1], denser near 1 for a `time_bias` above 1."""
        return 1.0 - to_uniform(normal) ** self.settings.time_bias

    def carry(self, x: Tensor, y: Tensor, c: Tensor, *, back: bool = False) -> Tensor:
        """Along the field from t = 0 to t = 1, or back."""

        def velocity(x: Tensor, t: float) -> Tensor:
            return self.velocity(x, x.new_full((len(x), 1), t), y, c).clamp(-FASTEST, FASTEST)

        grid = time_grid(self.settings.steps, self.settings.time_power)
        return integrate(velocity, x, grid[::-1] if back else grid, self.settings.solver)

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return self.carry(noise, y, c)

    def reconstruct(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        return self.carry(self.carry(x, y, c, back=True), y, c)
