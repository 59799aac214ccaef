"""Mixtures of Gaussians with full precision matrices, parametrised by their Cholesky factors."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fastinv.models.layers.coupling import soft_clamp

LOG_TWO_PI = math.log(2.0 * math.pi)


class Mixture(NamedTuple):
    """Parameters of N mixtures of K Gaussians in D dimensions.

    Attributes:
        log_weights: (N, K), normalised.
        means: (N, K, D).
        log_diagonal: (N, K, D), logarithm of the diagonal of L, where the precision is L L^T.
        below: (N, K, D (D - 1) / 2), the entries of L below its diagonal, row by row.
    """

    log_weights: Tensor
    means: Tensor
    log_diagonal: Tensor
    below: Tensor


def outputs_per_component(dim: int) -> int:
    """Network outputs that one component takes."""
    return 1 + 2 * dim + dim * (dim - 1) // 2


class Bounds(NamedTuple):
    """Limits of a component's conditional standard deviations, as logarithms: they lie in (-sharp, wide).

    Attributes:
        sharp: a noise-free problem would let deviations shrink for ever.
        wide: where there are few data, a component that is hardly ever chosen would grow without limit.
    """

    sharp: float
    wide: float


def bounded_log_diagonal(outputs: Tensor, bounds: Bounds) -> Tensor:
    """Squeeze log-diagonals of Cholesky factors, -log of the deviations, into their limits; slope 1 at 0."""
    return torch.where(outputs < 0.0, soft_clamp(outputs, bounds.wide), soft_clamp(outputs, bounds.sharp))


def mixture_from_outputs(outputs: Tensor, components: int, dim: int, bounds: Bounds) -> Mixture:
    """Read a mixture off a network's outputs, shape (N, components * outputs_per_component(dim)).

    Args:
        outputs: what the network says.
        components: K.
        dim: D.
        bounds: of the conditional standard deviations.
    """
    rows = outputs.view(-1, components, outputs_per_component(dim))
    weight, means, diagonal, below = torch.split(rows, [1, dim, dim, dim * (dim - 1) // 2], dim=-1)
    diagonal = bounded_log_diagonal(diagonal, bounds)
    # Off-diagonal entries in units of their row's diagonal, so that sharp components stay well shaped.
    scale = torch.cat(
        [diagonal[..., i : i + 1].exp().expand(*diagonal.shape[:-1], i) for i in range(dim)], dim=-1
    )
    return Mixture(torch.log_softmax(weight.squeeze(-1), dim=-1), means, diagonal, below * scale)


def _transposed_factor_times(m: Mixture, e: Tensor) -> Tensor:
    """L^T e with e of shape (N, K, D)."""
    dim = e.shape[-1]
    columns = [m.log_diagonal[..., j].exp() * e[..., j] for j in range(dim)]
    for i in range(1, dim):
        for j in range(i):
            columns[j] = columns[j] + m.below[..., i * (i - 1) // 2 + j] * e[..., i]
    return torch.stack(columns, dim=-1)


def mixture_log_density(m: Mixture, x: Tensor) -> Tensor:
    """log sum_k w_k N(x; mu_k, (L_k L_k^T)^-1) per row; x has shape (N, D)."""
    scaled = _transposed_factor_times(m, x.unsqueeze(-2) - m.means)
    log_norm = m.log_diagonal.sum(-1) - 0.5 * x.shape[-1] * LOG_TWO_PI
    return torch.logsumexp(m.log_weights + log_norm - 0.5 * scaled.square().sum(-1), dim=-1)


def mixture_sample(m: Mixture, row: Tensor, component: Tensor, normal: Tensor) -> Tensor:
    """One sample of a component of a mixture, by back-substitution in L^T e = normal.

    Args:
        m: the mixtures.
        row: (S,) index of each sample's mixture.
        component: (S,) index of its component.
        normal: (S, D) standard normals.

    Returns:
        (S, D).
    """
    index = row * m.log_weights.shape[1] + component

    def chosen(t: Tensor) -> Tensor:
        return t.flatten(0, 1).index_select(0, index)

    means, diagonal, below = chosen(m.means), chosen(m.log_diagonal), chosen(m.below)
    dim = normal.shape[-1]
    e: list[Tensor] = [normal[:, j] for j in range(dim)]
    for j in reversed(range(dim)):
        for i in range(j + 1, dim):
            e[j] = e[j] - below[:, i * (i - 1) // 2 + j] * e[i]
        e[j] = e[j] * (-diagonal[:, j]).exp()
    return means + torch.stack(e, dim=-1)


class MixtureSampling(nn.Module):
    """From a network's outputs to samples; modes of execution put something faster in its place.

    Args:
        components: K.
        dim: D.
        bounds: of the conditional standard deviations.
    """

    def __init__(self, components: int, dim: int, bounds: Bounds) -> None:
        super().__init__()
        self.components, self.dim, self.bounds = components, dim, bounds

    def forward(self, outputs: Tensor, row: Tensor, uniform: Tensor, normal: Tensor) -> Tensor:
        """One sample per row of `normal`.

        Args:
            outputs: of M mixtures, see `mixture_from_outputs`.
            row: (S,) index of each sample's mixture.
            uniform: what decides each sample's component, (S,), or (M, S / M) where rows are in order and all
                mixtures equally often.
            normal: (S, D) standard normals.

        Returns:
            (S, D).
        """
        m = mixture_from_outputs(outputs, self.components, self.dim, self.bounds)
        if uniform.ndim == 2:
            component = choose_component(m.log_weights, uniform).flatten()
        else:
            component = choose_component(m.log_weights[row], uniform[:, None]).squeeze(1)
        return mixture_sample(m, row, component, normal)


def choose_component(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """Invert the distribution function of the weights: (N, K) and (N, n) in (0, 1) -> (N, n) indices."""
    cumulative = log_weights.exp().cumsum(-1)
    above = uniform * cumulative[:, -1:]
    return torch.searchsorted(cumulative, above).clamp_(max=log_weights.shape[-1] - 1)
