"""What a row says while it is carried out, in this process or in another; only the head process writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastinv.runner.events import Note, StageProgress
from fastinv.store import ModelFacts, StageKey, StageResult


@dataclass(frozen=True)
class Began:
    """A stage is being worked on."""

    key: StageKey


@dataclass(frozen=True)
class Ended:
    """A stage went well, and these are its figures."""

    key: StageKey
    result: StageResult


@dataclass(frozen=True)
class Broke:
    """A stage raised: the cause in one line, the whole story, and the seconds spent."""

    key: StageKey
    error: str
    details: str
    seconds: float


@dataclass(frozen=True)
class Described:
    """What a table says of a row's model besides its scores; of `key` the stage does not matter."""

    key: StageKey
    facts: ModelFacts


@dataclass(frozen=True)
class ScoredUnder:
    """The protocol of a problem's scores."""

    problem: str
    hash: str
    content: Mapping[str, Any]


Message = Began | Ended | Broke | Described | ScoredUnder | StageProgress | Note
Deliver = Callable[[Message], None]
