"""What a run shows on stderr while it works: one calm live view, or plain lines off a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.text import Text

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
from fastinv.store import StageKey

PLAIN_EVERY_S = 10.0
RowKey = tuple[str, str, int]
VERBS = {"train": "training", "score": "scoring", "time": "timing"}


@contextmanager
def watching() -> Iterator[OnEvent]:
    """A listener for a run's events that suits stderr."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Plain(console)
        return
    live = _Live(console)
    with live.progress:
        yield live


def _name(key: StageKey) -> str:
    return f"{key.problem} {key.model}" + (f" seed {key.seed}" if key.seed else "")


def _finished(event: StageFinished) -> str:
    scores = [
        f"{label} {figure(event.headline[metric])}"
        for metric, label in (("err_post", "Err_post"), ("err_resim", "Err_resim"))
        if metric in event.headline
    ]
    return (
        f"{_name(event.key)}: {', '.join([*scores, VERBS[event.key.stage]])} took {duration(event.seconds)}"
    )


def _state(event: StageProgress) -> str:
    parts = [f"loss {figure(event.loss)}"] if event.loss is not None else []
    if event.seconds_left is not None and event.done < 1.0:
        parts.append(f"{duration(event.seconds_left)} left")
    return ", ".join(parts)


class _Plain:
    """Lines without any control sequence, one every ten seconds at most while a stage goes on."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.started = time.monotonic()
        self.last: dict[RowKey, float] = {}

    def __call__(self, event: Event) -> None:
        now = time.monotonic()
        if isinstance(event, StageProgress):
            if now - self.last.get(event.key[:3], self.started) < PLAIN_EVERY_S:
                return
            state = _state(event)
            self._print(
                f"{_name(event.key)}: {event.what} {event.done:.0%}" + (f", {state}" if state else "")
            )
        elif isinstance(event, StageStarted):
            self._print(f"{_name(event.key)}: {VERBS[event.key.stage]} ({event.position} of {event.total})")
        elif isinstance(event, StageFinished):
            self._print(_finished(event))
        elif isinstance(event, StageFailed):
            self._print(f"{_name(event.key)}: failed: {event.error} (details: {event.log})")
        elif isinstance(event, Note):
            self._print(event.text)
            return
        self.last[event.key[:3]] = now

    def _print(self, line: str) -> None:
        # Not through the console: it would fold long lines at 80 columns.
        print(line, file=self.console.file, flush=True)


class _Live:
    """A bar for every row that is being worked on, and lines above them for what is done."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
            transient=True,
            refresh_per_second=4,
        )
        self.bars: dict[RowKey, TaskID] = {}
        self.position: dict[RowKey, str] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self.position[event.key[:3]] = f"[{event.position}/{event.total}] "
            self._show(event.key, VERBS[event.key.stage], 0.0, "")
        elif isinstance(event, StageProgress):
            self._show(event.key, event.what, event.done, _state(event))
        elif isinstance(event, StageFinished):
            self._hide(event.key)
            if event.key.stage != "time":
                self.console.print(Text(_finished(event)))
        elif isinstance(event, StageFailed):
            self._hide(event.key)
            self.console.print(Text(f"{_name(event.key)}: failed: {event.error}", style="bold red"))
        elif isinstance(event, Note):
            self.console.print(Text(event.text))

    def _show(self, key: StageKey, what: str, done: float, state: str) -> None:
        row = key[:3]
        description = f"{self.position.get(row, '')}{_name(key)}: {what}"
        if row not in self.bars:
            self.bars[row] = self.progress.add_task(description, total=1.0, state=state)
        self.progress.update(self.bars[row], description=description, completed=done, state=state)

    def _hide(self, key: StageKey) -> None:
        if (bar := self.bars.pop(key[:3], None)) is not None:
            self.progress.remove_task(bar)
