"""The live view of a run on a terminal: what is being worked on, and how long it will take."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from fastinv.cli.estimate import Estimate
from fastinv.cli.sparkline import ASCII, UNICODE, sparkline
from fastinv.cli.wording import VERBS, RowKey, finished, roughly, row_name
from fastinv.reports.text import duration, figure
from fastinv.runner.events import Event, Note, StageFailed, StageFinished, StageProgress, StageStarted
from fastinv.store import FLOOR, STAGES, StageKey

BAR = 16
SPARK = 14
LOSSES = 2000


@dataclass
class _Row:
    """A row that is being worked on."""

    key: StageKey
    position: str
    what: str
    done: float = 0.0
    left: float | None = None
    loss: float | None = None
    losses: deque[float] = field(default_factory=lambda: deque(maxlen=LOSSES))


class LiveView:
    """Two lines for every row that is being worked on and one for the run; above them what is done.

    Args:
        console: of the terminal.
        estimate: of the run's time, None where there is no run of several rows.
    """

    def __init__(self, console: Console, estimate: Estimate | None = None) -> None:
        self.console, self.estimate = console, estimate
        self.live = Live(self, console=console, transient=True, refresh_per_second=4)
        self.rows: dict[RowKey, _Row] = {}
        self.finished_rows = 0
        self.total_rows = 0

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        if self.estimate is not None:
            self.estimate(event)
        if isinstance(event, StageStarted):
            self._start(event)
        elif isinstance(event, StageProgress):
            self._progress(event)
        elif isinstance(event, StageFinished):
            self._finish(event)
        elif isinstance(event, StageFailed):
            self.rows.pop(event.key[:3], None)
            text = f"{row_name(event.key)}: failed: {event.error} (details: {event.log})"
            self.console.print(Text(text, style="bold red"))
        elif isinstance(event, Note):
            self.console.print(Text(event.text))

    def _start(self, event: StageStarted) -> None:
        self.total_rows, self.finished_rows = event.total, max(self.finished_rows, event.position - 1)
        position = f"{event.position}/{event.total}"
        self.rows[event.key[:3]] = _Row(event.key, position, VERBS[event.key.stage])

    def _progress(self, event: StageProgress) -> None:
        row = self.rows.setdefault(event.key[:3], _Row(event.key, "", event.what))
        row.what, row.done, row.left, row.loss = event.what, event.done, event.seconds_left, event.loss
        if event.loss is not None:
            row.losses.append(event.loss)

    def _finish(self, event: StageFinished) -> None:
        self.rows.pop(event.key[:3], None)
        if event.key.stage != "time":
            self.console.print(Text(finished(event.key, event.seconds, event.headline)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The lines, each cut at the terminal's width."""
        plain = options.ascii_only
        for row in list(self.rows.values()):
            yield _cut(_heading(row, plain))
            yield _cut(_state(row, plain))
        if self.total_rows > 1:
            yield _cut(self._run_line(plain))

    def _run_line(self, plain: bool) -> Text:
        left = self.estimate.left() if self.estimate is not None else None
        text = f"run      {_bar(self.finished_rows / self.total_rows, plain)} "
        text += f"{self.finished_rows} of {self.total_rows} rows"
        if left is not None:
            text += f", about {roughly(left)} left"
        return Text(text, style="dim")


def _heading(row: _Row, plain: bool) -> Text:
    text = Text(row_name(row.key), style="bold")
    if row.position:
        text.append(f"  [{row.position}]", style="not bold dim")
    stages = STAGES[1:] if row.key.model == FLOOR else STAGES
    now = stages.index(row.key.stage)
    for i, stage in enumerate(stages):
        text.append("   " if i == 0 else "  ")
        if i < now:
            text.append(f"{stage} {'ok' if plain else '✓'}", style="not bold green")
        elif i == now:
            text.append(f"> {stage}" if plain else f"› {stage}")
        else:
            text.append(stage, style="not bold dim")
    return text


def _state(row: _Row, plain: bool) -> Text:
    text = Text(f"{row.what[:20]:<8} ")
    text.append(_bar(row.done, plain), style="cyan")
    text.append(f" {row.done:4.0%}")
    if row.loss is not None:
        text.append(f"  loss {figure(row.loss) or 'nan'} ")
        text.append(sparkline(row.losses, SPARK, ASCII if plain else UNICODE), style="cyan")
    if row.left is not None and row.done < 1.0:
        text.append(f"  {duration(row.left)} left")
    return text


def _bar(share: float, plain: bool) -> str:
    full = round(min(max(share, 0.0), 1.0) * BAR)
    return "#" * full + "-" * (BAR - full) if plain else "━" * full + "┄" * (BAR - full)


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "crop"
    return text
