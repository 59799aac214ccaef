"""iResNet: residual blocks with Lipschitz-constrained branches, inverted by iteration; equation (3)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from fastinv.models.bidirectional import LatentMatched, supervised_loss
from fastinv.models.family import Dims
from fastinv.models.layers.fixed_point import Solution, solve
from fastinv.models.layers.mlp import hidden_widths
from fastinv.models.layers.orthogonal import Orthogonal
from fastinv.models.layers.spectral import LipschitzBranch
from fastinv.models.settings import IResNetSettings


class InverseNotConvergedWarning(RuntimeWarning):
    """Some rows of an iterative inverse stayed above the tolerance; they are returned all the same."""


class ResidualBlock(nn.Module):
    """x -> h + g(h, c) with h = Q (exp(s) x): an invertible linear map, then a contraction added."""

    def __init__(self, dims: Dims, width: float, settings: IResNetSettings) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(dims.x))
        self.mixing = Orthogonal(dims.x, learned=True)
        widths = hidden_widths(width, settings.layers)
        self.branch = LipschitzBranch(dims.x, dims.c, widths, settings.limit)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h: Tensor = self.mixing(x * self.log_scale.exp())
        image: Tensor = h + self.branch(h, c)
        return image

    def inverse(self, image: Tensor, c: Tensor, tolerance: float, max_evaluations: int) -> Solution:
        """Solve for x; see `fastinv.models.layers.fixed_point.solve`."""
        found = solve(
            lambda h, rows: self.branch(h, c[rows]),
            image,
            tolerance=tolerance,
            max_evaluations=max_evaluations,
        )
        x = self.mixing.inverse(found.x) * (-self.log_scale).exp()
        return Solution(x, found.unconverged, found.worst, found.evaluations)


class IResNet(LatentMatched):
    """An invertible residual network x -> [y, z].

    Attributes:
        last_inverse: one `Solution` per block of the most recent inverse, in the order of solving: how many
            rows did not reach the tolerance, the worst residual, the calls of the branch.
    """

    def __init__(self, dims: Dims, width: float, settings: IResNetSettings) -> None:
        super().__init__()
        self.prepare_matching(dims, settings)
        self.settings = settings
        self.blocks = nn.ModuleList(ResidualBlock(dims, width, settings) for _ in range(settings.blocks))
        self.last_inverse: list[Solution] = []

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        nothing = x.new_zeros(len(x))
        for block in self.blocks:
            x = block(x, c)
        return x, nothing, nothing

    @torch.no_grad()
    def decode(self, y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        x = torch.cat((y, z), dim=-1)
        self.last_inverse = []
        for block in reversed(self.blocks):
            assert isinstance(block, ResidualBlock)
            found = block.inverse(x, c, self.settings.tolerance, self.settings.max_evaluations)
            self.last_inverse.append(found)
            x = found.x
        missed = max(solution.unconverged for solution in self.last_inverse)
        if missed:
            worst = max(solution.worst for solution in self.last_inverse)
            warnings.warn(
                f"the inverse of iResNet stayed above its tolerance of {self.settings.tolerance:g} in up to "
                f"{missed} of {len(x)} rows (worst residual {worst:.2g})",
                InverseNotConvergedWarning,
                stacklevel=2,
            )
        return x

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        image, _ = self.encode_with_earlier(x, c, len(noise))
        return supervised_loss(image, y, c, noise, self.settings)
