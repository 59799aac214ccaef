"""Branch coverage of fastinv, room by room, from the fast tests and a run without Numba's compiler.

    python tests/coverage_by_room.py [--only kernels models] [--keep] [--least 90]

`make coverage` calls this. Each folder of tests runs under coverage.py in a process of its own, as do
the files beside them ("package"). Compiled functions of Numba leave no trace, so what can be tested with
NUMBA_DISABLE_JIT=1 is ("interpreted").
Modules that only a GPU executes are left out of the figure and listed (tool.coverage.run in pyproject.toml).
Exit code 1 if a test fails, or if the kernels or everything together stay below --least.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "build" / "coverage"
CONFIGURATION = str(ROOT / "pyproject.toml")
FILES = [str(path) for path in sorted((ROOT / "tests").glob("test_*.py"))]
# The second one has nothing that needs a compiler.
INTERPRETED = ["tests/kernels/test_interpreted.py", "tests/kernels/test_mixture.py"]
WORST_FILES = 12


# Not `coverage run`: processes that the tests start import the main module, which has to be harmless.
RUN = """
import sys, coverage
measured = coverage.Coverage(data_file=sys.argv[1], config_file=sys.argv[2])
measured.start()
import pytest
status = pytest.main(sys.argv[3:])
measured.stop()
measured.save()
sys.exit(status)
"""


def rooms() -> list[str]:
    """Folders of tests that hold any."""
    return sorted({p.parent.name for p in (ROOT / "tests").glob("*/test_*.py")})


def measure(name: str, tests: list[str], **environment: str) -> int:
    """Run tests under coverage; the exit status of pytest."""
    start = time.perf_counter()
    # Coverage slows Python down several times over: limits on time say nothing here.
    data = str(DATA / f"data.{name}")
    command = [sys.executable, "-c", RUN, data, CONFIGURATION, "--timeout", "3600", *tests]
    # For processes that tests/sandbox/warm.py forks.
    forks = {"FASTINV_TESTS_COVERAGE": os.pathsep.join((data, CONFIGURATION))}
    status = subprocess.run(command, cwd=ROOT, env={**os.environ, **forks, **environment}).returncode
    print(f"{name}: exit status {status}, {time.perf_counter() - start:.0f} s", flush=True)
    # A room may have slow tests only.
    return 0 if status == pytest.ExitCode.NO_TESTS_COLLECTED else status


def room_of(path: Path) -> str:
    """The room of a module: the folder of fastinv that it lies in."""
    inside = path.resolve().relative_to(ROOT)
    parts = inside.parts[1:] if inside.parts[0] == "fastinv" else inside.parts
    return parts[0] if len(parts) > 1 else "fastinv"


class Tally:
    """Statements and branches, and how many of them were executed."""

    def __init__(self) -> None:
        self.covered = self.total = 0

    def add(self, covered: int, total: int) -> None:
        self.covered += covered
        self.total += total

    @property
    def percent(self) -> float:
        return 100.0 * self.covered / self.total if self.total else 100.0


def report(least: float) -> bool:
    """Print the figures of all data; whether they reach `least`."""
    together = coverage.Coverage(data_file=str(DATA / "together"), config_file=CONFIGURATION)
    together.combine([str(p) for p in DATA.glob("data.*")], keep=True)
    by_room: defaultdict[str, Tally] = defaultdict(Tally)
    by_file: list[tuple[float, str]] = []
    for name in together.get_data().measured_files():
        numbers = together._analyze(name).numbers
        covered, total = numbers.ratio_covered
        path = Path(name)
        for tally in (by_room[room_of(path)], by_room["all"]):
            tally.add(covered, total)
        if total:
            by_file.append((100.0 * covered / total, str(path.resolve().relative_to(ROOT))))
    for room in sorted(by_room, key=lambda r: (r == "all", r)):
        print(f"{room:12} {by_room[room].percent:6.1f} %   of {by_room[room].total}")
    print("least covered:", *(f"  {p:5.1f} %  {name}" for p, name in sorted(by_file)[:WORST_FILES]), sep="\n")
    print("left out:", ", ".join(together.get_option("run:omit") or ()))
    low = [room for room in ("kernels", "all") if by_room[room].percent < least]
    for room in low:
        print(f"{room}: {by_room[room].percent:.1f} % is below {least:g} %")
    return not low


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="*", metavar="ROOM", help="folders of tests, or 'interpreted'")
    parser.add_argument("--keep", action="store_true", help="add to the data of earlier runs")
    parser.add_argument("--least", type=float, default=0.0, help="percent, of the kernels and of everything")
    options = parser.parse_args()
    known = [*rooms(), "package", "interpreted"]
    if unknown := set(options.only or ()) - set(known):
        parser.error(f"--only {', '.join(sorted(unknown))}: accepted: {', '.join(known)}")
    if not options.keep:
        shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir(parents=True, exist_ok=True)
    statuses = []
    for name in known if options.only is None else options.only:
        if name == "interpreted":
            statuses.append(measure(name, INTERPRETED, NUMBA_DISABLE_JIT="1"))
        else:
            statuses.append(measure(name, FILES if name == "package" else [f"tests/{name}"]))
    return 0 if report(options.least) and not any(statuses) else 1


if __name__ == "__main__":
    sys.exit(main())
