"""Simulations per CPU second of tolerance ABC, for one observation and for a thousand.

    python bench/tolerance_abc.py [--simulations 100_000_000] [--rounds 3]

CPU seconds of all threads are counted, so that other load on the machine matters little; the figure is per
core. `numpy` is the plain approach: draw, simulate and compare with one observation in NumPy. Rounds are
interleaved, and the range over them is printed.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numba
import numpy as np

import fastinv
from fastinv.kernels import Normal, abc
from fastinv.problems.kinematics import LENGTHS, SIGMAS

TOLERANCE = 0.02
L1, L2, L3 = LENGTHS


@numba.njit
def arm(x):  # type: ignore[no-untyped-def]
    """A user's version of the planar arm."""
    a = x[1]
    b = a + x[2]
    c = b + x[3]
    vertical = x[0] + L1 * math.sin(a) + L2 * math.sin(b) + L3 * math.sin(c)
    return vertical, L1 * math.cos(a) + L2 * math.cos(b) + L3 * math.cos(c)


def plain_numpy(y: np.ndarray, simulations: int) -> None:
    """Rejection as one would write it at first."""
    problem, rng = fastinv.problem("kinematics"), np.random.default_rng(0)
    for _ in range(simulations // 100_000):
        x = rng.normal(size=(100_000, 4)) * SIGMAS
        x[np.linalg.norm(problem.simulate(x) - y[0], axis=1) < TOLERANCE]


def cases(simulations: int) -> dict[str, tuple[Callable[[], object], int]]:
    """What is measured, and how many simulations each makes."""
    prior = [Normal(0.0, s) for s in SIGMAS]
    options = {"tolerance": TOLERANCE, "on_shortfall": "return"}
    kinematics = fastinv.problem("kinematics").observations(1000)
    ballistics = fastinv.problem("ballistics").observations(1000)
    # Rare observations only: an easy one would have all its samples long before the end.
    rare = np.array([[0.0, 0.0]])
    fewer = simulations // 10

    def run(simulator: object, y: np.ndarray, n: int, count: int, **more: object) -> Callable[[], object]:
        return lambda: abc(simulator, y, n, max_simulations=count, **options, **more)  # type: ignore[arg-type]

    def nearest(y: np.ndarray) -> Callable[[], object]:
        return lambda: abc("kinematics", y, 1000, nearest=True, max_simulations=simulations)

    return {
        "numpy, 1 observation": (lambda: plain_numpy(rare, simulations // 100), simulations // 100),
        "kinematics, 1": (run("kinematics", rare, 10**5, simulations), simulations),
        "kinematics, 1000 x 100": (run("kinematics", kinematics, 100, simulations), simulations),
        "kinematics, 1000 x 1000": (run("kinematics", kinematics, 1000, simulations), simulations),
        "kinematics, nearest, 1": (nearest(kinematics[:1]), simulations),
        "kinematics, nearest, 1000 x 1000": (nearest(kinematics), simulations),
        "ballistics, 1000 x 1000": (run("ballistics", ballistics, 1000, fewer), fewer),
        "a user's @njit arm, 1000 x 100": (run(arm, kinematics, 100, simulations, prior=prior), simulations),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=100_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for work, _ in cases(1_000_000).values():
        work()
    paces: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name, (work, count) in cases(arguments.simulations).items():
            started = time.process_time()
            work()
            paces.setdefault(name, []).append(count / (time.process_time() - started) / 1e6)
    print("million simulations per CPU second: median [least, most]")
    for name, values in paces.items():
        print(f"{name:34s} {np.median(values):8.1f} [{min(values):.1f}, {max(values):.1f}]")


if __name__ == "__main__":
    main()
