"""Orthogonal maps, fixed or learned through the Cayley transform."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Orthogonal(nn.Module):
    """x -> Q x with orthogonal Q, so that its log-determinant is 0.

    A learned map is Q = Q0 (I - A)^-1 (I + A) with A skew-symmetric and Q0 a random start: orthogonal for
    every value of the parameters, not merely after a penalty.

    Args:
        dim: size of Q.
        learned: whether Q is trained.
    """

    start: Tensor

    def __init__(self, dim: int, *, learned: bool) -> None:
        super().__init__()
        self.dim, self.learned = dim, learned
        self.register_buffer("start", random_orthogonal(dim))
        if learned:
            self.skew = nn.Parameter(torch.zeros(dim * (dim - 1) // 2))

    def matrix(self) -> Tensor:
        """Q, shape (dim, dim)."""
        if not self.learned:
            return self.start
        eye = torch.eye(self.dim, dtype=self.skew.dtype, device=self.skew.device)
        rows, columns = torch.triu_indices(self.dim, self.dim, 1, device=self.skew.device)
        upper = torch.zeros_like(eye).index_put((rows, columns), self.skew)
        skew = upper - upper.T
        # I - A is never singular, and `solve` would wait for the word of it.
        rotation: Tensor = torch.linalg.solve_ex(eye - skew, eye + skew).result
        return self.start.matmul(rotation)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.matrix().T

    def inverse(self, x: Tensor) -> Tensor:
        """Q^T x."""
        return x @ self.matrix()


def random_orthogonal(dim: int) -> Tensor:
    """A draw from the Haar measure on orthogonal matrices, from torch's global generator."""
    gaussian = torch.randn(dim, dim)
    if gaussian.is_meta:
        return gaussian
    q, r = torch.linalg.qr(gaussian.double())
    signed: Tensor = q * r.diagonal().sign()
    return signed.to(gaussian.dtype)
