"""The models: one interface, one file per family."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastinv.models.info import ModelInfo
from fastinv.models.registry import Entry, model, model_info, model_names

if TYPE_CHECKING:
    from fastinv.models.base import ModelSpec, PosteriorModel
    from fastinv.models.build import BudgetError
    from fastinv.models.family import Dims, Family
    from fastinv.models.files import CheckpointError
    from fastinv.models.saving import load, save

__all__ = [
    "BudgetError",
    "CheckpointError",
    "Dims",
    "Entry",
    "Family",
    "ModelInfo",
    "ModelSpec",
    "PosteriorModel",
    "load",
    "model",
    "model_info",
    "model_names",
    "save",
]

# These need torch, which `model_names` and `model_info` must not wait for.
_HOMES = {
    "BudgetError": "fastinv.models.build",
    "CheckpointError": "fastinv.models.files",
    "Dims": "fastinv.models.family",
    "Family": "fastinv.models.family",
    "ModelSpec": "fastinv.models.base",
    "PosteriorModel": "fastinv.models.base",
    "load": "fastinv.models.saving",
    "save": "fastinv.models.saving",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fastinv.models' has no attribute {name!r}")
