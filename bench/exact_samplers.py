"""Times the exact samplers' back ends: a thousand prior observations, named hard ones, and raw proposals.

    python bench/exact_samplers.py [--samples 1000] [--rounds 5] [--backends native numba]

Rounds are interleaved; the median over them is printed, and the least and the largest. CPU seconds of all
threads stand beside wall time: on a machine with other load they are the steadier figure.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

import fastinv
from fastinv.kernels import available_backends
from fastinv.kernels.rejection import sample_ballistics, sample_kinematics

PROBLEMS = {"kinematics": sample_kinematics, "ballistics": sample_ballistics}
HARD = {
    "kinematics": [(0.0, 1.5), (0.0, 1.0), (0.0, 0.0), (0.0, 1.9999), (1.2, 1.2)],
    "ballistics": [(24.0,), (30.0,)],
}
Times = list[tuple[float, float]]


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """Wall seconds and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Times of every call in every round, after one call each that compiles and warms up."""
    for call in calls.values():
        call()
    times: dict[str, Times] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(timed(call))
    return times


def report(label: str, times: dict[str, Times], proposals: float) -> None:
    for name, values in times.items():
        wall, cpu = ([1e3 * value[k] for value in values] for k in (0, 1))
        line = (
            f"{label:32} {name:9} wall {statistics.median(wall):9.2f} ms ({min(wall):.2f} to {max(wall):.2f})"
        )
        line += f"  CPU {statistics.median(cpu):9.2f} ms"
        print(f"{line}  {proposals / statistics.median(cpu) / 1e3:7.2f} M proposals per CPU second")
    names = list(times)
    for k, kind in enumerate(("wall", "CPU")):
        for other in names[1:]:
            ratios = [b[k] / a[k] for a, b in zip(times[names[0]], times[other], strict=True)]
            print(
                f"{'':32} {other} / {names[0]}, {kind}: {statistics.median(ratios):.1f} "
                f"({min(ratios):.1f} to {max(ratios):.1f})"
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backends", nargs="+", default=["native", "numba"])
    arguments = parser.parse_args()
    chosen = [name for name in arguments.backends if available_backends()[name].available]
    print(", ".join(f"{name}: {available_backends()[name].detail}" for name in chosen))
    for name, sample in PROBLEMS.items():
        problem = fastinv.problem(name)
        prior = np.asarray(problem.simulate(problem.sample_prior(1000, seed=5)))
        cases = {"1000 prior observations": prior}
        cases |= {f"y* = {y}": np.array([y]) for y in HARD[name]}
        for label, y in cases.items():
            attempts = np.empty((len(y), arguments.samples), dtype=np.int64)
            sample(y, arguments.samples, seed=1, backend=chosen[0], attempts_out=attempts)
            calls: dict[str, Callable[[], object]] = {
                backend: lambda y=y, backend=backend, sample=sample: sample(  # type: ignore[misc]
                    y, arguments.samples, seed=1, backend=backend
                )
                for backend in chosen
            }
            report(f"{name}, {label}", interleaved(calls, arguments.rounds), float(attempts.sum()))
            print(f"{'':32} {attempts.mean():.2f} proposals per sample")


if __name__ == "__main__":
    main()
