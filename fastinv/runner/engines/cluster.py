"""Rows on a Dask cluster: Dask schedules, retries and watches the workers; only this process writes the run.

A row's progress streams back as it goes; its figures are the value of its task, when it has ended. Workers
that see the run's folder (one machine, a shared file system) keep their checkpoints there. Others keep them
in a temporary folder, and the trained weights travel with the figures.
"""

from __future__ import annotations

import pickle
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import fastinv
from fastinv.replacing import replacing
from fastinv.runner.engines.base import RETRIES
from fastinv.runner.events import Note, StageProgress
from fastinv.runner.messages import Began, Broke, Deliver, Message
from fastinv.runner.row import RowTask, Workbench, one_line
from fastinv.runner.settings import BenchSettings
from fastinv.store import RunWriter, StageKey

if TYPE_CHECKING:
    from distributed import Future

CONNECT_TIMEOUT_S = 15
RESOURCES = {"cpu": "cores", "cuda": "GPU"}

# Torch's state belongs to a process: two rows in its threads would not give the numbers of each alone.
_ONE_ROW_AT_A_TIME = threading.Lock()
_BENCHES: list[Workbench] = []


class ClusterError(RuntimeError):
    """A cluster that cannot be used; the message says why and what would do."""


@dataclass(frozen=True)
class Parcel:
    """What a worker needs for a row, and what comes back.

    Attributes:
        task: the row.
        mark: what the run's lock file says; a worker that reads the same sees the run's folder.
        topic: where progress goes.
        version: of fastinv.
        weights: trained weights of a row that is only to be scored or timed.
    """

    task: RowTask
    mark: str
    topic: str
    version: str
    weights: bytes | None


@dataclass(frozen=True)
class Yield:
    """A row's messages, and its weights where the worker does not see the run's folder."""

    messages: Sequence[Message]
    weights: bytes | None


@dataclass
class _Running:
    """A row under way and the stages that it said it began."""

    task: RowTask
    begun: list[StageKey] = field(default_factory=list)


class Cluster:
    """Rows as tasks of a Dask scheduler.

    Args:
        address: of the scheduler, such as tcp://host:8786.
        settings: the run's; its device decides which resource a task takes.
        store: the run, for the folder that workers may see.
        deliver: where messages go, called in the thread that calls `run`.

    Raises:
        ClusterError: distributed is not installed, the scheduler does not answer, or no worker offers the
            resource.
    """

    parallel = True

    def __init__(self, address: str, settings: BenchSettings, store: RunWriter, deliver: Deliver) -> None:
        self._deliver, self._store = deliver, store
        self._inbox: SimpleQueue[bytes | Future] = SimpleQueue()
        self._topic = f"fastinv-{uuid4().hex}"
        self._resources = {RESOURCES[settings.device]: 1}
        self._client = _connect(address)
        try:
            self._check_workers(address, RESOURCES[settings.device])
            self._client.subscribe_topic(self._topic, lambda event: self._inbox.put(event[1]))
        except BaseException:
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        # Tasks that nobody waits for any longer are dropped; one under way notices at its next progress.
        self._client.close()

    def run(self, tasks: Sequence[RowTask]) -> None:
        """Carry rows out, as many at once as the workers' resources allow."""
        running: dict[str, _Running] = {}
        for task in tasks:
            name = f"fastinv-{task.problem}-{task.model}-seed{task.seed}-{uuid4().hex}"
            running[name] = _Running(task)
            future = self._client.submit(
                carry_out_remotely,
                self._parcel(task),
                key=name,
                pure=False,
                retries=RETRIES,
                resources=self._resources,
            )
            future.add_done_callback(self._inbox.put)
        while running:
            arrived = self._inbox.get()
            if isinstance(arrived, bytes):
                name, message = pickle.loads(arrived)
                if name in running:  # else it is late, and its row has been delivered
                    if isinstance(message, Began):
                        running[name].begun.append(message.key)
                    self._deliver(message)
            else:
                self._settle(running.pop(arrived.key), arrived)

    def _settle(self, row: _Running, future: Future) -> None:
        task = row.task
        if future.status == "finished":
            found: Yield = future.result()
            if found.weights is not None:
                task.checkpoints.mkdir(parents=True, exist_ok=True)
                with replacing(task.weights) as unfinished:
                    unfinished.write_bytes(found.weights)
            for message in found.messages:
                if not (isinstance(message, Began) and message.key in row.begun):
                    self._deliver(message)
            return
        error = future.exception() if future.status == "error" else None
        line = "Dask gave its task up" if error is None else one_line(error)
        key = row.begun[-1] if row.begun else task.key(task.due[0])
        self._deliver(Began(key))
        self._deliver(Broke(key, line, f"{type(error).__name__}: {error}\n", 0.0))

    def _parcel(self, task: RowTask) -> Parcel:
        mark = (self._store.folder / "lock").read_text()
        task = replace(task, checkpoints=task.checkpoints.resolve())
        trained = "train" not in task.due and task.weights.is_file()
        weights = task.weights.read_bytes() if trained else None
        return Parcel(task, mark, self._topic, fastinv.__version__, weights)

    def _check_workers(self, address: str, resource: str) -> None:
        workers: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        if any(worker["resources"].get(resource, 0) >= 1 for worker in workers.values()):
            return
        raise ClusterError(
            f"none of the {len(workers)} workers of {address} offers the resource {resource!r}; start them "
            f'with: dask worker {address} --nthreads 1 --resources "{resource}=1"'
        )


