"""Where the messages of all rows end up: in the store, and with whoever watches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastinv.runner.events import OnEvent, StageFailed, StageFinished, StageStarted
from fastinv.runner.messages import Began, Broke, Described, Ended, Message, ScoredUnder
from fastinv.runner.row import keep_only_weights
from fastinv.store import RunWriter, StageKey, StageResult

RowKey = tuple[str, str, int]


class Desk:
    """The one place that writes a run.

    Args:
        store: where results go.
        rows: all rows of the run, for their positions.
        on_event: told of all that happens.
    """

    def __init__(self, store: RunWriter, rows: Sequence[RowKey], on_event: OnEvent) -> None:
        self.store, self.on_event = store, on_event
        self.computed = 0
        self._position = {row: i for i, row in enumerate(rows, start=1)}

    def deliver(self, message: Message) -> None:
        """Commit what a message brings and pass it on.

        Raises:
            StoreError: it cannot be written.
        """
        match message:
            case Began(key):
                self.on_event(StageStarted(key, self._position[key[:3]], len(self._position)))
                self.store.begin(key)
            case Ended(key, result):
                self._end(key, result)
            case Broke(key, error, details, seconds):
                log = self.store.fail(key, error, details, seconds)
                self.on_event(StageFailed(key, error, log))
            case Described(key, facts):
                self.store.describe_model(*key[:3], facts)
            case ScoredUnder(problem, protocol_hash, content):
                self.store.describe_protocol(problem, protocol_hash, content)
            case _:
                self.on_event(message)

    def _end(self, key: StageKey, result: StageResult) -> None:
        self.store.finish(key, result)
        self.computed += 1
        self.on_event(StageFinished(key, result.seconds, _headline(result)))
        if key.stage == "train":
            keep_only_weights(self.store.checkpoints, key)


def _headline(result: StageResult) -> dict[str, float]:
    finite = {metric: values[np.isfinite(values)] for metric, values in result.scores.items()}
    return {metric: float(values.mean()) for metric, values in finite.items() if len(values)}
