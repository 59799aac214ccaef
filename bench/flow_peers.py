"""Coupling flows of five libraries at equal size: sampling and a training step, interleaved in one run.

    python bench/flow_peers.py [--size quick --size paper] [--rounds 15] [--output bench/results/flow_peers]

Peers that are installed take part (`pip install 'fastinv[peers]'`). Every flow has the same number of
parameters, is trained by the same 50 Adam steps on the arm's prior and its observations, and is then
checked: decoding has to undo encoding, and the log-determinant has to be that of the Jacobian. Who is wrong
gets no time. A ratio is taken within each round; the table has its median and quartiles. Memory is the peak
of one call, each in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import contest
import flow_report
import machine
import results_file
import torch
from flow_contestants import CONTESTANTS, WIDTHS, Flow

PACKAGES = ("numpy", "torch", "FrEIA", "nflows", "normflows", "zuko")
SAMPLES, BATCH, STEPS = 1000, 500, 50
LIMITS = {"inverse": 1e-3, "log_det": 1e-3}
"""Largest errors in standardised coordinates and in log|det J|: float32 through 12 trained couplings."""


def data(n: int, seed: int) -> torch.Tensor:
    """Standardised parameters of the arm, with a bend: y in place of the two last ones."""
    import fastinv

    problem = fastinv.problem("kinematics")
    x = problem.sample_prior(n, seed=seed)
    both = torch.from_numpy(x).float()
    both[:, 2:] = torch.from_numpy(problem.simulate(x)).float()
    return (both - both.mean(0)) / both.std(0)


def trained(flow: Flow, steps: int) -> tuple[Callable[[], float], float]:
    """A training step, and the loss on held-out data after the first of them."""
    optimiser = torch.optim.Adam(flow.module.parameters(), lr=1e-3)
    pairs, held_out = data(BATCH * STEPS, 0), data(5000, 1)
    at = 0

    def step() -> float:
        nonlocal at
        optimiser.zero_grad(set_to_none=True)
        loss = flow.loss(pairs[at : at + BATCH])
        loss.backward()
        optimiser.step()
        at = (at + BATCH) % len(pairs)
        return float(loss.detach())

    for _ in range(steps):
        step()
    with torch.no_grad():
        return step, float(flow.loss(held_out))


def errors(flow: Flow) -> dict[str, float]:
    """Of decode(encode(x)), and of log|det J| against automatic differentiation in five points."""
    x = data(1000, 2)
    with torch.no_grad():
        z, log_det = flow.encode(x)
        inverse = (flow.decode(z) - x).abs().max()
    slopes = [
        torch.autograd.functional.jacobian(lambda a: flow.encode(a[None])[0][0], point) for point in x[:5]
    ]
    exact = torch.linalg.slogdet(torch.stack(slopes).double())[1]
    return {"inverse": float(inverse), "log_det": float((exact - log_det[:5]).abs().max())}


def calls_of(
    name: str, size: str, steps: int = STEPS
) -> tuple[dict[str, Callable[[], Any]], dict[str, float]]:
    """What is timed of one contestant, and what its check found."""
    torch.manual_seed(0)
    contestant = CONTESTANTS[name]
    plain = contestant.make(WIDTHS[size])
    step, loss = trained(plain, steps)
    flow = contestant.ready(plain)
    count = sum(p.numel() for p in plain.module.parameters() if p.requires_grad)
    found = {**errors(flow), "loss": loss, "parameters": count}

    def sample() -> Any:
        with torch.no_grad():
            return flow.draw(SAMPLES)

    return {"sampling": sample} | ({"training step": step} if contestant.trains else {}), found


def compete(size: str, options: argparse.Namespace) -> dict[str, Any]:
    """One size: who is right, and the times of each task, round by round."""
    taking, left_out = contest.entrants({n: c.package for n, c in CONTESTANTS.items()}, options.only)
    calls, checks, wrong = contest.checked(taking, lambda name: calls_of(name, size), LIMITS)
    seconds = contest.alternating(calls, options.rounds)
    rows = {
        name: {"checked": found, "seconds": seconds[name], "bytes": memory(name, size)}
        for name, found in checks.items()
    }
    return {"rows": rows, "left_out": left_out | wrong}


def memory(name: str, size: str) -> dict[str, int]:
    """Peak memory of each task, measured in a process of its own."""
    return contest.memory(__file__, "--peak", name, "--size", size)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=tuple(WIDTHS), action="append", help="all if left out")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"of {', '.join(CONTESTANTS)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, help="result files without suffix, which later runs add to")
    parser.add_argument("--peak", metavar="NAME", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.size or list(WIDTHS)
    # What peers warn of is theirs.
    warnings.simplefilter("ignore")
    if options.peak:
        print(json.dumps(contest.peak(calls_of(options.peak, sizes[0], 1)[0])))
        return 0
    result = {
        "machine": machine.describe(PACKAGES),
        "sizes": {size: compete(size, options) for size in sizes},
    }
    return results_file.tell(result, options.output, flow_report.markdown, flow_report.figure)


if __name__ == "__main__":
    sys.exit(main())
