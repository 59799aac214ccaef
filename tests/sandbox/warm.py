"""Processes that start with everything imported: forks of one that has done nothing else.

Importing torch and the rest takes two seconds of a core, each time, and is what most tests that need a
process of their own would spend their time on. Elsewhere than on Linux plain processes serve.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any, Protocol, TextIO

LONG = 1000.0  # seconds; a test has less
# No thread may live when the process forks, so what starts some (a kernel's first call) is not called here.
PRELOADED = [
    "numba",
    "torch",
    "scipy.special",
    "fastinv.cli",
    "fastinv.cli.bench",
    "fastinv.kernels.mmd",
    "fastinv.kernels.rejection.op",
    "fastinv.models",
    "fastinv.posteriors",
    "fastinv.problems.ballistics",
    "fastinv.problems.kinematics",
    "fastinv.reports",
    "fastinv.runner",
    "fastinv.timing.roofline",
    "fastinv.training",
]


class Process(Protocol):
    """What tests use of `subprocess.Popen`, with streams of text."""

    pid: int
    stdout: Any
    stderr: Any

    @property
    def returncode(self) -> int | None: ...
    def poll(self) -> int | None: ...
    def communicate(self, timeout: float | None = None) -> tuple[str, str]: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


def fork(
    code: str, arguments: tuple[str, ...], cwd: Path, env: Mapping[str, str], *, new_session: bool = False
) -> Process:
    """A process that runs code much as `python -c` does, with pipes for its output and errors.

    It differs in what follows an end: functions of `atexit` are not called, and a KeyboardInterrupt that
    nobody catches gives exit code 1.

    Args:
        code: Python.
        arguments: for `sys.argv`.
        cwd: folder that it runs in.
        env: all of its environment. What a module reads while it is imported (OMP_NUM_THREADS,
            PYTHONIOENCODING) has the value of this process instead: `plain` serves if that matters.
        new_session: make it the leader of a session of its own.
    """
    kind = _Fork if sys.platform == "linux" else plain
    return kind(code, arguments, cwd, env, new_session=new_session)


def end(process: Process) -> None:
    """Kill a process if it lives, and close its pipes; a descendant that holds them is waited for briefly."""
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=20.0)


def output_of(process: Process, timeout: float) -> str:
    """What a process prints until its end, which has to be a success; none is left behind."""
    try:
        out, err = process.communicate(timeout=timeout)
        assert process.returncode == 0, err
        return out
    finally:
        end(process)


def plain(
    code: str, arguments: tuple[str, ...], cwd: Path, env: Mapping[str, str], *, new_session: bool = False
) -> Process:
    """The same as a process that imports for itself."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=new_session,
    )


class _Fork:
    """A fork, and the ends of its pipes."""

    def __init__(
        self, code: str, arguments: tuple[str, ...], cwd: Path, env: Mapping[str, str], *, new_session: bool
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        ends = [os.pipe() for _ in range(2)]
        self.stdout, self.stderr = (os.fdopen(read) for read, _ in ends)
        streams = [_Stream(write) for _, write in ends]
        self._process = context.Process(
            target=_run, args=(code, arguments, str(cwd), dict(env), streams, new_session)
        )
        self._process.start()
        for _, write in ends:
            os.close(write)
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        end = time.monotonic() + (LONG if timeout is None else timeout)
        texts: list[list[str]] = [[], []]
        readers = [
            threading.Thread(target=_read, args=(stream, text), daemon=True)
            for stream, text in zip((self.stdout, self.stderr), texts, strict=True)
        ]
        for reader in readers:
            reader.start()
        for part in (*readers, self._process):
            part.join(max(0.0, end - time.monotonic()))
        if any(reader.is_alive() for reader in readers) or self.poll() is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return "".join(texts[0]), "".join(texts[1])

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Stream:
    """A file descriptor that travels to the fork."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _Stream.arrived, (DupFd(self._number),)

    @staticmethod
    def arrived(duplicate: Any) -> int:
        number: int = duplicate.detach()
        return number


def _read(stream: TextIO, text: list[str]) -> None:
    # Closed by the reader of an earlier call, perhaps one that ran out of time and is reading still.
    with contextlib.suppress(ValueError), stream:
        text.append(stream.read())


def _run(
    code: str, arguments: tuple[str, ...], cwd: str, env: dict[str, str], streams: list[int], session: bool
) -> None:
    """In the fork."""
    if session:
        os.setsid()
    for here, number in zip(streams, (1, 2), strict=True):
        os.dup2(here, number)
        os.close(here)
    # Those of the server remember what kind of file they were.
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["-c", *arguments]
    with _measured():
        exec(code, {"__name__": "__main__"})


@contextlib.contextmanager
def _measured() -> Iterator[None]:
    """Under coverage.py where tests/coverage_by_room.py asks for it: the forking server runs without."""
    if "FASTINV_TESTS_COVERAGE" not in os.environ:
        yield
        return
    import coverage

    data, configuration = os.environ["FASTINV_TESTS_COVERAGE"].split(os.pathsep)
    measured = coverage.Coverage(data_file=data, data_suffix=True, config_file=configuration)
    # That modules were imported before would be said on the error stream, which tests read.
    measured.set_option("run:disable_warnings", ["module-not-measured"])
    measured.start()
    try:
        yield
    finally:
        measured.stop()
        # A process that may not write large files cannot write this one either, and goes unmeasured.
        with contextlib.suppress(coverage.CoverageException, sqlite3.OperationalError):
            measured.save()
