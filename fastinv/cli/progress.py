"""What a run shows on stderr while it works: one calm live view, or plain lines off a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from fastinv.cli.estimate import Estimate
from fastinv.cli.live import LiveView
from fastinv.cli.wording import VERBS, RowKey, finished, roughly, row_name
from fastinv.reports.text import duration, figure
from fastinv.runner.events import (
    Event,
    Note,
    OnEvent,
    StageFailed,
    StageFinished,
    StageProgress,
    StageStarted,
)

PLAIN_EVERY_S = 10.0


@contextmanager
def watching(estimate: Estimate | None = None) -> Iterator[OnEvent]:
    """A listener for a run's events that suits stderr.

    Args:
        estimate: of the run's time, None where only stages have one.
    """
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Plain(console, estimate)
        return
    view = LiveView(console, estimate)
    with view.live:
        yield view


class _Plain:
    """Lines without any control sequence, one every ten seconds at most while a stage goes on."""

    def __init__(self, console: Console, estimate: Estimate | None = None) -> None:
        self.console, self.estimate = console, estimate
        self.started = time.monotonic()
        self.last: dict[RowKey, float] = {}

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if self.estimate is not None:
            self.estimate(event)
        if isinstance(event, StageProgress):
            if now - self.last.get(event.key[:3], self.started) < PLAIN_EVERY_S:
                return
            parts = [f"{row_name(event.key)}: {event.what} {event.done:.0%}", *self._state(event)]
            self._print(", ".join(parts))
        elif isinstance(event, StageStarted):
            self._print(
                f"{row_name(event.key)}: {VERBS[event.key.stage]} ({event.position} of {event.total})"
            )
        elif isinstance(event, StageFinished):
            self._print(finished(event.key, event.seconds, event.headline))
        elif isinstance(event, StageFailed):
            self._print(f"{row_name(event.key)}: failed: {event.error} (details: {event.log})")
        elif isinstance(event, Note):
            self._print(event.text)
            return
        self.last[event.key[:3]] = now

    def _state(self, event: StageProgress) -> list[str]:
        parts = [f"loss {figure(event.loss)}"] if event.loss is not None else []
        if event.seconds_left is not None and event.done < 1.0:
            parts.append(f"{duration(event.seconds_left)} left")
        if self.estimate is not None and (left := self.estimate.left()) is not None:
            parts.append(f"run about {roughly(left)} left")
        return parts

    def _print(self, line: str) -> None:
        # Not through the console: it would fold long lines at 80 columns.
        print(line, file=self.console.file, flush=True)
