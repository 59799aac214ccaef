"""Exact MMD on a CPU against other libraries and against the machine's own limit, interleaved in one run.

    python bench/mmd_cpu.py --task gaussian --output bench/results/mmd_cpu
    python bench/mmd_cpu.py --piece memory
    python bench/mmd_cpu.py --piece scoring

Peers that are installed take part (`pip install 'fastinv[peers]'`); who is left out is named with the reason.
Every contestant lives in a process of its own, so that compile flags and instruction sets can differ, and is
first checked against the float64 reference: who is wrong gets no time. Then all are timed in turn, round
after round. A ratio is taken within each round; the table has its median and quartiles. Pairs are "effective"
ones, 3 n^2 per problem, whatever a library evaluates. The first run of a peer compiles for minutes: run once
with --rounds 1 beforehand.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import contest
import machine
import mmd_report
import numpy as np
import results_file
from mmd_contestants import BANDWIDTHS, CONTESTANTS, TASKS, Task
from mmd_worker import Worker

DIMENSIONS = 4
PACKAGES = ("numpy", "numba", "torch", "pykeops", "geomloss", "goodpoints", "scikit-learn", "sbi")
PEER_LIMIT = 1e-4
"""Largest error of a peer relative to k(0), of its gradients relative to the largest: float32 sums."""
MEASURED_FOR_MEMORY = ("numba", "KeOps", "torch dense")
"""Beside our best instruction set."""
OWN_LIMITS = {False: 2e-6, True: 5e-5}


def write_references(folder: Path, tasks: list[Task], n: int) -> None:
    """Two problems, and what the float64 reference says about them."""
    from fastinv.kernels import Gaussian, mmd2_terms
    from fastinv.kernels.mmd import reference
    from fastinv.kernels.mmd.kernel_functions import resolve
    from fastinv.kernels.mmd.terms import estimate_weights

    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, n, DIMENSIONS)).astype(np.float32)
    y = (rng.normal(size=(2, n, DIMENSIONS)) + 0.1).astype(np.float32)
    np.savez(folder / "samples.npz", x=x, y=y)
    for task in tasks:
        kernel = resolve(Gaussian(*BANDWIDTHS[task.kernel]) if task.kernel in BANDWIDTHS else task.kernel)
        spec = kernel.spec()
        if task.gradients:
            weights, _ = estimate_weights(n, n, spec.at_zero, unbiased=False)
            arguments = (
                x.astype(float),
                y.astype(float),
                spec,
                np.full(2, spec.scale),
                weights,
                (True, True),
            )
            _, gx, gy = reference.means_and_gradients(*arguments)
            np.savez(folder / f"{task}.npz", x=gx, y=gy)
        else:
            value = mmd2_terms(x, y, kernel=kernel, backend="reference").biased
            np.savez(folder / f"{task}.npz", value=value, k0=spec.at_zero)


def built(name: str) -> bool:
    """False for those of our own instruction sets that this build lacks."""
    from fastinv.kernels import backends

    kind, _, isa = name.partition(" ")
    module = backends.native_module()
    return kind != "native" or (module is not None and isa in module.built_isas())


def field(task: str, only: list[str] | None) -> tuple[list[str], dict[str, str]]:
    """Who takes part in a task, and why others do not."""
    able = {n: c.package for n, c in CONTESTANTS.items() if task in c.tasks and built(n)}
    return contest.entrants(able, only)


def checked(workers: dict[str, Worker], task: Task, folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Errors of those who are right, and the reasons why others get no time."""

    def error(name: str) -> float | str:
        try:
            return float(workers[name].ask(do="check", folder=str(folder), task=str(task)))
        except RuntimeError as problem:
            return str(problem)

    with ThreadPoolExecutor(machine.cores()) as pool:
        found = dict(zip(workers, pool.map(error, workers), strict=True))
    errors, reasons = {}, {}
    for name, value in found.items():
        limit = PEER_LIMIT if CONTESTANTS[name].package else OWN_LIMITS[task.gradients]
        if isinstance(value, str):
            reasons[name] = value
        elif value <= limit:
            errors[name] = value
        else:
            reasons[name] = f"error {value:.1e} above {limit:.0e}"
    return errors, reasons


