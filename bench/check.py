"""Has anything become slower? Runs the benchmark suites and compares them with this class's baseline.

    python bench/check.py [-k EXPRESSION] [--json FILE]   compare; exits 3 on a regression
    python bench/check.py --update [--runs 5] [--fresh]   add runs to the baseline, or measure it anew

Every benchmark is timed in turns with a yardstick of its kind, and the ratio of the two is what is compared,
so that a slower or busier machine moves both. A baseline holds the ratios of repeated runs, best taken at
several hours of a day, and the commit of the code that they belong to. What is 20% above the best of these
is a suspect: it is measured in turns with that commit's code, in processes of their own, and is a regression
if it is slower by 15% and by more than the older code scatters. Ratios of CPU times decide, and those of
wall times where they change by more than 60%. What moves most benchmarks alike, up to 15%, is the machine's
drift and is taken off at first; the first line tells how much.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SUITES = "bench/suites"
sys.path.insert(0, str(HERE))

from tracking import baseline  # noqa: E402
from tracking.fixture import INJECT  # noqa: E402
from tracking.verdict import CPU, Pair, Verdict, drift, judge  # noqa: E402
from tracking.versions import Version, VersionError, committed, lay_out, require  # noqa: E402

from fastinv.store.provenance import collect_provenance  # noqa: E402

HEAD = Version(ROOT, Path(sys.executable))
REGRESSION, USAGE = 3, 2
WORDS = {"+": "faster", "-": "SLOWER", "~": "", "new": "no baseline", "gone": "not measured"}
ORDER = ("-", "+", "new", "gone", "~")


def run_suites(version: Version, what: Sequence[str], output: Path) -> None:
    """Run some suites in a process of their own; pytest-benchmark writes its JSON to `output`."""
    # -P: the folder that a process runs in is not where it imports from.
    command = [str(version.python), "-P", "-m", "pytest", "-p", "no:cacheprovider", *what]
    command += ["--override-ini=addopts=--import-mode=importlib -q", "--benchmark-only", "--benchmark-quiet"]
    done = subprocess.run(
        [*command, f"--benchmark-json={output}"],
        cwd=version.folder,
        env={name: value for name, value in os.environ.items() if name != INJECT or version.folder == ROOT},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.exit(f"the benchmarks did not pass:\n{done.stdout}")


def ratios(path: Path) -> dict[str, float]:
    """Benchmark name to its ratio to the yardstick, and that of CPU times, from pytest-benchmark's JSON."""
    found = {}
    for benchmark in json.loads(path.read_text())["benchmarks"]:
        name, more = _name(benchmark["fullname"]), benchmark["extra_info"]
        found[name] = more["ratio"]
        if "cpu_ratio" in more:
            found[name + CPU] = more["cpu_ratio"]
    return found


def _name(fullname: str) -> str:
    """'bench/suites/test_mmd.py::test_forward[x]' -> 'mmd::forward[x]'."""
    file, _, test = fullname.rpartition("/")[2].partition(".py::")
    return f"{file.removeprefix('test_')}::{test.removeprefix('test_')}"


def _node(name: str) -> str:
    file, _, test = name.partition("::")
    return f"{SUITES}/test_{file}.py::test_{test}"


def measure(version: Version, what: Sequence[str], keep: Path | None = None) -> dict[str, float]:
    """One run of what pytest is told to run: its arguments."""
    with tempfile.TemporaryDirectory() as folder:
        output = keep or Path(folder) / "benchmarks.json"
        run_suites(version, what, output)
        return ratios(output)


class Beside:
    """Measures benchmarks in an older version and in this one; both are laid out at the first call.

    Args:
        commit: of the older version.
        place: temporary folder.
    """

    def __init__(self, commit: str, place: Path) -> None:
        self._commit, self._place = commit, place
        self._versions: tuple[Version, Version] | None = None
        self._turn = 0

    def __call__(self, names: list[str]) -> dict[str, Pair]:
        """One turn of each version: name to the older ratio and this one's."""
        if self._versions is None:
            print(f"{len(names)} measured beside {self._commit[:12]}: {', '.join(names)}", file=sys.stderr)
            self._versions = lay_out(self._commit, self._place)
        self._turn += 1
        # Neither version is always the first.
        old, new = self._versions
        found = {
            version: measure(version, [_node(name) for name in names])
            for version in ((old, new) if self._turn % 2 else (new, old))
        }
        return {name: (found[old][name], found[new][name]) for name in found[new] if name in found[old]}


