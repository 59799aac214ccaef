"""Runs the benchmark suites: in one process beside a yardstick, or two versions in step, one in each of two.

A shared machine has phases, some shorter than a second, in which all work takes up to twice as long. Two
processes that take turns every few milliseconds see the same ones: there the median ratio of sixty rounds is
within 1% for a kernel whose best times in processes that run one after the other are 1.3 apart.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import IO, Any

from tracking import versions
from tracking.fixture import INJECT
from tracking.steps import IN_STEP, Announced, Took, calls_in_a_round
from tracking.verdict import CPU
from tracking.versions import Version, VersionError

FOLDER = "bench/suites"
ROOT = Path(__file__).resolve().parents[2]
NO_TESTS = 5  # pytest's exit code
# Rounds of each version in step, and for how long the two take turns at one benchmark.
STEPS_S, LEAST_STEPS, MOST_STEPS = 0.8, 9, 61


# What would otherwise be one way in one process and another way in the next.
STEADY = {
    # glibc keeps what was freed instead of giving it back to the system: to fetch arrays anew in each call
    # takes up to half as long again.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 36),
    "MALLOC_TOP_PAD_": str(1 << 28),
    # Threads of OpenMP that have nothing to do sleep: while they look for work, others miss their core.
    "OMP_WAIT_POLICY": "passive",
}


def pytest_command(version: Version, folder: str | Path) -> list[str]:
    """The command that runs benchmarks on a version, but for what to run; see `pytest_environment`.

    Args:
        version: of the library.
        folder: for what benchmarks write: where pytest has it by default, processes that remove what earlier
            ones left get into each other's way, and fail.
    """
    command = [str(version.python), "-P", "-m", "pytest", f"--basetemp={folder}/pytest"]
    for plugin in ("pytest_benchmark.plugin", "pytest_timeout", "no:cacheprovider"):
        command += ["-p", plugin]
    command += ["--override-ini=addopts=--import-mode=importlib -q", "--benchmark-only", "--benchmark-quiet"]
    # Where nothing was run, pytest's exit code says so and this warning, an error here, would hide it.
    return [*command, "-W", "ignore:Not saving anything"]


def pytest_environment(version: Version) -> dict[str, str]:
    """Of that command: no plugins but those that it names, for others take time in every process."""
    dropped = {IN_STEP} if version.commit is None else {IN_STEP, INJECT}
    kept = {key: value for key, value in versions.clean().items() if key not in dropped}
    return kept | STEADY | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}


def beside_yardstick(version: Version, what: Sequence[str], output: Path) -> dict[str, float]:
    """Benchmark name to its ratio to its yardstick, of wall times and, as `name + CPU`, of CPU times.

    Args:
        version: of the library.
        what: arguments that say to pytest what to run.
        output: file for pytest-benchmark's JSON.

    Raises:
        VersionError: nothing was run.
        SystemExit: a benchmark failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*pytest_command(version, folder), *what, f"--benchmark-json={output.resolve()}"],
            cwd=ROOT,
            env=pytest_environment(version),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    if done.returncode == NO_TESTS:
        raise VersionError(f"no benchmark was run by: {' '.join(what)}")
    _passed(done.returncode, done.stdout)
    if not output.exists():
        return {}
    found = {}
    for benchmark in json.loads(output.read_text())["benchmarks"]:
        name, more = _name(benchmark["fullname"]), benchmark["extra_info"]
        for key, figure in ((name, "ratio"), (name + CPU, "cpu_ratio")):
            if figure in more:
                found[key] = more[figure]
    return found


def in_step(old: Version, new: Version, names: Sequence[str]) -> dict[str, float]:
    """Benchmark name to the new version's time by the old one's, and `name + CPU` to that of CPU times.

    Each version has a process; these prepare a benchmark at the same time and then run rounds of it in turns.
    What the old version cannot run is left out.

    Args:
        old: version to compare with.
        new: version whose benchmarks have to pass.
        names: of the benchmarks.

    Raises:
        SystemExit: a benchmark failed in the new version.
    """
    rank = {_node(name): place for place, name in enumerate(names)}
    ratios: dict[str, float] = {}
    with ExitStack() as stack:
        sides = [stack.enter_context(_running(version, list(rank))) for version in (old, new)]
        for side in sides:
            side.arrive()
        # Whoever lacks a benchmark is at a later one, or has ended.
        while ready := [side.at.node for side in sides if side.at]:
            node = min(ready, key=rank.__getitem__)
            if ready == [node] * len(sides):
                with suppress(_Left):
                    ratios |= _alternate(sides, _name(node))
            _go_on([side for side in sides if side.at and side.at.node == node])
        sides[1].passed()
    return ratios


