"""Has anything become slower? Runs the benchmark suites and compares them with this class's baseline.

    python bench/check.py [-k EXPRESSION] [--json FILE]   compare; exits 3 on a regression
    python bench/check.py --update [--runs 5] [--fresh]   add runs to the baseline, or measure it anew

Every benchmark is timed in turns with a yardstick of its kind, and the ratio of the two is what is compared,
so that a slower or busier machine moves both. Ratios of CPU times decide, and those of wall times where they
change by more than 60%. Baselines hold the ratios of repeated runs, best taken at several hours of a day. A
change counts where it exceeds four times their scatter, at least 20% and at most 25%, and goes 5% beyond
anything that unchanged code has shown; a slowdown only if three measurements in a row show it. What moves
most benchmarks alike, up to 15%, is the machine's drift and is taken off; the first line tells how much.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
SUITES = HERE / "suites"
sys.path.insert(0, str(HERE))

from tracking import baseline  # noqa: E402
from tracking.verdict import CPU, Verdict, drift, judge  # noqa: E402

from fastinv.store.provenance import collect_provenance  # noqa: E402

REGRESSION, USAGE = 3, 2
WORDS = {"+": "faster", "-": "SLOWER", "~": "", "new": "no baseline", "gone": "not measured"}
ORDER = ("-", "+", "new", "gone", "~")


def run_suites(what: Sequence[str], output: Path) -> None:
    """Run some suites in a process of their own; pytest-benchmark writes its JSON to `output`."""
    command = [sys.executable, "-m", "pytest", "--override-ini=addopts=--import-mode=importlib -q", *what]
    command += ["--benchmark-only", f"--benchmark-json={output}", "--benchmark-quiet"]
    done = subprocess.run(
        command, cwd=HERE.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
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
    return str(SUITES / f"test_{file}.py") + f"::test_{test}"


def measure(what: Sequence[str], keep: Path | None = None) -> dict[str, float]:
    """One run of what pytest is told to run: its arguments."""
    with tempfile.TemporaryDirectory() as folder:
        output = keep or Path(folder) / "benchmarks.json"
        run_suites(what, output)
        return ratios(output)


def machine() -> dict[str, Any]:
    """What a baseline is valid for, and with which libraries it was made."""
    found = collect_provenance()
    return {key: found[key] for key in ("cpu", "cores", "libraries")}


def show(verdicts: Sequence[Verdict], moved: float, console: Console) -> None:
    """The machine's drift, and the table: what changed first, then the rest."""
    console.print(f"the machine's drift against its yardsticks, taken off: {moved - 1.0:+.0%}")
    table = Table("", "benchmark", "change", "threshold", "looks", box=None, pad_edge=False)
    for v in sorted(verdicts, key=lambda v: (ORDER.index(v.sign), v.name)):
        change = "" if v.change is None else f"{v.change:+.0%}"
        threshold = "" if v.threshold is None else f"{v.threshold:.0%}"
        table.add_row(v.sign, f"{v.name}  {WORDS[v.sign]}".rstrip(), change, threshold, str(v.looks))
    console.print(table, markup=False)


def update(path: Path, runs: int, what: Sequence[str], fresh: bool) -> None:
    """Measure `runs` times and add that to the baseline; benchmarks that did not run keep their line."""
    kept = {} if fresh or not path.exists() else baseline.read(path)
    if kept and baseline.machine_of(path)["libraries"] != machine()["libraries"]:
        sys.exit(f"{path.name} was measured with other versions of libraries; --fresh starts it anew")
    collected = {name: list(reference.ratios) for name, reference in kept.items()}
    for run in range(runs):
        print(f"run {run + 1} of {runs}", file=sys.stderr)
        for name, ratio in measure(what).items():
            collected.setdefault(name, []).append(ratio)
        # After every run, so that one that is stopped leaves the others.
        references = {name: baseline.Reference(tuple(values)) for name, values in collected.items()}
        baseline.write(path, machine(), references)
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
    what = [str(SUITES), *(["-k", given.expression] if given.expression else [])]
    if given.update:
        update(path, given.runs, what, given.fresh)
        return 0
    if not path.exists():
        print(f"no baseline for this class of machines ({path.name}); --update makes one", file=sys.stderr)
        return USAGE
    references: Mapping[str, baseline.Reference] = baseline.read(path)
    measured = measure(what, given.json)
    if given.expression:
        references = {name: r for name, r in references.items() if name in measured}
    verdicts = judge(references, measured, lambda names: measure([_node(name) for name in names]))
    show(verdicts, drift(references, measured), Console())
    slower = [v.name for v in verdicts if v.sign == "-"]
    if slower:
        print(f"slower than the baseline: {', '.join(slower)}", file=sys.stderr)
    return REGRESSION if slower else 0


if __name__ == "__main__":
    sys.exit(main())
