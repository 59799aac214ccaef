"""Linear layers with a bounded spectral norm, for residual branches with a Lipschitz constant below 1."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

POWER_ITERATIONS = 2


class SpectralLinear(nn.Module):
    """A linear layer whose matrix is scaled down to spectral norm `limit` wherever it exceeds it.

    In training the norm is estimated by power iteration, warm-started from the last step. In eval mode it is
    computed exactly, so that the bound holds for every sample drawn.

    Args:
        inputs: input features.
        outputs: output features.
        limit: bound of the spectral norm.
    """

    left: Tensor
    right: Tensor

    def __init__(self, inputs: int, outputs: int, limit: float) -> None:
        super().__init__()
        self.limit = limit
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5.0))
        self.register_buffer("left", _direction(outputs))
        self.register_buffer("right", _direction(inputs))
        self._exact: tuple[int, Tensor] | None = None

    def spectral_norm(self) -> Tensor:
        """Norm of the raw matrix: estimated while training, exact in eval mode."""
        if not self.training:
            version = self.weight._version
            if (
                self._exact is None
                or self._exact[0] != version
                or self._exact[1].device != self.weight.device
            ):
                with torch.no_grad():
                    norm = torch.linalg.matrix_norm(self.weight.double(), ord=2).to(self.weight.dtype)
                self._exact = (version, norm)
            return self._exact[1]
        with torch.no_grad():
            left, right = self.left, self.right
            for _ in range(POWER_ITERATIONS):
                left = normalize(self.weight.mv(right), dim=0)
                right = normalize(self.weight.t().mv(left), dim=0)
            self.left.copy_(left)
            self.right.copy_(right)
        return torch.dot(left, self.weight.mv(right))

    def bounded_weight(self) -> Tensor:
        """The matrix in use."""
        return self.weight * (self.limit / self.spectral_norm()).clamp(max=1.0)

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.bounded_weight(), self.bias)


def _direction(n: int) -> Tensor:
    """A random unit vector; without values (on the meta device, where networks are counted) any vector."""
    vector = torch.randn(n)
    return vector if vector.is_meta else normalize(vector, dim=0)


def max_min(h: Tensor) -> Tensor:
    """Sort features in pairs, one of each half (GroupSort of two); an odd last one stays as it is.

    The Jacobian is a permutation, so that unlike ELU's slopes it takes nothing from a gradient's norm: a
    branch can come near its Lipschitz bound in every direction (Anil et al., 2019).

    Args:
        h: shape (N, features).

    Returns:
        Shape (N, features): all maxima, all minima, what is left.
    """
    half = h.shape[-1] // 2
    first, second, rest = torch.split(h, [half, half, h.shape[-1] - 2 * half], dim=-1)
    if not torch.is_grad_enabled():  # sampling: each half is written once, in place of four temporaries
        result = torch.empty_like(h)
        torch.maximum(first, second, out=result[:, :half])
        torch.minimum(first, second, out=result[:, half : 2 * half])
        result[:, 2 * half :] = rest
        return result
    # Both from one ReLU: on a CPU a quarter of the time of maximum and minimum with their gradients.
    excess = torch.relu(first - second)
    return torch.cat((second + excess, first - excess, rest), dim=-1)


class LipschitzBranch(nn.Module):
    """A network x -> g(x, c) with Lipschitz constant at most `limit ** (layers + 1)` in x.

    `max_min` has Lipschitz constant 1, so the bound is the product of the layers' norms. The condition enters
    as a bias of the first layer, by a free matrix that does not count.

    Args:
        dim: coordinates of x and of the result.
        dim_c: coordinates of the condition.
        widths: hidden layers.
        limit: bound of each matrix's spectral norm, below 1.
    """

    def __init__(self, dim: int, dim_c: int, widths: list[int], limit: float) -> None:
        super().__init__()
        sizes = [dim, *widths, dim]
        self.layers = nn.ModuleList(SpectralLinear(a, b, limit) for a, b in pairwise(sizes))
        self.condition = nn.Linear(dim_c, widths[0], bias=False) if dim_c else None

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        h: Tensor = self.layers[0](x)
        if self.condition is not None:
            h = h + self.condition(c)
        for layer in list(self.layers)[1:]:
            h = layer(max_min(h))
        return h
