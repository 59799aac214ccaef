"""What a family of models implements; everything around it is `PosteriorModel`'s."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Dims:
    """Sizes of what a family sees, after standardisation and the treatment of counts.

    Attributes:
        x: coordinates to be modelled.
        y: coordinates of the observation.
        c: further conditions (1 where a count was factored out, else 0).
    """

    x: int
    y: int
    c: int

    @property
    def z(self) -> int:
        """Latent coordinates of a family that maps x to [y, z]."""
        if self.x < self.y:
            raise ValueError(f"a map x -> [y, z] needs at least as many x ({self.x}) as y ({self.y})")
        return self.x - self.y


class Family(nn.Module):
    """A network and its loss, in standardised coordinates.

    All tensors have one row per pair: x (N, dims.x), y (N, dims.y), c (N, dims.c). Randomness comes in as
    an argument of standard normals, so that a call is a pure function of its inputs.

    Attributes:
        dims: sizes of x, y and c.
        latent_dim: dimension of z, None where the family has no latent space.
        draw_noise: normals per row that `draw` consumes.
        loss_noise: normals per row that `loss` consumes.
        earlier_batches: batches before the present one that a training shows to `loss` as well.
    """

    dims: Dims
    latent_dim: int | None
    draw_noise: int
    loss_noise: int = 0
    earlier_batches: int = 0

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        """The family's training loss, averaged over the rows.

        A family with `earlier_batches` may get more rows of x, y and c than of noise. Those beyond are pairs
        of earlier batches, to compare with; they carry no gradient.
        """
        raise NotImplementedError

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        """One posterior sample per row, shape (N, dims.x)."""
        raise NotImplementedError

    def draw_many(self, y: Tensor, levels: Tensor, level: Tensor, noise: Tensor) -> Tensor:
        """n posterior samples of each of g observations, shape (g, n, dims.x).

        Families override this where something can be computed once per observation, not once per sample.

        Args:
            y: shape (g, dims.y).
            levels: every value that the condition can take, shape (L, dims.c); one row where dims.c is 0.
            level: row of `levels` that each sample is conditioned on, shape (g, n).
            noise: shape (g, n, draw_noise).
        """
        rows = y.repeat_interleave(noise.shape[1], dim=0)
        samples = self.draw(rows, levels[level.flatten()], noise.flatten(0, 1))
        return samples.view(*noise.shape[:2], -1)

    def log_prob(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor | None:
        """log p(x | y, c) per row, shape (N,), or None where the family has no tractable density."""
        return None

    def predict(self, x: Tensor, c: Tensor) -> Tensor | None:
        """The network's own y of each x, shape (N, dims.y), or None where it predicts none."""
        return None

    def reconstruct(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor | None:
        """x encoded and decoded again, shape (N, dims.x), or None where the family cannot."""
        return None


def standard_normal_log_density(z: Tensor) -> Tensor:
    """log N(z; 0, I) per row."""
    log_norm = 0.5 * z.shape[-1] * 1.8378770664093453  # log(2 pi)
    return -0.5 * z.square().sum(-1) - log_norm


def to_uniform(normal: Tensor) -> Tensor:
    """Turn standard normals into uniforms inside (0, 1)."""
    eps = torch.finfo(normal.dtype).eps
    uniform: Tensor = torch.special.ndtr(normal)
    return uniform.clamp(eps, 1.0 - eps)
