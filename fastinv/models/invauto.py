"""InvAuto: weights and leaky ReLU one way, their transposes and inverses back; equation (7)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, linear, pad

from fastinv.models.bidirectional import LatentMatched, supervised_loss
from fastinv.models.family import Dims
from fastinv.models.layers.mlp import joined
from fastinv.models.layers.orthogonal import random_orthogonal
from fastinv.models.settings import InvAutoSettings


def _small(*shape: int) -> Tensor:
    """Normals of standard deviation 0.1; on the meta device, whose products import torch's compiler, of 1."""
    normals = torch.randn(*shape)
    return normals if normals.is_meta else 0.1 * normals


class InvAuto(LatentMatched):
    """A stack of square matrices shared by both directions.

    Forth: h -> leaky_relu(W h + b); back: h -> W^T (inverse leaky_relu(h) - b). The two are inverse to each
    other as far as W is orthogonal, which only the cycle loss asks for. Inputs are padded with zeros to the
    working width, and what comes out beyond [y, z] is penalised toward zero.

    Orthogonal weights and slopes up to 1 stretch nothing, but y changes faster than x in places. So x and y
    get a learned factor per coordinate, by which the way back divides; z has none, or it could spread until
    the MMD, flat far away, no longer sees it.
    """

    def __init__(self, dims: Dims, width: float, settings: InvAutoSettings) -> None:
        super().__init__()
        self.prepare_matching(dims, settings)
        self.settings = settings
        self.width = size = int(width)
        self.log_scale_x = nn.Parameter(torch.zeros(dims.x))
        self.log_scale_y = nn.Parameter(torch.zeros(dims.y))
        self.weights = nn.ParameterList(nn.Parameter(random_orthogonal(size)) for _ in range(settings.layers))
        self.biases = nn.ParameterList(nn.Parameter(_small(size)) for _ in range(settings.layers))
        self.conditions = nn.ParameterList(
            nn.Parameter(_small(size, dims.c)) for _ in range(settings.layers if dims.c else 0)
        )

    def _bias(self, index: int, c: Tensor) -> Tensor:
        bias: Tensor = self.biases[index]
        if self.dims.c:
            bias = linear(c, self.conditions[index], bias)
        return bias

    def _padded(self, x: Tensor) -> Tensor:
        padded: Tensor = pad(x, (0, self.width - x.shape[1]))
        return padded

    def forth(self, x: Tensor, c: Tensor) -> Tensor:
        """The whole last layer, shape (N, width)."""
        h, last, slope = self._padded(x), len(self.weights) - 1, self.settings.slope
        for i, weight in enumerate(self.weights):
            h = linear(h, weight) + self._bias(i, c)
            if i < last:
                h = leaky_relu(h, slope)
        return h

    def back(self, h: Tensor, c: Tensor) -> Tensor:
        """The way back from the last layer, shape (N, width)."""
        last, slope = len(self.weights) - 1, self.settings.slope
        for i in range(last, -1, -1):
            if i < last:
                h = leaky_relu(h, 1.0 / slope)
            h = (h - self._bias(i, c)) @ self.weights[i]
        return h

    def encode(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.forth(x * self.log_scale_x.exp(), c)
        y, z, beyond = torch.split(h, [self.dims.y, self.dims.z, self.width - self.dims.y - self.dims.z], -1)
        return joined(y * self.log_scale_y.exp(), z), x.new_zeros(len(x)), beyond.square().sum(-1)

    def decode(self, y: Tensor, z: Tensor, c: Tensor) -> Tensor:
        h = self._padded(joined(y * (-self.log_scale_y).exp(), z))
        return self.back(h, c)[:, : self.dims.x] * (-self.log_scale_x).exp()

    def draw(self, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        """As `decode`, without multiplying by the padding's zeros or computing coordinates beyond x.

        (h - b) W is taken as h W - b W, so results differ from those of `decode` in rounding.
        """
        h, last = joined(y * (-self.log_scale_y).exp(), noise), len(self.weights) - 1
        for i in range(last, -1, -1):
            weight: Tensor = self.weights[i]
            if i < last:
                h = leaky_relu(h, 1.0 / self.settings.slope)
            if i == 0:
                weight = weight[:, : self.dims.x]
            shift = self.biases[i] @ weight
            if self.dims.c:
                shift = torch.addmm(shift, c, self.conditions[i].T @ weight)
            h = torch.addmm(shift, h, weight[: h.shape[1]], beta=-1.0)
        return h * (-self.log_scale_x).exp()

    def loss(self, x: Tensor, y: Tensor, c: Tensor, noise: Tensor) -> Tensor:
        batch = len(noise)
        image, padding = self.encode_with_earlier(x, c, batch)
        # Decoded with zeros beyond [y, z], as sampling does it.
        error = (self.decode(*self.split(image[:batch]), c[:batch]) - x[:batch]).square().sum(-1)
        cycle = error.mean() + self.settings.padding * padding.mean()
        return supervised_loss(image, y, c, noise, self.settings) + self.settings.beta * cycle

    def orthogonality_error(self) -> Tensor:
        """max |W^T W - I| of each layer."""
        errors = [(w.T @ w - torch.eye(self.width, device=w.device)).abs().max() for w in self.weights]
        return torch.stack(errors)
