"""Posterior samples of the planar arm: our exact samplers and ABC beside NumPy's and sbi's, in one run.

    python bench/posterior_peers.py [--rounds 15] [--output bench/results/posterior_peers]

Peers that are installed take part (`pip install 'fastinv[peers]'`). Samples are checked first: f(x) has to
be y*, to rounding or within the tolerance of ABC, and the MMD to samples of the float64 reference sampler
that of the same distribution. Who is wrong gets no time. Times are per accepted sample, as every contestant
accepts another number. A ratio is taken within each round; the table has its median and quartiles. Memory
is the peak of one call, each in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import contest
import machine
import numpy as np
import posterior_report
import results_file
from posterior_contestants import CONTESTANTS, Array, Settings

import fastinv

PACKAGES = ("numpy", "numba", "torch", "sbi")
TASKS = {"one observation": 1, "ten observations": 10}
TRUTH, COMPARED = 2000, 1000
"""Samples per observation of the reference sampler, and at most as many of a contestant's against them."""
EXACT = 1e-9
TRUTH_SEED = 2**60
"""Far from those of the contestants, whose samples would otherwise be the truth's own."""
MMD_LIMIT = 0.004
"""Of the mean unbiased MMD^2 over ten observations: 0 +- 0.0007 for the same distribution, 0.006 to 0.007 for
a rail whose sigma is 30% too large."""
LIMITS = {"residual": 1.0, "mmd2": MMD_LIMIT}
"""The residual is in units of what the contestant promises."""


def observations(count: int) -> Array:
    """Of the published ones: nobody's favourites."""
    return np.asarray(fastinv.problem("kinematics").observations(count))


def errors(samples: list[Array], y: Array, promise: float) -> dict[str, float]:
    """Largest distance of f(x) to y* over what was promised, and the mean MMD^2 to reference samples."""
    from fastinv.kernels import mmd2
    from fastinv.kernels.rejection import sample_kinematics

    problem = fastinv.problem("kinematics")
    truth = sample_kinematics(y, TRUTH, seed=TRUTH_SEED, backend="reference")
    residuals, distances = [], []
    for x, target, expected in zip(samples, y, truth, strict=True):
        if len(x) < 2:
            raise RuntimeError(f"{len(x)} samples for y* = {target.tolist()}")
        exact_image = problem.simulate(x.astype(np.float64))
        residuals.append(np.linalg.norm(exact_image - target, axis=1).max())
        distances.append(float(mmd2(x[:COMPARED].astype(np.float64), expected, unbiased=True)))
    return {"residual": float(max(residuals)) / promise, "mmd2": float(np.mean(distances))}


def calls_of(name: str, settings: Settings) -> tuple[contest.Calls, dict[str, float]]:
    """What is timed of one contestant, and what its check found on the task with most observations."""
    contestant = CONTESTANTS[name]
    calls: contest.Calls = {
        task: contestant.make(observations(count), settings) for task, count in TASKS.items()
    }
    task, count = max(TASKS.items(), key=lambda item: item[1])
    # The comparison with the tolerance may have been made in float32.
    promise = EXACT if contestant.exact else settings.tolerance * (1.0 + 1e-4)
    samples = calls[task]()
    found = errors(samples, observations(count), promise)
    return calls, {**found, "samples": float(np.mean([len(x) for x in samples]))}


def seconds_per_sample(call: Callable[[], list[Array]]) -> float:
    """Wall-clock time of a turn's calls over the samples that they gave."""
    seconds, results = contest.turn(call)
    return seconds / sum(len(x) for samples in results for x in samples)


def compete(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """Who is right, and the times of each task, round by round."""
    taking, left_out = contest.entrants({n: c.package for n, c in CONTESTANTS.items()}, options.only)
    calls, checks, wrong = contest.checked(taking, partial(calls_of, settings=settings), LIMITS)
    seconds = contest.alternating(calls, options.rounds, seconds_per_sample)
    rows = {
        name: {"checked": found, "seconds": seconds[name], "bytes": memory(name, settings)}
        for name, found in checks.items()
    }
    return {"rows": rows, "left_out": left_out | wrong}


def memory(name: str, settings: Settings) -> dict[str, int]:
    """Peak memory of each task, measured in a process of its own."""
    chosen = ["--simulations", str(settings.simulations), "--tolerance", str(settings.tolerance)]
    return contest.memory(__file__, "--peak", name, *chosen)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--simulations", type=int, default=1_000_000, help="of ABC (default 1000000)")
    parser.add_argument("--tolerance", type=float, default=0.02, help="of ABC (default 0.02)")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"of {', '.join(CONTESTANTS)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, help="result files without suffix")
    parser.add_argument("--peak", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = Settings(options.simulations, options.tolerance)
    # What peers warn of is theirs.
    warnings.simplefilter("ignore")
    if options.peak:
        print(json.dumps(contest.peak(calls_of(options.peak, settings)[0])))
        return 0
    result = {
        "machine": machine.describe(PACKAGES),
        "simulations": settings.simulations,
        "tolerance": settings.tolerance,
        "contest": compete(settings, options),
    }
    return results_file.tell(result, options.output, posterior_report.markdown, posterior_report.figure)


if __name__ == "__main__":
    sys.exit(main())
