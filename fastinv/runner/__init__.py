"""Carries a benchmark out: what is due, each stage in turn, resume and progress."""

from fastinv.runner.benchmark import Outcome, run_benchmark
from fastinv.runner.engines import ClusterError
from fastinv.runner.events import Event, Note, StageFailed, StageFinished, StageProgress, StageStarted
from fastinv.runner.settings import BenchSettings, check_kernel, resolve_models, resolve_settings
from fastinv.runner.submission import Submission, score_submission

__all__ = [
    "BenchSettings",
    "ClusterError",
    "Event",
    "Note",
    "Outcome",
    "StageFailed",
    "StageFinished",
    "StageProgress",
    "StageStarted",
    "Submission",
    "check_kernel",
    "resolve_models",
    "resolve_settings",
    "run_benchmark",
    "score_submission",
]
