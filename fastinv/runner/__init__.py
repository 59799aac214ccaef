"""Carries a benchmark out: what is due, each stage in turn, resume and progress."""

from fastinv.runner.benchmark import Outcome, run_benchmark
from fastinv.runner.events import Event, Note, StageFailed, StageFinished, StageProgress, StageStarted
from fastinv.runner.settings import BenchSettings, resolve_models, resolve_settings

__all__ = [
    "BenchSettings",
    "Event",
    "Note",
    "Outcome",
    "StageFailed",
    "StageFinished",
    "StageProgress",
    "StageStarted",
    "resolve_models",
    "resolve_settings",
    "run_benchmark",
]
