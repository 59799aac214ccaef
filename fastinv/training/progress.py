"""What training reports while it runs and when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

REPORT_EVERY_S = 0.25


@dataclass(frozen=True)
class TrainingProgress:
    """Where a training stands.

    Attributes:
        epoch: number of the epoch, from 1.
        epochs: how many there are.
        batch: batches done, over all epochs.
        batches: how many there are, over all epochs.
        loss: mean loss of the most recent batches.
        validation_loss: most recent loss on held-out pairs, None before the first.
        elapsed_s: seconds of training, those before a resume included.
    """

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    validation_loss: float | None
    elapsed_s: float


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training leaves beside the model.

    Attributes:
        seconds: wall time, that before a resume included.
        batches: optimiser steps.
        loss: pairs (batches done, mean loss since the previous point).
        validation_loss: pairs (batches done, loss on held-out pairs with the averaged weights).
        data_checksum: SHA-256 of the training set.
    """

    seconds: float
    batches: int
    loss: list[tuple[int, float]]
    validation_loss: list[tuple[int, float]]
    data_checksum: str


class TrainingDivergedError(RuntimeError):
    """The loss or its gradient became NaN or infinite; the model holds its last good weights."""


OnProgress = Callable[[TrainingProgress], None]


@dataclass
class Reporter:
    """Calls back a few times a second at most, and always for the last batch."""

    callback: OnProgress | None
    _last: float = field(default=-1.0)

    def __call__(self, progress: TrainingProgress) -> None:
        now = time.monotonic()
        due = now - self._last >= REPORT_EVERY_S or progress.batch == progress.batches
        if self.callback is not None and due:
            self._last = now
            self.callback(progress)
