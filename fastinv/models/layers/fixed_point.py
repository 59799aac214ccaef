"""Solving x + g(x) = target for a contraction g, many rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Solution:
    """What `solve` found.

    Attributes:
        x: the solutions, shape (N, d).
        unconverged: rows whose residual is still above the tolerance.
        worst: the largest residual of any row (maximum norm).
        evaluations: calls of g.
    """

    x: Tensor
    unconverged: int
    worst: float
    evaluations: int


def solve(
    g: Callable[[Tensor, Tensor], Tensor],
    target: Tensor,
    *,
    tolerance: float,
    max_evaluations: int,
) -> Solution:
    """Broyden's method per row; a row that it does not help goes on with plain iteration, which contracts.

    Args:
        g: called as g(x, rows) with the indices of the rows that x holds, so that finished rows cost nothing.
        target: shape (N, d).
        tolerance: bound of the residual |x + g(x) - target|, maximum norm.
        max_evaluations: calls of g after which the rest is reported as unconverged.
    """
    n, dim = target.shape
    rows = torch.arange(n, device=target.device)
    x = target - g(target, rows)
    solution, residual_norm = x.clone(), target.new_full((n,), torch.inf)
    # Starting from the identity, the first step of Broyden's method is a plain iteration.
    inverse = torch.eye(dim, dtype=target.dtype, device=target.device).expand(n, dim, dim)
    residual = x + g(x, rows) - target
    evaluations = 2
    while True:
        norm = residual.abs().amax(1)
        solution[rows], residual_norm[rows] = x, norm
        active = norm > tolerance
        if not bool(active.any()) or evaluations >= max_evaluations:
            break
        rows, x, residual = rows[active], x[active], residual[active]
        inverse, norm = inverse[active], norm[active]
        step = -(inverse @ residual[..., None])[..., 0]
        new_x = x + step
        new_residual = new_x + g(new_x, rows) - target[rows]
        evaluations += 1
        worse = (~(new_residual.abs().amax(1) < norm)).nonzero()[:, 0]
        if len(worse):
            step[worse] = -residual[worse]
            new_x[worse] = x[worse] + step[worse]
            new_residual[worse] = new_x[worse] + g(new_x[worse], rows[worse]) - target[rows[worse]]
            evaluations += 1
        inverse = _broyden_update(inverse, step, new_residual - residual)
        x, residual = new_x, new_residual
    return Solution(solution, int((residual_norm > tolerance).sum()), float(residual_norm.max()), evaluations)


def _broyden_update(inverse: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """The inverse Jacobian that maps `change` to `step` and differs least from the one before."""
    image = (inverse @ change[..., None])[..., 0]
    row = (step[:, None, :] @ inverse)[:, 0]
    denominator = (step * image).sum(-1)
    small = denominator.abs() < 1e-12 * step.square().sum(-1) + torch.finfo(step.dtype).tiny
    safe = torch.where(small, torch.ones_like(denominator), denominator)
    update = ((step - image) / safe[:, None])[:, :, None] * row[:, None, :]
    return inverse + torch.where(small[:, None, None], torch.zeros_like(update), update)
