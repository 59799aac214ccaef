"""Monotonic rational-quadratic splines on [-bound, bound], the identity outside (Durkan et al., 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad, softmax, softplus

from fastinv.models.layers.coupling import Affine

MIN_BIN, MIN_SLOPE = 1e-3, 1e-3


class Spline(NamedTuple):
    """Knots and slopes, each with the bins' edges on the last axis.

    Attributes:
        x: (..., K + 1) rising from -bound to bound.
        y: likewise.
        slope: (..., K + 1) positive, 1 at both ends.
    """

    x: Tensor
    y: Tensor
    slope: Tensor


def spline_from_outputs(outputs: Tensor, bins: int, bound: float) -> Spline:
    """Read splines off a network's outputs, shape (..., 3 * bins - 1); zeros give the identity."""
    width, height, slope = torch.split(outputs, [bins, bins, bins - 1], dim=-1)

    def knots(raw: Tensor) -> Tensor:
        share = MIN_BIN + (1.0 - MIN_BIN * bins) * softmax(raw, dim=-1)
        return pad(share.cumsum(-1)[..., :-1] * (2.0 * bound) - bound, (1, 0), value=-bound)

    x, y = pad(knots(width), (0, 1), value=bound), pad(knots(height), (0, 1), value=bound)
    offset = math.log(math.expm1(1.0 - MIN_SLOPE))
    inner = MIN_SLOPE + softplus(slope + offset)
    return Spline(x, y, pad(inner, (1, 1), value=1.0))


def _bin(spline: Spline, edges: Tensor, value: Tensor) -> tuple[Tensor, ...]:
    """(x0, width, y0, height, slope0, slope1) of the bin that holds each value."""
    index = (value[..., None] >= edges[..., 1:-1]).sum(-1, keepdim=True)

    def at(t: Tensor, shift: int = 0) -> Tensor:
        return t.gather(-1, index + shift).squeeze(-1)

    x0, y0 = at(spline.x), at(spline.y)
    return x0, at(spline.x, 1) - x0, y0, at(spline.y, 1) - y0, at(spline.slope), at(spline.slope, 1)


def spline_forward(spline: Spline, x: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Image of x (...) and log of the slope there."""
    inside = x.abs() < bound
    clamped = torch.where(inside, x, torch.zeros_like(x))
    x0, width, y0, height, slope0, slope1 = _bin(spline, spline.x, clamped)
    mean_slope = height / width
    u = (clamped - x0) / width
    v = u * (1.0 - u)
    denominator = mean_slope + (slope0 + slope1 - 2.0 * mean_slope) * v
    image = y0 + height * (mean_slope * u.square() + slope0 * v) / denominator
    slope = slope1 * u.square() + 2.0 * mean_slope * v + slope0 * (1.0 - u).square()
    log_slope = 2.0 * mean_slope.log() + slope.log() - 2.0 * denominator.log()
    return torch.where(inside, image, x), torch.where(inside, log_slope, torch.zeros_like(log_slope))


def spline_inverse(spline: Spline, y: Tensor, bound: float) -> Tensor:
    """The x whose image is y: the root of a quadratic in the bin."""
    inside = y.abs() < bound
    clamped = torch.where(inside, y, torch.zeros_like(y))
    x0, width, y0, height, slope0, slope1 = _bin(spline, spline.y, clamped)
    mean_slope = height / width
    rise = clamped - y0
    bend = rise * (slope0 + slope1 - 2.0 * mean_slope)
    a = height * (mean_slope - slope0) + bend
    b = height * slope0 - bend
    c = -mean_slope * rise
    root = 2.0 * c / (-b - (b.square() - 4.0 * a * c).clamp(min=0.0).sqrt())
    return torch.where(inside, x0 + root * width, y)


@dataclass(frozen=True)
class AffineSpline:
    """An affine map, then a spline: the first finds a thin posterior, the second shapes it.

    Attributes:
        affine: the affine map.
        bins: of the spline.
        bound: the spline works on [-bound, bound].
    """

    affine: Affine
    bins: int
    bound: float

    @property
    def outputs_per_coordinate(self) -> int:
        """Network outputs that one coordinate takes."""
        return self.affine.outputs_per_coordinate + 3 * self.bins - 1

    def _parts(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Spline]:
        own = x.shape[-1] * self.affine.outputs_per_coordinate
        rest = outputs[..., own:].reshape(*x.shape, 3 * self.bins - 1)
        return outputs[..., :own], spline_from_outputs(rest, self.bins, self.bound)

    def forward(self, x: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
        """See `fastinv.models.layers.coupling.Transform`."""
        affine, spline = self._parts(x, outputs)
        x, log_det = self.affine.forward(x, affine)
        image, log_slope = spline_forward(spline, x, self.bound)
        return image, log_det + log_slope.sum(-1)

    def inverse(self, x: Tensor, outputs: Tensor) -> Tensor:
        """The exact inverse of `forward`'s first result."""
        affine, spline = self._parts(x, outputs)
        return self.affine.inverse(spline_inverse(spline, x, self.bound), affine)
