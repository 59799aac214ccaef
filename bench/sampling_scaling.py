"""How samplers, forward processes and networks grow with observations, samples, batch sizes and threads.

    python bench/sampling_scaling.py [--piece networks] [--rounds 5] [--output bench/results/sampling_scaling]

Points of a piece are timed in turn, round after round; figures are medians over the rounds. Exponents are
fitted to the upper half of the points, where fixed costs are small. Networks are compared with the
machine's multiply-adds (every weight is used once per row, three times in a training step; MDN's once per
observation, so that its samples have no such share), forward processes with its memory (x is read and y
written).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import machine
import results_file
import torch
from results_file import table
from scaling import Call, exponent, limits_line, median, native_threads, timed, within

import fastinv
from fastinv.kernels import abc
from fastinv.kernels.rejection import sample_ballistics, sample_kinematics
from fastinv.presets import preset
from fastinv.training.data import training_set
from fastinv.training.loop import Trainer

PROBLEMS = {"kinematics": sample_kinematics, "ballistics": sample_ballistics}
OBSERVATIONS = (1, 10, 100, 1000)
SAMPLES = (10, 100, 1000, 10_000)
MOST_SAMPLES = 1_000_000
SIMULATIONS = (100_000, 1_000_000, 10_000_000)
ROWS = (1000, 10_000, 100_000, 1_000_000)
NETWORKS = ("inn", "cinn", "mdn")
ONCE_PER_OBSERVATION = "mdn"
"""Whose network is not evaluated for every sample."""
DRAWN = (100, 1000, 10_000, 40_000)
BATCHES = (50, 200, 800, 3200)
PRESET = "quick"
Rows = list[dict[str, Any]]


def exact(rounds: int) -> Rows:
    """Exact samplers: observations, samples of each, threads."""
    calls: dict[Any, Call] = {}
    for name, sample in PROBLEMS.items():
        y = fastinv.problem(name).observations(max(OBSERVATIONS))
        for count in OBSERVATIONS:
            for n in SAMPLES:
                if count * n <= MOST_SAMPLES:
                    call = partial(sample, y[:count], n, backend="native")
                    for threads in thread_counts():
                        calls[name, count, n, threads] = within(native_threads, threads, call)
    return [
        {"work": name, "observations": b, "samples": n, "threads": t, "seconds": s}
        for (name, b, n, t), s in timed(calls, rounds).items()
    ]


def tolerance(rounds: int) -> Rows:
    """ABC: simulations and observations."""
    calls: dict[Any, Call] = {}
    y = fastinv.problem("kinematics").observations(max(OBSERVATIONS))
    for count in OBSERVATIONS:
        for simulations in SIMULATIONS:
            calls[count, simulations] = partial(
                abc, "kinematics", y[:count], 1000, nearest=True, max_simulations=simulations
            )
    return [
        {"work": "nearest", "observations": b, "samples": n, "threads": machine.cores(), "seconds": s}
        for (b, n), s in timed(calls, rounds).items()
    ]


def processes(rounds: int) -> Rows:
    """Forward processes: rows."""
    calls: dict[Any, Call] = {}
    sizes = {}
    for name in PROBLEMS:
        problem = fastinv.problem(name)
        sizes[name] = 8 * (problem.dim_x + problem.dim_y)
        x = problem.sample_prior(max(ROWS), seed=0)
        calls |= {(name, n): partial(problem.simulate, x[:n]) for n in ROWS}
    return [
        {"work": name, "samples": n, "threads": 1, "bytes": sizes[name] * n, "seconds": s}
        for (name, n), s in timed(calls, rounds).items()
    ]


def networks(rounds: int) -> Rows:
    """Samples drawn for one observation, and training steps over batch sizes, under one thread and all."""
    calls: dict[Any, Call] = {}
    work: dict[Any, float] = {}
    problem = fastinv.problem("kinematics")
    y = problem.observations(1)
    for name in NETWORKS:
        weights = fastinv.model(name, problem, preset=PRESET).parameter_count
        for threads in thread_counts():
            model = fastinv.model(name, problem, preset=PRESET).eval()
            for n in DRAWN:
                key = f"{name}, sampling", n, threads
                calls[key] = within(torch_threads, threads, partial(model.sample, y, n))
                if name != ONCE_PER_OBSERVATION:
                    work[key] = float(weights * n)
            for n in BATCHES:
                key = f"{name}, training step", n, threads
                calls[key], work[key] = (
                    within(torch_threads, threads, training_step(name, n)),
                    3.0 * weights * n,
                )
    return [
        {"work": key[0], "samples": key[1], "threads": key[2], "seconds": s}
        | ({"multiply_adds": work[key]} if key in work else {})
        for key, s in timed(calls, rounds).items()
    ]


def training_step(name: str, batch: int) -> Call:
    """A step of a model that trains on batches of this size."""
    sizes = replace(preset(PRESET), training_pairs=10 * batch, batch_size=batch, epochs=400)
    model = fastinv.model(name, fastinv.problem("kinematics"), preset=PRESET)
    trainer = Trainer(model, training_set(model.problem, sizes.training_pairs), sizes, 0, None)
    model.train()
    return lambda: trainer.advance(1)


def thread_counts() -> list[int]:
    """One, and all cores."""
    return sorted({1, machine.cores()})


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


PIECES: dict[str, Callable[[int], Rows]] = {
    "exact": exact,
    "tolerance": tolerance,
    "processes": processes,
    "networks": networks,
}
TITLES = {
    "exact": "Exact samplers",
    "tolerance": "ABC, the nearest 1000 of so many simulations",
    "processes": "Forward processes",
    "networks": f"Networks, preset {PRESET}",
}


def upper_fit(points: dict[int, float]) -> str:
    """The exponent over the upper half of the points, at least two of them."""
    chosen = sorted(points.items())[min(len(points) // 2, max(0, len(points) - 2)) :]
    return f"{exponent(*zip(*chosen, strict=True)):.2f}" if len(chosen) > 1 else "-"


def limit_share(row: dict[str, Any], limits: dict[str, float]) -> str:
    """Work per second over what as many cores do at most."""
    for key in ("multiply_adds", "bytes"):
        if key in row:
            rate = limits[key] * row["threads"] / machine.cores()
            return f"{row[key] / median(row) / rate:.0%}"
    return ""


def page(rows: Rows, limits: dict[str, float]) -> str:
    """Nanoseconds per sample, and the exponents."""
    cells = []
    for row in rows:
        each = 1e9 * median(row) / row["samples"] / row.get("observations", 1)
        at = [row["work"], row.get("observations", ""), f"{row['samples']:,}", row["threads"]]
        cells.append([*at, f"{each:,.1f}", limit_share(row, limits)])
    header = ["", "observations", "samples", "threads", "ns per sample", "share of the limit"]
    return f"{table(header, cells)}\n\nFitted exponents of the time: {'; '.join(fits(rows))}."


def fits(rows: Rows) -> Iterator[str]:
    """Exponents in samples (at most observations) and in observations (at the most samples that all have)."""
    for work, threads in dict.fromkeys((r["work"], r["threads"]) for r in rows):
        mine = [r for r in rows if (r["work"], r["threads"]) == (work, threads)]
        counts = {r.get("observations", 1) for r in mine}
        where = f"{work}, threads {threads}"
        for count in (min(counts), max(counts)) if len(counts) > 1 else counts:
            line = {r["samples"]: median(r) for r in mine if r.get("observations", 1) == count}
            told = f", observations {count}" if len(counts) > 1 else ""
            yield f"{where}{told}, in samples: {upper_fit(line)}"
        if len(counts) > 1:
            shared = set.intersection(
                *({r["samples"] for r in mine if r["observations"] == c} for c in counts)
            )
            line = {r["observations"]: median(r) for r in mine if r["samples"] == max(shared)}
            yield f"{where}, samples {max(shared)}, in observations: {upper_fit(line)}"


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    parts = [
        "# Scaling of samplers, forward processes and networks",
        "",
        machine.as_markdown(result["machine"]),
    ]
    parts += ["", limits_line(result["limits"]), ""]
    for piece, title in TITLES.items():
        if piece in result:
            parts += [f"## {title}", "", page(result[piece]["rows"], result["limits"]), ""]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--piece", choices=tuple(PIECES), action="append", help="all if left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="result files without suffix, which later runs add to")
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine.describe(("numpy", "numba", "torch"))}
    result["limits"] = machine.limits()
    for name in options.piece or PIECES:
        result[name] = {"rows": PIECES[name](options.rounds)}
    return results_file.tell(result, options.output, markdown)


if __name__ == "__main__":
    sys.exit(main())
