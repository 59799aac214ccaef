"""What an engine is, and which one serves."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, Self

from fastinv.runner.messages import Deliver
from fastinv.runner.row import RowTask, Workbench
from fastinv.runner.settings import BenchSettings
from fastinv.store import RunWriter

# How often a row is begun again after the process that worked on it died.
RETRIES = 2


class Engine(AbstractContextManager["Engine"], Protocol):
    """Carries rows out and delivers their messages in the caller's thread; leaving it stops all work.

    Attributes:
        parallel: whether several rows go on at once.
    """

    parallel: bool

    def run(self, tasks: Sequence[RowTask]) -> None:
        """Carry rows out; returns when all have ended, well or not."""


class Serial:
    """One row after the other, in this process."""

    parallel = False

    def __init__(self, deliver: Deliver) -> None:
        self._bench = Workbench(deliver)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def run(self, tasks: Sequence[RowTask]) -> None:
        """Carry rows out, in order."""
        for task in tasks:
            self._bench.carry_out(task)


def start_engine(
    settings: BenchSettings, store: RunWriter, deliver: Deliver, jobs: int, cluster: str | None
) -> Engine:
    """The engine that was asked for.

    Raises:
        ClusterError: the cluster cannot be reached or has no fitting worker.
    """
    if cluster is not None:
        from fastinv.runner.engines.cluster import Cluster

        return Cluster(cluster, settings, store, deliver)
    if jobs > 1:
        from fastinv.runner.engines.jobs import Jobs

        return Jobs(jobs, settings.device, deliver)
    return Serial(deliver)
