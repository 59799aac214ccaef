"""The three treatments of a count among the parameters, one mechanism for all families.

* factorised: p(x) = p(count | y) p(rest | y, count). A categorical head that all families share gives the
  count, and the family models the remaining coordinates with the count as a condition.
* rounded: uniform noise on (-1/2, 1/2) is added to the count in training, samples are rounded.
* continuous: the count is modelled as it is, like any other coordinate, and samples stay unrounded.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from fastinv.models.layers.mixture import choose_component
from fastinv.models.layers.mlp import mlp, output_bias
from fastinv.names import UnknownNameError

Counts = Literal["factorised", "rounded", "continuous"]
COUNTS: tuple[Counts, ...] = get_args(Counts)

# Share of the budget that goes to the head, and the most that it can use.
HEAD_SHARE, HEAD_LIMIT = 0.1, 25_000


def check_counts(counts: str) -> Counts:
    """`counts` itself if it names a treatment.

    Raises:
        UnknownNameError: it does not.
    """
    for known in COUNTS:
        if counts == known:
            return known
    raise UnknownNameError("treatment of counts", counts, COUNTS)


def head_width(budget: int, dim_y: int, classes: int) -> int:
    """Width of the head's two hidden layers, from the model's whole budget of parameters."""
    share = min(HEAD_SHARE * budget, HEAD_LIMIT)
    width = 4
    while (width + 1) * (width + 1 + dim_y + 1) + (width + 2) * classes <= share:
        width += 1
    return width


class CountHead(nn.Module):
    """Categorical p(count | y) over the counts lowest ... lowest + classes - 1.

    Args:
        dim_y: coordinates of y.
        frequencies: relative frequency of each count under the prior, all positive; what the head starts at.
        lowest: the smallest count.
        width: of the two hidden layers.
    """

    def __init__(self, dim_y: int, frequencies: Tensor, lowest: int, width: int) -> None:
        super().__init__()
        self.lowest, self.classes = lowest, len(frequencies)
        self.net = mlp(dim_y, [width, width], self.classes, activation="silu", zero_last=True)
        with torch.no_grad():
            output_bias(self.net).copy_(frequencies.log())

    def log_mass(self, y: Tensor, count: Tensor) -> Tensor:
        """log p(count | y) per row; counts outside the classes are taken as the nearest one."""
        index = (count.round().long() - self.lowest).clamp(0, self.classes - 1)
        return torch.log_softmax(self.net(y), dim=-1).gather(-1, index[:, None]).squeeze(-1)

    def counts(self, like: Tensor) -> Tensor:
        """Every count that can be drawn, shape (classes,), in the dtype and on the device of `like`."""
        return torch.arange(self.lowest, self.lowest + self.classes, dtype=like.dtype, device=like.device)

    def draw(self, y: Tensor, uniform: Tensor) -> Tensor:
        """Indices into `counts`, drawn by inverting the distribution function.

        Args:
            y: shape (g, d_y).
            uniform: in (0, 1), shape (g, n).

        Returns:
            Whole numbers of shape (g, n).
        """
        return choose_component(torch.log_softmax(self.net(y), dim=-1), uniform)
