"""The model that users hold: physical units in and out, whatever the family inside."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from fastinv.models.chart import Chart
from fastinv.models.counts import CountHead, Counts
from fastinv.models.family import Family, to_uniform
from fastinv.models.info import ModelInfo
from fastinv.models.settings import Settings
from fastinv.problems import Problem
from fastinv.problems.base import check_count

# Rows that pass through a network at once when sampling. On a CPU few enough for activations to stay in a
# cache: 8,192 take 5 to 18% less time than 16,384 in five families of 500,000 parameters; the MDN, at .3 us a
# sample, takes a third more.
CHUNK = {"cpu": 8_192, "cuda": 1 << 20}


@dataclass(frozen=True)
class ModelSpec:
    """All that is needed to build the same network again.

    Attributes:
        model: name of the model.
        problem: name of the problem.
        preset: name of the preset that the budget came from.
        budget: trainable parameters that the width was solved for.
        width: the solution.
        counts: treatment of counts.
        seed: of the initial weights.
        settings: the family's settings.
    """

    model: str
    problem: str
    preset: str
    budget: int
    width: float
    counts: str
    seed: int
    settings: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class PosteriorModel(nn.Module):
    """A model of p(x | y) for one problem.

    Made by `fastinv.model`; trained by `fastinv.fit` or any loop that minimises `loss`.

    Attributes:
        info: what kind of model it is.
        spec: how it was built.
        settings: the family's and its optimiser's.
        problem: what it models.
        family: the network, in standardised coordinates.
    """

    def __init__(
        self,
        info: ModelInfo,
        spec: ModelSpec,
        settings: Settings,
        problem: Problem,
        family: Family,
        chart: Chart,
        head: CountHead | None,
        counts: Counts,
    ) -> None:
        super().__init__()
        self.info, self.spec, self.settings, self.counts = info, spec, settings, counts
        self.problem = problem
        self.family, self.chart, self.head = family, chart, head

    @property
    def latent_dim(self) -> int | None:
        """Dimension of the latent space, None where there is none."""
        return self.family.latent_dim

    @property
    def diagnostics(self) -> dict[str, NDArray[np.float64]]:
        """What the last call of `sample` says of each observation's samples, by name."""
        return {}

    @property
    def parameter_count(self) -> int:
        """Trainable parameters, the count head's included."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    @property
    def device(self) -> torch.device:
        """Where the model's tensors are."""
        return self.chart.x_moments.device

    def loss(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """The training loss: the family's own, plus the cross-entropy of the count head if there is one.

        Of one batch: `fastinv.fit` shows a family with `earlier_batches` those as well, see `loss_of`.

        Args:
            x: parameters in physical units, shape (N, d_x).
            y: their observations, shape (N, d_y).
            generator: where the loss's random numbers come from (a CPU generator); torch's own if None.

        Returns:
            Scalar, averaged over the rows.
        """
        return self.loss_of(x, y, self.draw_loss_noise(len(x), generator).to(x.device, x.dtype))

    def draw_loss_noise(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """The standard normals that the loss of n pairs takes, float32 on the CPU, one row per pair."""
        return torch.randn(n, sum(self._loss_columns), generator=generator)

    @property
    def _loss_columns(self) -> list[int]:
        seen = 1 + self.family.earlier_batches
        return [self.family.loss_noise, seen * self.chart.dims.y, seen]

    def loss_of(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """The training loss as a pure function of its random numbers, see `draw_loss_noise`.

        Nothing in it waits for a value, so that a GPU can replay it as a graph.

        Args:
            x: parameters in physical units, shape (N, d_x). A family with `earlier_batches` takes pairs of
                these as well, in rows beyond those of `noise`.
            y: their observations, shape (N, d_y).
            noise: standard normals, one row per pair of the batch itself.
        """
        batch = len(noise)
        noise, y_noise, count_noise = torch.split(noise, self._loss_columns, dim=-1)
        y = self.chart.standardise_y(y)
        if self.settings.y_noise:
            y = y + self.settings.y_noise * y_noise.reshape(-1, y.shape[1])[: len(y)]
        if self.chart.rounded:
            x = self.chart.dequantise(x, to_uniform(count_noise.flatten()[: len(x)]))
        coordinates, c = self.chart.split(x)
        loss = self.family.loss(coordinates, y, c, noise)
        if self.head is not None:
            loss = loss - self.head.log_mass(y[:batch], x[:batch, self.chart.count_index]).mean()
        return loss

    forward = loss

    @overload
    def sample(self, y_star: Tensor, n: int, *, seed: int = 0) -> Tensor: ...
    @overload
    def sample(self, y_star: ArrayLike, n: int, *, seed: int = 0) -> NDArray[np.float32]: ...
    @torch.inference_mode()
    def sample(self, y_star: ArrayLike | Tensor, n: int, *, seed: int = 0) -> NDArray[np.float32] | Tensor:
        """Draw from the model's posterior.

        Args:
            y_star: observations, shape (B, d_y) or (d_y,), NumPy or torch.
            n: samples per observation.
            seed: the samples of observation i depend on (seed, i) and its y* alone.

        Returns:
            float32, shape (B, n, d_x), in physical units; NumPy or torch (on the model's device) as y_star.

        Raises:
            ValueError: a bad shape, a non-finite observation or n < 1.
        """
        check_count("n", n)
        plain = y_star.detach().cpu().numpy() if isinstance(y_star, Tensor) else y_star
        y = self.problem.check_observations(plain)
        y_device = torch.as_tensor(y, dtype=torch.float32, device=self.device)
        samples = torch.empty(len(y), n, self.problem.dim_x, device=self.device)
        group = max(1, CHUNK.get(self.device.type, CHUNK["cpu"]) // n)
        for start in range(0, len(y), group):
            stop = min(start + group, len(y))
            noise = torch.stack([self._noise(seed, i, n) for i in range(start, stop)]).to(self.device)
            samples[start:stop] = self.draw(y_device[start:stop], noise)
        return samples if isinstance(y_star, Tensor) else samples.cpu().numpy()

    def _noise(self, seed: int, observation: int, n: int) -> Tensor:
        """Standard normals for one observation, shape (n, noise_width)."""
        words = np.random.SeedSequence((seed, observation)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
        return torch.randn(n, self.noise_width, generator=generator)

    @property
    def noise_width(self) -> int:
        """Standard normals that one sample consumes, see `draw`."""
        return self.family.draw_noise + 1

    def draw(self, y: Tensor, noise: Tensor) -> Tensor:
        """Samples as a pure function of their noise: what `sample` does once its noise is drawn.

        Args:
            y: observations in physical units, shape (g, d_y).
            noise: standard normals, shape (g, n, noise_width); the last column decides the count, if any.

        Returns:
            Shape (g, n, d_x), in physical units.
        """
        groups, n, _ = noise.shape
        y = self.chart.standardise_y(y)
        if self.head is None:
            levels = y.new_zeros(1, 0)
            level = torch.zeros(groups, n, dtype=torch.long, device=y.device)
        else:
            levels = self.chart.condition(self.head.counts(y))
            level = self.head.draw(y, to_uniform(noise[..., -1]))
        step = max(1, CHUNK.get(y.device.type, CHUNK["cpu"]) // groups)
        parts = []
        for start in range(0, n, step):
            part = slice(start, start + step)
            x = self.family.draw_many(y, levels, level[:, part], noise[:, part, :-1])
            x = self.chart.join(x.flatten(0, 1), levels[level[:, part].flatten()])
            parts.append(x.view(groups, -1, x.shape[-1]))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor | None:
        """log p(x | y) in physical units.

        Args:
            x: shape (N, d_x).
            y: shape (N, d_y).

        Returns:
            Shape (N,): log-density (log-mass in a factorised count); None where the family has no
            tractable density, or where counts are rounded.
        """
        if self.chart.rounded:
            return None
        y = self.chart.standardise_y(y)
        coordinates, c = self.chart.split(x)
        log_prob = self.family.log_prob(coordinates, y, c)
        if log_prob is None:
            return None
        log_prob = log_prob + self.chart.log_volume()
        if self.head is not None:
            log_prob = log_prob + self.head.log_mass(y, x[:, self.chart.count_index])
        return log_prob

    @torch.inference_mode()
    def forward_error(self, x: Tensor, y: Tensor) -> Tensor | None:
        """||predicted y - y||^2 per row in physical units, None where the family predicts no y."""
        predicted = self.family.predict(*self.chart.split(x))
        if predicted is None:
            return None
        return (self.chart.physical_y(predicted) - y).square().sum(-1)

    @torch.inference_mode()
    def cycle_error(self, x: Tensor) -> Tensor | None:
        """||x - decode(encode(x))||^2 per row in physical units, None where the family encodes nothing.

        Families that are conditioned on y get y = f(x); a factorised count is given, not reconstructed.
        """
        coordinates, c = self.chart.split(x)
        y = self.chart.standardise_y(self.problem.simulate(x))
        again = self.family.reconstruct(coordinates, y, c)
        if again is None:
            return None
        std = self.chart.x_moments[1].index_select(0, self.chart.columns)
        return ((again - coordinates) * std).square().sum(-1)
