"""What the families that map x -> [y, z] and back have in common: equations (1) to (3), (6) and (7)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fastinv.kernels import mmd2
from fastinv.models.family import Dims, Family, standard_normal_log_density
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


class LatentMatched(Bidirectional):
    """Those with equation (3) in their loss, which compares z with standard normals."""

    def prepare_matching(self, dims: Dims, settings: LatentMatching) -> None:
        """Set the attributes that follow from the loss; to be called by `__init__`."""
        if settings.mmd_batches < 1:
            raise ValueError(f"setting 'mmd_batches' must be at least 1, got {settings.mmd_batches}")
        self.dims = dims
        self.latent_dim = self.draw_noise = dims.z
        self.loss_noise = settings.mmd_batches * dims.z
        self.earlier_batches = settings.mmd_batches - 1

    def encode_with_earlier(self, x: Tensor, c: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        """[y, z] of all rows, with a gradient in the first `batch`, and `encode`'s penalty of these."""
        image, _, penalty = self.encode(x[:batch], c[:batch])
        if batch < len(x):
            with torch.no_grad():
                earlier, _, _ = self.encode(x[batch:], c[batch:])
            image = torch.cat((image, earlier))
        return image, penalty


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

    The gradient of an MMD of few pairs is mostly noise. The MMD may take in pairs of earlier batches, whose
    encodings are constants. It is weighted by the number of all rows over those of the batch, which leaves
    each pair of the batch the same pull, of less noise.

    Args:
        image: [predicted y, z], shape (N, d_y + d_z): the batch's rows, then those of earlier batches.
        y: the true observations, shape (N, d_y).
        c: standardised conditions, shape (N, d_c); d_c may be 0.
        normal: standard normals to compare z with, shape (batch, mmd_batches * d_z): at least N * d_z.
        settings: alpha, the kernel and whether z is compared alone or together with y.
    """
    batch, dim_y = len(normal), y.shape[1]
    error = (image[:batch, :dim_y] - y[:batch]).square().sum(-1).mean()
    z = image[:, dim_y:]
    if not z.shape[1]:
        return error
    # The kernel refuses NaN and infinity. They leave as a loss of NaN, without a wait for the values.
    finite = torch.where(torch.isfinite(z), z, 0.0)
    error = error + 0.0 * (z - finite).sum()
    z, normal = finite, normal.reshape(-1, z.shape[1])[: len(z)]
    if settings.mmd_on == "yz":
        # Against rolled-over (y, c): independence of z from both is what sampling relies on.
        scores = settings.y_scale * torch.cat((normal_scores(y), c), dim=1)
        z, normal = torch.cat((scores, z), dim=1), torch.cat((scores.roll(1, 0), normal), dim=1)
    elif settings.mmd_on != "z":
        raise UnknownNameError("setting of mmd_on", settings.mmd_on, ("z", "yz"))
    discrepancy: Tensor = mmd2(z, normal, kernel=settings.mmd_kernel, unbiased=True)
    return error + settings.alpha * (len(image) / batch) * discrepancy