def _go_on(sides: Sequence[_Side]) -> None:
    """Both prepare what comes next at the same time."""
    for side in sides:
        side.leave()
    for side in sides:
        side.arrive()


def _alternate(sides: Sequence[_Side], name: str) -> dict[str, float]:
    """Median ratios of rounds that the two sides run in turns, the second's by the first's."""
    calls = 1
    # Twice, for the first call after a pause takes longer than others.
    for _ in range(2):
        took = max(side.round(calls).wall for side in sides)
        calls = calls_in_a_round(took)
    steps = min(MOST_STEPS, max(LEAST_STEPS, round(STEPS_S / (2.0 * calls * took))))
    wall, cpu = [], []
    for step in range(steps):
        # Neither is always the first.
        order = (0, 1) if step % 2 else (1, 0)
        found = {place: sides[place].round(calls) for place in order}
        wall.append(found[1].wall / found[0].wall)
        cpu.append(found[1].cpu / found[0].cpu if found[0].cpu else 1.0)
    has_cpu = all(side.at and side.at.has_cpu for side in sides)
    return {name: median(wall)} | ({name + CPU: median(cpu)} if has_cpu else {})


class _Left(Exception):
    """A process gave a benchmark up in the middle of it."""


@contextmanager
def _running(version: Version, nodes: Sequence[str]) -> Iterator[_Side]:
    """A process that runs benchmarks of a version as it is told; killed if something goes wrong here."""
    ours, theirs = Pipe()
    with ours, tempfile.TemporaryFile("w+") as said, tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*pytest_command(version, folder), *nodes],
            cwd=ROOT,
            env=pytest_environment(version) | {IN_STEP: str(theirs.fileno())},
            stdout=said,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
        )
        # The process's end is seen here only if nobody else holds its end of the pipe.
        theirs.close()
        try:
            yield _Side(process, ours, said)
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()


class _Side:
    """One of two processes that run benchmarks round by round.

    Attributes:
        at: the benchmark that it is ready for; None before the first one and after the last one.
    """

    def __init__(self, process: subprocess.Popen[bytes], pipe: Connection, said: IO[str]) -> None:
        self.at: Announced | None = None
        self._process, self._pipe, self._said = process, pipe, said

    def arrive(self) -> None:
        """Wait until it is ready for its next benchmark, which `at` names, or has ended."""
        self.at = self._answer()

    def leave(self) -> None:
        """Let it go on to the next benchmark."""
        self._tell(0)

    def round(self, calls: int) -> Took:
        """Times of a call in a round of some calls.

        Raises:
            _Left: the benchmark failed, and `at` names the next one; `passed` says how.
        """
        self._tell(calls)
        answer = self._answer()
        if not isinstance(answer, Took):
            self.at = answer
            raise _Left
        return answer

    def passed(self) -> None:
        """Wait for its end; the command ends with what it said if a benchmark failed."""
        self._process.wait()
        self._said.seek(0)
        _passed(self._process.returncode, self._said.read())

    def _tell(self, calls: int) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # whoever waits for an answer will see its end
            self._pipe.send(calls)

    def _answer(self) -> Any:
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            return None


def _passed(returncode: int, said: str) -> None:
    if returncode:
        sys.exit(f"the benchmarks did not pass:\n{said}")


def _name(fullname: str) -> str:
    """'bench/suites/test_mmd.py::test_forward[x]' -> 'mmd::forward[x]'."""
    file, _, test = fullname.rpartition("/")[2].partition(".py::")
    return f"{file.removeprefix('test_')}::{test.removeprefix('test_')}"


def _node(name: str) -> str:
    file, _, test = name.partition("::")
    return f"{FOLDER}/test_{file}.py::test_{test}"
