"""Between physical parameters and what a family sees: standardised coordinates and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fastinv.models.counts import Counts
from fastinv.models.family import Dims
from fastinv.problems import Problem

# Prior draws from which means, standard deviations and frequencies of counts are taken.
STATISTICS_DRAWS, STATISTICS_SEED = 50_000, 77


@dataclass(frozen=True)
class Statistics:
    """Moments of the prior draws, and the frequencies of the count where there is one."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    lowest: int
    frequencies: NDArray[np.float64]


# Of problems whose objects hold nothing of their own, so that their class says all.
_KNOWN: WeakKeyDictionary[type[Problem], Statistics] = WeakKeyDictionary()


def statistics(problem: Problem) -> Statistics:
    """Draw from the prior with a fixed seed and take moments, once for every class without settings.

    The range of counts is widened by a quarter beyond what was drawn, so that even large training sets
    stay inside it.
    """
    if vars(problem):
        return _draw_statistics(problem)
    if type(problem) not in _KNOWN:
        _KNOWN[type(problem)] = _draw_statistics(problem)
    return _KNOWN[type(problem)]


def _draw_statistics(problem: Problem) -> Statistics:
    x = problem.sample_prior(STATISTICS_DRAWS, seed=STATISTICS_SEED)
    y = problem.simulate(x)
    lowest, frequencies = 0, np.ones(1, dtype=np.float64)
    if problem.count_index is not None:
        count = x[:, problem.count_index].astype(np.int64)
        margin = int(np.ceil((count.max() - count.min() + 1) / 4))
        lowest = max(0, int(count.min()) - margin)
        classes = int(count.max()) + margin + 1 - lowest
        frequencies = np.asarray(np.bincount(count - lowest, minlength=classes) + 0.5, dtype=np.float64)
    return Statistics(
        np.stack([x.mean(0), x.std(0)]),
        np.stack([y.mean(0), y.std(0)]),
        lowest,
        frequencies / frequencies.sum(),
    )


class Chart(nn.Module):
    """Standardises x and y and sets a count aside, drops it in noise or leaves it, as the treatment says.

    Args:
        problem: where x and y come from.
        counts: the treatment; without effect where the problem has no count.
        moments: as `statistics` gives them.
    """

    x_moments: Tensor
    y_moments: Tensor
    columns: Tensor

    def __init__(self, problem: Problem, counts: Counts, moments: Statistics) -> None:
        super().__init__()
        self.count_index = problem.count_index
        self.factorised = self.count_index is not None and counts == "factorised"
        self.rounded = self.count_index is not None and counts == "rounded"
        columns = [i for i in range(problem.dim_x) if not (self.factorised and i == self.count_index)]
        self.dims = Dims(x=len(columns), y=problem.dim_y, c=int(self.factorised))
        self.register_buffer("x_moments", torch.tensor(moments.x, dtype=torch.float32))
        self.register_buffer("y_moments", torch.tensor(moments.y, dtype=torch.float32))
        self.register_buffer("columns", torch.tensor(columns), persistent=False)

    def standardise_y(self, y: Tensor) -> Tensor:
        """y in units of its prior standard deviation."""
        return (y - self.y_moments[0]) / self.y_moments[1]

    def physical_y(self, y: Tensor) -> Tensor:
        """The inverse of `standardise_y`."""
        return y * self.y_moments[1] + self.y_moments[0]

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Physical x (N, d_x) -> standardised coordinates (N, dims.x) and conditions (N, dims.c)."""
        x = (x - self.x_moments[0]) / self.x_moments[1]
        if not self.factorised:
            return x, x[:, :0]
        return x.index_select(1, self.columns), x[:, self.count_index : self.count_index + 1]  # type: ignore[operator]

    def dequantise(self, x: Tensor, uniform: Tensor) -> Tensor:
        """Add uniform noise on (-1/2, 1/2) to the count; uniform has shape (N,) and lies in (0, 1)."""
        shift = torch.zeros_like(x)
        shift[:, self.count_index] = uniform - 0.5
        return x + shift

    def condition(self, count: Tensor) -> Tensor:
        """Counts, shape (N,), as the condition (N, 1) that `split` makes of them."""
        mean, std = self.x_moments[:, self.count_index]
        standardised: Tensor = (count - mean) / std
        return standardised[:, None]

    def join(self, x: Tensor, c: Tensor) -> Tensor:
        """The inverse of `split`; rounds where the treatment says so."""
        if self.factorised:
            x = torch.cat((x[:, : self.count_index], c, x[:, self.count_index :]), dim=1)
        x = x * self.x_moments[1] + self.x_moments[0]
        if self.rounded or self.factorised:
            x[:, self.count_index] = x[:, self.count_index].round().clamp_(min=0.0)
        return x

    def log_volume(self) -> Tensor:
        """log|det| of the change from physical to standardised coordinates."""
        std = self.x_moments[1].index_select(0, self.columns)
        volume: Tensor = std.log().sum()
        return volume.neg()
