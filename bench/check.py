"""Has anything become slower? Runs the benchmark suites and compares them with this class's baseline.

    python bench/check.py [-k EXPRESSION] [--json FILE]   compare
    python bench/check.py --update [--runs 5] [--fresh]   add runs to the baseline, or measure it anew

Every benchmark is timed in turns with a yardstick of its kind, and the ratio of the two is what is compared,
so that a slower or busier machine moves both. A baseline holds the ratios of repeated runs, best taken at
several hours of a day, and the commit of the code that they belong to. What lies 15% above their lower
quartile is a suspect: it is measured in step with that commit's code, in two processes that take turns every
few milliseconds. It is slower if its time is 15% above the older code's in three such starts more than it is
not, and cleared if it is not in two more than it is. Twelve are measured at a time, the worst first, for
--seconds at most: what is open then is undecided.

CPU times decide, and wall times where they change by more than 60%. What moves most benchmarks alike, up to
15%, is the machine's drift and is taken off at first; the first line tells how much.

Exit codes: 3 on a regression, 2 on wrong usage or without a baseline, 1 if a benchmark fails, else 0, also if
some are undecided.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tracking import baseline, suites, versions
from tracking.baseline import BaselineError
from tracking.verdict import Start, Verdict, drift_of, judge
from tracking.versions import Version, VersionError

from fastinv.store.provenance import collect_provenance

REGRESSION, USAGE = 3, 2
WORDS = {
    "+": "faster", "-": "SLOWER", "?": "undecided",
    "~": "", "new": "nothing to compare with", "gone": "not measured",
}  # fmt: skip
ORDER = ("-", "?", "+", "new", "gone", "~")


def measure(what: Sequence[str], keep: Path | None = None) -> dict[str, float]:
    """Ratios of this checkout's code in one run of what pytest is told to run: its arguments."""
    with tempfile.TemporaryDirectory() as folder:
        return suites.beside_yardstick(versions.of_checkout(), what, keep or Path(folder) / "benchmarks.json")


class InStep:
    """Measures benchmarks of a commit's code and of this checkout's in step.

    Args:
        commit: of the older code, which is laid out at the first call.
        seconds: that starts may begin for.
    """

    def __init__(self, commit: str, seconds: float) -> None:
        self._commit = commit
        self._seconds = seconds
        self._began: float | None = None
        self._versions: tuple[Version, Version] | None = None
        self._told: set[str] = set()

    def out_of_time(self) -> bool:
        """Whether starts have been made for the seconds that they may take."""
        return self._began is not None and time.monotonic() - self._began > self._seconds

    def __call__(self, names: list[str]) -> Start:
        """One start of both: name to this code's time by the older one's."""
        if self._versions is None:
            self._versions = versions.of_commit(self._commit), versions.of_checkout()
            self._began = time.monotonic()
        if untold := [name for name in names if name not in self._told]:
            print(f"measured in step with {self._commit[:12]}: {', '.join(untold)}", file=sys.stderr)
            self._told.update(untold)
        return suites.in_step(*self._versions, names)


def machine() -> dict[str, Any]:
    """What a baseline is valid for, and with which libraries it was made."""
    found = collect_provenance()
    known = {key: found[key] for key in ("cpu", "cores", "libraries")}
    return known | {"python": ".".join(map(str, sys.version_info[:2]))}


def show(verdicts: Sequence[Verdict], drift: float, console: Console) -> None:
    """The machine's drift, and the table: what changed first, then the rest."""
    console.print(f"the machine's drift against its yardsticks, taken off: {drift - 1.0:+.0%}")
    table = Table("", "benchmark", "change", "starts", box=None, pad_edge=False)
    for v in sorted(verdicts, key=lambda v: (ORDER.index(v.sign), v.name)):
        change = "" if v.change is None else f"{v.change:+.0%}"
        table.add_row(v.sign, f"{v.name}  {WORDS[v.sign]}".rstrip(), change, str(v.starts or ""))
    console.print(table, markup=False)