def carry_out_remotely(parcel: Parcel) -> Yield:
    """What a worker does with a row.

    Raises:
        ClusterError: the worker has another version of fastinv.
    """
    from distributed import get_worker

    if fastinv.__version__ != parcel.version:
        raise ClusterError(f"the worker has fastinv {fastinv.__version__}, the run {parcel.version}")
    worker = get_worker()
    name = worker.get_current_task()
    kept: list[Message] = []

    def deliver(message: Message) -> None:
        if isinstance(message, Began | StageProgress | Note):
            worker.log_event(parcel.topic, pickle.dumps((name, message)))
        if not isinstance(message, StageProgress | Note):
            kept.append(message)
        if worker.state.tasks[name].state == "cancelled":
            raise _NobodyWaits

    with _ONE_ROW_AT_A_TIME, tempfile.TemporaryDirectory(prefix="fastinv-") as temporary:
        if not _BENCHES:
            _BENCHES.append(Workbench(deliver))
        bench = _BENCHES[0]
        bench.deliver = deliver
        task = parcel.task
        if _sees(task.checkpoints, parcel.mark):
            bench.carry_out(task)
            return Yield(kept, None)
        task = replace(task, checkpoints=Path(temporary), cache=_own_cache(task.cache))
        if parcel.weights is not None:
            task.weights.write_bytes(parcel.weights)
        bench.carry_out(task)
        return Yield(kept, task.weights.read_bytes() if task.weights.is_file() else None)


class _NobodyWaits(BaseException):
    """The head has gone or given the row up; not an error of the row."""


def _sees(checkpoints: Path, mark: str) -> bool:
    try:
        return (checkpoints.parent / "lock").read_text() == mark
    except (OSError, UnicodeDecodeError):
        return False


def _own_cache(wanted: Path | None) -> Path | None:
    from fastinv.posteriors import cache_folder

    return None if wanted is None else cache_folder()


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ClusterError("--cluster needs Dask: pip install 'fastinv[cluster]'") from None
    try:
        return Client(address, timeout=CONNECT_TIMEOUT_S, set_as_default=False, name="fastinv")
    except (OSError, ValueError) as error:
        cause = str(error) or type(error).__name__
        raise ClusterError(f"cannot reach a Dask scheduler at {address!r}: {cause}") from error
