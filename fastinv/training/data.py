"""The training set that all models of a run share, and the order of its batches."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from fastinv.presets import Preset
from fastinv.problems import Problem

VALIDATION_PAIRS = 2048
# Distinct from the published observations' seed; validation pairs come from the seed after it.
DATA_SEED = 100


@dataclass(frozen=True)
class TrainingSet:
    """Pairs of parameters and observations, float32.

    Attributes:
        x: training parameters, shape (n, d_x).
        y: their observations, shape (n, d_y).
        x_validation: held-out parameters.
        y_validation: their observations.
        checksum: SHA-256 over all four, in hexadecimal.
    """

    x: Tensor
    y: Tensor
    x_validation: Tensor
    y_validation: Tensor
    checksum: str

    def to(self, device: torch.device) -> TrainingSet:
        """The same on another device, so that batches need no transfer."""
        x, y = self.x.to(device), self.y.to(device)
        return TrainingSet(x, y, self.x_validation.to(device), self.y_validation.to(device), self.checksum)


def training_set(problem: Problem, pairs: int) -> TrainingSet:
    """Draw a problem's training set; the last one is kept, since all models of a run use it.

    Args:
        problem: prior and forward process.
        pairs: number of training pairs.

    Raises:
        ValueError: the forward process gave a non-finite value; the message names the row.
    """
    return _cached(problem, pairs)


@lru_cache(maxsize=2)
def _cached(problem: Problem, pairs: int) -> TrainingSet:
    digest = hashlib.sha256()
    tensors: list[Tensor] = []
    for name, n, seed in (("training", pairs, DATA_SEED), ("validation", VALIDATION_PAIRS, DATA_SEED + 1)):
        x = problem.sample_prior(n, seed=seed)
        y = problem.simulate(x)
        bad = np.flatnonzero(~(np.isfinite(x).all(1) & np.isfinite(y).all(1)))
        if len(bad):
            raise ValueError(
                f"{name} data of problem {problem.name!r} must be finite; row {bad[0]} has "
                f"x = {x[bad[0]].tolist()}, y = {y[bad[0]].tolist()}"
            )
        for array in (x.astype(np.float32), y.astype(np.float32)):
            digest.update(array.tobytes())
            tensors.append(torch.from_numpy(array))
    x_train, y_train, x_held_out, y_held_out = tensors
    return TrainingSet(x_train, y_train, x_held_out, y_held_out, digest.hexdigest())


class BatchOrder:
    """Which pairs a step sees, as a pure function of (seed, step).

    Args:
        preset: number of pairs, batch size and epochs.
        seed: of the shuffling.
        earlier: batches before a step's own that it sees as well.

    Attributes:
        pairs: how many a step sees, fewer than asked for where the training has fewer batches.
    """

    def __init__(self, preset: Preset, seed: int, earlier: int = 0) -> None:
        self.preset, self.seed = preset, seed
        self._shown = min(1 + earlier, preset.batches)
        self.pairs = self._shown * preset.batch_size
        # Two, as batches before the first of an epoch belong to the one before.
        self._epochs = lru_cache(maxsize=2)(self._shuffled)

    def rows(self, step: int) -> Tensor:
        """Indices of the pairs of a step's batch, then of those of the steps before it, shape (pairs,).

        Before the first step lies the last. Steps are counted over all epochs, from 0.
        """
        return torch.cat([self._batch((step - back) % self.preset.batches) for back in range(self._shown)])

    def _batch(self, step: int) -> Tensor:
        epoch, batch = divmod(step, self.preset.batches_per_epoch)
        size = self.preset.batch_size
        return self._epochs(epoch)[batch * size : (batch + 1) * size]

    def _shuffled(self, epoch: int) -> Tensor:
        generator = generator_for(self.seed, "order", epoch)
        return torch.randperm(self.preset.training_pairs, generator=generator)


def generator_for(seed: int, purpose: str, index: int) -> torch.Generator:
    """A CPU generator that is a pure function of its arguments."""
    words = np.random.SeedSequence((seed, *purpose.encode(), index)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(words[0] >> np.uint64(1)))