def compete(task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """One task: who is right, and their times per problem, round by round."""
    taking, left_out = field(str(task), options.only)
    workers = {name: Worker(name) for name in taking}
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_references(Path(folder), [task], options.samples)
            errors, reasons = checked(workers, task, Path(folder))
        left_out |= reasons
        size = {"batch": options.batch, "n": options.samples, "d": DIMENSIONS, "seconds": options.seconds}
        problems = {name: workers[name].ask(do="prepare", task=str(task), **size) for name in errors}
        busy, operations = machine.multiply_adds(0.03)
        seconds: dict[str, list[float]] = {name: [] for name in errors}
        multiply_adds = []
        for _ in range(options.rounds):
            time.sleep(0.03)
            # The best of a few: a limit that something else disturbed would flatter us.
            multiply_adds.append(max(operations / contest.seconds_of(busy) for _ in range(5)))
            for name in errors:
                # The threads of the one before may still be spinning.
                time.sleep(0.03)
                seconds[name].append(workers[name].ask(do="measure", task=str(task)))
    finally:
        for worker in workers.values():
            worker.close()
    rows = [
        {"name": name, "error": errors[name], "problems": problems[name], "seconds": seconds[name]}
        for name in errors
    ]
    return {"n": options.samples, "rows": rows, "left_out": left_out, "multiply_adds_per_s": multiply_adds}


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of one call with gradients, beside its arguments, in fresh processes."""
    task, rows = "gaussian with gradients", []
    # Blocks of 64 KiB or more come from the system and go back to it: the peak is the call's own.
    settings = {"MALLOC_MMAP_THRESHOLD_": "65536"}
    taking, left_out = field(task, options.only)
    for name in [n for n in taking if n in (taking[0], *MEASURED_FOR_MEMORY)]:
        for batch in (1, 16):
            worker = Worker(name, settings)
            try:
                size = {"batch": batch, "n": options.samples, "d": DIMENSIONS}
                rows.append({"name": name, "batch": batch, "bytes": worker.ask(do="peak", task=task, **size)})
            except RuntimeError as problem:
                left_out[name] = str(problem)
            finally:
                worker.close()
    return {"task": task, "n": options.samples, "rows": rows, "left_out": left_out}


def scoring(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds to score one model over 1000 observations of 4000 samples each with the kernel `paper`."""
    from fastinv.kernels import mmd2_terms, self_term

    rng = np.random.default_rng(0)
    truth, model = (rng.normal(size=(1000, 4000, DIMENSIONS)).astype(np.float32) for _ in range(2))
    kept = self_term(truth, "paper")
    whole, shared = [], []
    for _ in range(options.rounds):
        start = time.perf_counter()
        mmd2_terms(model, truth, kernel="paper")
        middle = time.perf_counter()
        mmd2_terms(model, truth, kernel="paper", y_self=kept)
        whole.append(middle - start)
        shared.append(time.perf_counter() - middle)
    return {"observations": 1000, "n": 4000, "seconds": whole, "seconds_with_kept_self_term": shared}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--piece", choices=("peers", "memory", "scoring"), default="peers")
    parser.add_argument("--task", choices=tuple(TASKS), action="append", help="gaussian if left out")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"of {', '.join(CONTESTANTS)}")
    parser.add_argument("--batch", type=int, default=1000, help="problems at most (default 1000)")
    parser.add_argument("--samples", type=int, default=1000, help="samples of each problem (default 1000)")
    parser.add_argument("--seconds", type=float, default=0.3, help="aim for a call of a slow contestant")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="result files without suffix, which later runs add to")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine.describe(PACKAGES)}
    if options.piece == "peers":
        chosen = [TASKS[name] for name in options.task or ["gaussian"]]
        result["tasks"] = {str(task): compete(task, options) for task in chosen}
    else:
        result[options.piece] = memory(options) if options.piece == "memory" else scoring(options)
    return results_file.tell(result, options.output, mmd_report.markdown, mmd_report.figure)


if __name__ == "__main__":
    sys.exit(main())
