"""What a benchmark tells whoever watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastinv.store import StageKey


@dataclass(frozen=True)
class StageStarted:
    """A stage begins.

    Attributes:
        key: which one.
        position: number of its row among all rows of the run, from 1.
        total: number of rows.
    """

    key: StageKey
    position: int
    total: int


@dataclass(frozen=True)
class StageProgress:
    """Where the current stage stands.

    Attributes:
        key: which one.
        what: what is being done, in a word or two.
        done: share done, 0 to 1.
        seconds_left: estimate for this stage, None while there is nothing to go by.
        loss: the most recent training loss, None outside training.
    """

    key: StageKey
    what: str
    done: float
    seconds_left: float | None = None
    loss: float | None = None


@dataclass(frozen=True)
class StageFinished:
    """A stage is committed; `headline` holds the means of its scores by metric."""

    key: StageKey
    seconds: float
    headline: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StageFailed:
    """A stage failed: its cause in one line and the log file that has the rest."""

    key: StageKey
    error: str
    log: str


@dataclass(frozen=True)
class Note:
    """Anything else that a person should know."""

    text: str


Event = StageStarted | StageProgress | StageFinished | StageFailed | Note
OnEvent = Callable[[Event], None]
