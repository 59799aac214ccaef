"""A run on disk: one SQLite file, checkpoints and logs beside it."""

from fastinv.store.errors import RunBusyError, SettingsMismatchError, StoreError
from fastinv.store.reader import RunReader, list_runs
from fastinv.store.records import (
    DRAW,
    FLOOR,
    IN_MODE,
    STAGES,
    ModelFacts,
    Stage,
    StageKey,
    StageResult,
    TimingRow,
)
from fastinv.store.writer import RunWriter

__all__ = [
    "DRAW",
    "FLOOR",
    "IN_MODE",
    "STAGES",
    "ModelFacts",
    "RunBusyError",
    "RunReader",
    "RunWriter",
    "SettingsMismatchError",
    "Stage",
    "StageKey",
    "StageResult",
    "StoreError",
    "TimingRow",
    "list_runs",
]