def unlike(path: Path) -> str:
    """What about this machine's software is not that of a baseline; empty if nothing is."""
    there, here = baseline.machine_of(path), machine()
    return ", ".join(key for key in ("libraries", "python") if there.get(key) != here[key])


def update(path: Path, runs: int, what: Sequence[str], fresh: bool) -> None:
    """Measure `runs` times and add that to the baseline; benchmarks that did not run keep their line."""
    commit = versions.committed()
    kept = {} if fresh or not path.exists() else baseline.read(path)
    if kept:
        if different := unlike(path):
            raise BaselineError(f"{path.name} was measured with other {different}; --fresh starts it anew")
        versions.require(baseline.commit_of(path))
        if not versions.same_code(baseline.commit_of(path)):
            raise BaselineError(f"{path.name} holds the speed of other code; --fresh starts it anew")
    collected = {name: list(reference.ratios) for name, reference in kept.items()}
    for run in range(runs):
        print(f"run {run + 1} of {runs}", file=sys.stderr)
        for name, ratio in measure(what).items():
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
    parser.add_argument(
        "--seconds",
        type=float,
        default=150.0,
        help="within how long starts in step may begin (default 150)",
    )
    parser.add_argument("--json", type=Path, help="keep pytest-benchmark's JSON here")
    given = parser.parse_args(arguments)
    if given.runs < 1:
        parser.error(f"--runs must be at least 1, got {given.runs}")
    if not 0.0 < given.seconds < math.inf:
        parser.error(f"--seconds must be positive and finite, got {given.seconds}")
    if given.fresh and not given.update:
        parser.error("--fresh goes with --update: a comparison changes no baseline")
    if given.fresh and given.expression and (given.baseline is None or given.baseline.exists()):
        parser.error("--fresh drops the whole baseline, -k measures a part of it: choose one")
    path = given.baseline or baseline.FOLDER / f"{baseline.machine_class(machine())}.json"
    new = given.update and (given.fresh or not path.exists())
    if new and given.runs < 2:
        parser.error(
            f"--runs must be at least 2 for a new baseline, so that there is a scatter, got {given.runs}"
        )
    what = [suites.FOLDER, *(["-k", given.expression] if given.expression else [])]
    try:
        if given.update:
            update(path, given.runs, what, given.fresh)
            return 0
        return compare(path, what, given.json, given.seconds)
    except (VersionError, BaselineError) as error:
        print(error, file=sys.stderr)
        return USAGE


def compare(path: Path, what: Sequence[str], keep: Path | None, seconds: float) -> int:
    """Measure once and compare with a baseline file, in step for some seconds at most; the exit code."""
    if not path.exists():
        print(f"no baseline for this class of machines ({path.name}); --update makes one", file=sys.stderr)
        return USAGE
    commit = baseline.commit_of(path)
    versions.require(commit)
    if different := unlike(path):
        print(f"note: the baseline was measured with other {different}", file=sys.stderr)
    references: Mapping[str, baseline.Reference] = baseline.read(path)
    measured = measure(what, keep)
    # Only a whole run can tell the machine's drift from a change.
    whole = what == [suites.FOLDER]
    drift = drift_of(references, measured) if whole else 1.0
    if not whole:
        references = {name: r for name, r in references.items() if name in measured}
    in_step = InStep(commit, seconds)
    verdicts = judge(references, measured, in_step, drift, in_step.out_of_time)
    show(verdicts, drift, Console())
    if undecided := [v.name for v in verdicts if v.sign == "?"]:
        print(
            f"undecided, since starts disagreed or took longer than {seconds:g} s: "
            f"{', '.join(undecided)}; -k measures fewer, --seconds longer",
            file=sys.stderr,
        )
    slower = [v.name for v in verdicts if v.sign == "-"]
    if slower:
        print(f"slower than the baseline: {', '.join(slower)}", file=sys.stderr)
    return REGRESSION if slower else 0


if __name__ == "__main__":
    sys.exit(main())
