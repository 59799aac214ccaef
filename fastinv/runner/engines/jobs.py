"""Several rows at once on one machine: concurrent.futures deals them out to threads, one process each.

A process per thread, rather than a pool of processes, tells whose row is lost when one is killed, and each
has a pipe of its own that no killed neighbour can leave locked.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Self

from fastinv.runner.engines.base import RETRIES
from fastinv.runner.events import Note
from fastinv.runner.messages import Began, Broke, Deliver, Message
from fastinv.runner.row import RowTask, Workbench

_CONTEXT = multiprocessing.get_context("spawn")


class Jobs:
    """Rows in processes of this machine.

    Args:
        jobs: how many at once.
        device: "cpu", or "cuda": then the processes take the machine's GPUs in turn.
        deliver: where messages go, called in the thread that calls `run`.
    """

    parallel = True

    def __init__(self, jobs: int, device: str, deliver: Deliver) -> None:
        self._jobs, self._device, self._deliver = jobs, device, deliver
        self._inbox: SimpleQueue[Message | None] = SimpleQueue()
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="fastinv-job")
        self._own = threading.local()
        self._workers: list[_Worker] = []
        self._guard = threading.Lock()
        self._stopping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._guard:
            self._stopping = True
            for worker in self._workers:
                worker.kill()
        self._threads.shutdown(cancel_futures=True)

    def run(self, tasks: Sequence[RowTask]) -> None:
        """Carry rows out, as many at once as there are jobs."""
        futures = [self._threads.submit(self._carry_out, task) for task in tasks]
        running = len(futures)
        while running:
            message = self._inbox.get()
            if message is None:
                running -= 1
            else:
                self._deliver(message)
        for future in futures:
            future.result()

    def _carry_out(self, task: RowTask) -> None:
        """In a thread: let its process do a row, and another one if it dies."""
        try:
            for attempt in range(1 + RETRIES):
                key = task.key(task.due[0])
                worker = self._worker()
                if worker is None:
                    return
                for message in worker.carry_out(task):
                    key = message.key if isinstance(message, Began) else key
                    self._inbox.put(message)
                if worker.alive or self._stopping:
                    return
                how = f"its process {worker.cause_of_death()}"
                if attempt < RETRIES:
                    self._inbox.put(Note(f"{task.problem} {task.model}: {how}; it goes on in another"))
            details = f"{how}, {1 + RETRIES} times. It may have run out of memory; fewer --jobs need less.\n"
            self._inbox.put(Began(key))
            self._inbox.put(Broke(key, f"{how}, {1 + RETRIES} times", details, 0.0))
        finally:
            self._inbox.put(None)

    def _worker(self) -> _Worker | None:
        """This thread's process, started if there is none that lives; None while all is being stopped."""
        worker: _Worker | None = getattr(self._own, "worker", None)
        if worker is not None and worker.alive:
            return worker
        with self._guard:
            if self._stopping:
                return None
            number = len(self._workers)
            worker = self._own.worker = _Worker(number, self._jobs, self._device)
            self._workers.append(worker)
        return worker


class _Worker:
    """A process that carries rows out, and the pipe to it."""

    def __init__(self, number: int, jobs: int, device: str) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(
            target=serve, args=(theirs, number, jobs, device), daemon=True, name=f"fastinv-job-{number}"
        )
        with _interrupts_blocked():
            self._process.start()
        theirs.close()
        self.alive = True

    def carry_out(self, task: RowTask) -> Iterator[Message]:
        """The row's messages; they break off where the process dies."""
        try:
            self._pipe.send(task)
            while (message := self._pipe.recv()) is not None:
                yield message
        except (EOFError, OSError):
            self.alive = False

    def cause_of_death(self) -> str:
        """How the process ended, in words."""
        self._process.join()
        code = self._process.exitcode or 0
        return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def kill(self) -> None:
        """End the process at once; its files are never half written."""
        self._process.kill()
        self._process.join()


def serve(pipe: Connection, number: int, jobs: int, device: str) -> None:
    """What a process does: rows, until the pipe is closed."""
    # Ctrl-C reaches the whole group of processes; the head decides what becomes of this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _share_the_machine(number, jobs, device)
    bench = Workbench(pipe.send)
    while True:
        try:
            task: RowTask = pipe.recv()
        except EOFError:
            return
        bench.carry_out(task)
        pipe.send(None)


def _leave_with_parent() -> None:
    """A head that was killed must leave nobody behind who writes its files."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _share_the_machine(number: int, jobs: int, device: str) -> None:
    """Take this process's share of the cores, before anything reads how many there are; or its GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // jobs)))
    os.environ.setdefault("NUMBA_NUM_THREADS", threads)
    import torch

    if threads.isdecimal():
        torch.set_num_threads(max(1, int(threads)))
    if device == "cuda":
        torch.cuda.set_device(number % torch.cuda.device_count())


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A child inherits the mask, and so hears no Ctrl-C before it can ignore it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