def machine() -> dict[str, Any]:
    """What a baseline is valid for, and with which libraries it was made."""
    found = collect_provenance()
    return {key: found[key] for key in ("cpu", "cores", "libraries")}


def show(verdicts: Sequence[Verdict], moved: float, console: Console) -> None:
    """The machine's drift, and the table: what changed first, then the rest."""
    console.print(f"the machine's drift against its yardsticks, taken off: {moved - 1.0:+.0%}")
    table = Table("", "benchmark", "change", "threshold", "turns", box=None, pad_edge=False)
    for v in sorted(verdicts, key=lambda v: (ORDER.index(v.sign), v.name)):
        change = "" if v.change is None else f"{v.change:+.0%}"
        threshold = "" if v.threshold is None else f"{v.threshold:.0%}"
        table.add_row(v.sign, f"{v.name}  {WORDS[v.sign]}".rstrip(), change, threshold, str(v.turns or ""))
    console.print(table, markup=False)


def update(path: Path, runs: int, what: Sequence[str], fresh: bool) -> None:
    """Measure `runs` times and add that to the baseline; benchmarks that did not run keep their line."""
    commit = committed()
    kept = {} if fresh or not path.exists() else baseline.read(path)
    if kept and baseline.machine_of(path)["libraries"] != machine()["libraries"]:
        sys.exit(f"{path.name} was measured with other versions of libraries; --fresh starts it anew")
    collected = {name: list(reference.ratios) for name, reference in kept.items()}
    for run in range(runs):
        print(f"run {run + 1} of {runs}", file=sys.stderr)
        for name, ratio in measure(HEAD, what).items():
            collected.setdefault(name, []).append(ratio)
        # After every run, so that one that is stopped leaves the others.
        references = {name: baseline.Reference(tuple(values)) for name, values in collected.items()}
        baseline.write(path, machine(), commit, references)
    print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-k", dest="expression", help="only benchmarks that match, as in pytest")
    parser.add_argument(
        "--update", action="store_true", help="add runs to the baseline instead of comparing with it"
    )
    parser.add_argument("--fresh", action="store_true", help="with --update: drop what the baseline holds")
    parser.add_argument("--runs", type=int, default=5, help="repeated runs of --update (default 5)")
    parser.add_argument("--baseline", type=Path, help="baseline file; by default that of this machine class")
    parser.add_argument("--json", type=Path, help="keep pytest-benchmark's JSON here")
    given = parser.parse_args(arguments)
    if given.runs < 1:
        parser.error(f"--runs must be at least 1, got {given.runs}")
    if given.fresh and not given.update:
        parser.error("--fresh goes with --update: a comparison changes no baseline")
    path = given.baseline or baseline.FOLDER / f"{baseline.machine_class(machine())}.json"
    new = given.update and (given.fresh or not path.exists())
    if new and given.runs < 2:
        parser.error(
            f"--runs must be at least 2 for a new baseline, so that there is a scatter, got {given.runs}"
        )
    what = [SUITES, *(["-k", given.expression] if given.expression else [])]
    try:
        if given.update:
            update(path, given.runs, what, given.fresh)
            return 0
        return compare(path, what, given.json)
    except VersionError as error:
        print(error, file=sys.stderr)
        return USAGE


def compare(path: Path, what: Sequence[str], keep: Path | None) -> int:
    """Measure once and compare with a baseline file; the exit code."""
    if not path.exists():
        print(f"no baseline for this class of machines ({path.name}); --update makes one", file=sys.stderr)
        return USAGE
    commit = baseline.commit_of(path)
    require(commit)
    references: Mapping[str, baseline.Reference] = baseline.read(path)
    measured = measure(HEAD, what, keep)
    # Only a whole run can tell the machine's drift from a change.
    moved = drift(references, measured) if what == [SUITES] else 1.0
    if what != [SUITES]:
        references = {name: r for name, r in references.items() if name in measured}
    with tempfile.TemporaryDirectory() as place:
        verdicts = judge(references, measured, Beside(commit, Path(place)), moved)
    show(verdicts, moved, Console())
    slower = [v.name for v in verdicts if v.sign == "-"]
    if slower:
        print(f"slower than the baseline: {', '.join(slower)}", file=sys.stderr)
    return REGRESSION if slower else 0


if __name__ == "__main__":
    sys.exit(main())
