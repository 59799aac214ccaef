"""Training: presets, the shared training set and the loop."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastinv.presets import PRESETS, Preset, preset
from fastinv.training.progress import OnProgress, TrainingDivergedError, TrainingProgress, TrainingResult

if TYPE_CHECKING:
    from fastinv.models.files import CheckpointError
    from fastinv.training.data import TrainingSet, training_set
    from fastinv.training.loop import fit

__all__ = [
    "PRESETS",
    "CheckpointError",
    "OnProgress",
    "Preset",
    "TrainingDivergedError",
    "TrainingProgress",
    "TrainingResult",
    "TrainingSet",
    "fit",
    "preset",
    "training_set",
]

# These need torch, which a look at the presets must not wait for.
_HOMES = {
    "CheckpointError": "fastinv.models.files",
    "TrainingSet": "fastinv.training.data",
    "fit": "fastinv.training.loop",
    "training_set": "fastinv.training.data",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fastinv.training' has no attribute {name!r}")
