"""Times the exact samplers: prior observations, named hard ones, raw proposals, and NumPy ABC beside them.

    python bench/exact_samplers.py [--rounds 5] [--backends native numba] [--output table.md]

A proposal is one point drawn from an envelope and tested; they are counted per sample (`attempts_out`) and
summed. "M proposals/s" divides their number by the whole call's wall time, the envelopes' set-up included;
the rows "raw proposals" are of one observation with a million samples, whose set-up is negligible. Rounds are
interleaved; the median over them is printed, with the least and the largest.

NumPy ABC is what one writes at first: draw, simulate and compare in NumPy, with eps = 0.02 at y* = (0, 1.5).
Its time per accepted sample is divided by that of the exact samplers.
"""

from __future__ import annotations

import argparse
import functools
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from machine import cores, cpu_name

import fastinv
from fastinv.kernels import available_backends
from fastinv.kernels.rejection import sample_ballistics, sample_kinematics
from fastinv.problems.kinematics import SIGMAS

PROBLEMS = {"kinematics": sample_kinematics, "ballistics": sample_ballistics}
HARD = {
    "kinematics": [(0.0, 1.5), (0.0, 1.0), (0.0, 0.0), (0.0, 1.9999), (1.2, 1.2)],
    "ballistics": [(24.0,), (30.0,), (60.0,)],
}
SIZES = {"1000 prior observations x 1000": 1000, "1000 prior observations x 4000": 4000}
RAW_SAMPLES = 1_000_000
ABC_TOLERANCE, ABC_DRAWS = 0.02, 2_000_000
Walls = dict[str, list[float]]


def wall(call: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> Walls:
    """Wall times of every call in every round, after one call each that compiles and warms up."""
    for call in calls.values():
        call()
    times: Walls = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(wall(call))
    return times


def cases(name: str) -> dict[str, tuple[np.ndarray, int]]:
    """Observations and samples per observation, by label."""
    problem = fastinv.problem(name)
    prior = np.asarray(problem.simulate(problem.sample_prior(1000, seed=5)))
    sizes = {label: (prior, n) for label, n in SIZES.items()}
    hard = {f"y* = {y} x 1000": (np.array([y]), 1000) for y in HARD[name]}
    return sizes | hard | {"raw proposals": (np.array([HARD[name][0]]), RAW_SAMPLES)}


def measure(name: str, backends: list[str], rounds: int) -> Iterator[str]:
    """Rows of the table, one per case and back end."""
    sample = PROBLEMS[name]
    for label, (y, n) in cases(name).items():
        attempts = np.empty((len(y), n), dtype=np.int64)
        sample(y, n, seed=1, backend=backends[0], attempts_out=attempts)
        calls: dict[str, Callable[[], object]] = {
            backend: functools.partial(sample, y, n, seed=1, backend=backend) for backend in backends
        }
        for backend, times in interleaved(calls, rounds).items():
            middle = statistics.median(times)
            yield (
                f"| {name} | {label} | {backend} | {1e3 * middle:.2f} | {1e3 * min(times):.2f} to "
                f"{1e3 * max(times):.2f} | {attempts.mean():.2f} | {attempts.sum() / middle / 1e6:.1f} |"
            )


def numpy_abc() -> float:
    """Seconds per accepted sample of plain NumPy ABC at the paper's hard target."""
    problem, rng = fastinv.problem("kinematics"), np.random.default_rng(0)
    accepted, began = 0, time.perf_counter()
    for _ in range(ABC_DRAWS // 100_000):
        x = rng.normal(size=(100_000, 4)) * SIGMAS
        near = np.linalg.norm(problem.simulate(x) - np.array([0.0, 1.5]), axis=1) < ABC_TOLERANCE
        accepted += len(x[near])
    return (time.perf_counter() - began) / accepted


def against_abc(backends: list[str], rounds: int) -> Iterator[str]:
    """How many times faster per sample the exact samplers are, interleaved with NumPy ABC."""
    y, n = np.array([[0.0, 1.5]]), 100_000
    calls: dict[str, Callable[[], object]] = {
        backend: functools.partial(sample_kinematics, y, n, seed=1, backend=backend) for backend in backends
    }
    times, slow = interleaved(calls, 1), []
    for _ in range(rounds):
        slow.append(numpy_abc())
        for backend, call in calls.items():
            times[backend].append(wall(call))
    yield f"NumPy ABC, eps = {ABC_TOLERANCE}: {1e6 * statistics.median(slow):.1f} us per accepted sample."
    for backend in backends:
        ratios = [s / (t / n) for s, t in zip(slow, times[backend][1:], strict=True)]
        yield (
            f"{backend}: {statistics.median(ratios):.0f} times faster per sample "
            f"({min(ratios):.0f} to {max(ratios):.0f})."
        )


def table(backends: list[str], rounds: int) -> Iterator[str]:
    """The whole report, line by line."""
    python = f"Python {platform.python_version()}, NumPy {np.__version__}"
    yield f"{cpu_name()}, {cores()} CPUs; {python}; rounds: {rounds}."
    for backend in backends:
        yield f"{backend}: {available_backends()[backend].detail}."
    yield ""
    yield "| problem | case | back end | ms, median | ms, range | proposals per sample | M proposals/s |"
    yield "|---|---|---|---:|---:|---:|---:|"
    for name in PROBLEMS:
        yield from measure(name, backends, rounds)
    yield ""
    yield from against_abc(backends, rounds)


def main() -> None:
    """Print the table, and write it to a file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backends", nargs="+", default=["native", "numba"])
    parser.add_argument("--output", type=Path, help="Markdown file to write besides")
    arguments = parser.parse_args()
    chosen = [name for name in arguments.backends if available_backends()[name].available]
    lines = []
    for line in table(chosen, arguments.rounds):
        print(line, flush=True)
        lines.append(line)
    if arguments.output is not None:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
