"""What the families that map x -> [y, z] and back have in common: equations (1) to (3), (6) and (7)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastinv.kernels import mmd2
from fastinv.models.family import Family, standard_normal_log_density
from fastinv.models.settings import LatentMatching
from fastinv.names import UnknownNameError


class Bidirectional(Family):
    """A network that encodes x as [y, z] and a way back; z is standard normal and independent of y.

    Subclasses set `dims`, `latent_dim` and `draw_noise` (both dims.z) and implement `encode` and `decode`.
    """

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x -> [predicted y, z] (N, dims.y + dims.z), then the log|det J| per row where it is known (else 0)
        and whatever else the loss has to punish per row (else 0)."""
        raise NotImplementedError

    def decode(self, y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        """[y, z] -> x, exact or learned."""
        raise NotImplementedError

    def split(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """[y, z] -> y and z."""
        return image[:, : self.dims.y], image[:, self.dims.y :]

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        return self.decode(y, noise, c)

    def predict(self, x: Tensor, c: Tensor) -> Tensor:
        return self.split(self.encode(x, c)[0])[0]

    def reconstruct(self, x: Tensor, y: Tensor, c: Tensor) -> Tensor:
        predicted, z = self.split(self.encode(x, c)[0])
        return self.decode(predicted, z, c)


def joint_log_density(image: Tensor, log_det: Tensor, y: Tensor, sigma: float) -> Tensor:
    """Minus equation (4), with its constants: log of N(y; predicted, sigma^2) N(z; 0, 1) |det J|.

    Args:
        image: [predicted y, z], shape (N, d_y + d_z).
        log_det: log|det J| of x -> [y, z], shape (N,).
        y: the true observations, shape (N, d_y).
        sigma: standard deviation given to y.
    """
    dim_y = y.shape[1]
    fit = standard_normal_log_density((y - image[:, :dim_y]) / sigma) - dim_y * math.log(sigma)
    return fit + standard_normal_log_density(image[:, dim_y:]) + log_det


def normal_scores(y: Tensor) -> Tensor:
    """Each column's ranks within the batch, as quantiles of the standard normal distribution.

    A distance between scores tells how many observations lie in between. Where they crowd, as the arm's near
    its full reach, posteriors change quickly, and plain distances would call everything there the same.

    Args:
        y: shape (N, d_y).

    Returns:
        Shape (N, d_y); no gradient.
    """
    ranks = y.detach().argsort(dim=0).argsort(dim=0)
    scores: Tensor = torch.special.ndtri((ranks + 0.5) / len(y)).to(y.dtype)
    return scores


def supervised_loss(image: Tensor, y: Tensor, c: Tensor, normal: Tensor, settings: LatentMatching) -> Tensor:
    """Equation (3): squared error of y plus alpha times the MMD of z against standard normals.

    Args:
        image: [predicted y, z], shape (N, d_y + d_z).
        y: the true observations, shape (N, d_y).
        c: standardised conditions, shape (N, d_c); d_c may be 0.
        normal: standard normals to compare z with, shape (N, d_z).
        settings: alpha, the kernel and whether z is compared alone or together with y.
    """
    dim_y = y.shape[1]
    error = (image[:, :dim_y] - y).square().sum(-1).mean()
    z = image[:, dim_y:]
    if not z.shape[1]:
        return error
    # The kernel refuses NaN and infinity. They leave as a loss of NaN, without a wait for the values.
    finite = torch.where(torch.isfinite(z), z, 0.0)
    error = error + 0.0 * (z - finite).sum()
    z = finite
    if settings.mmd_on == "yz":
        # Against rolled-over (y, c): independence of z from both is what sampling relies on.
        scores = settings.y_scale * torch.cat((normal_scores(y), c), dim=1)
        z, normal = torch.cat((scores, z), dim=1), torch.cat((scores.roll(1, 0), normal), dim=1)
    elif settings.mmd_on != "z":
        raise UnknownNameError("setting of mmd_on", settings.mmd_on, ("z", "yz"))
    discrepancy: Tensor = mmd2(z, normal, kernel=settings.mmd_kernel, unbiased=True)
    return error + settings.alpha * discrepancy
