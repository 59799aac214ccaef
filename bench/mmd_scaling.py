"""How the time of exact MMD grows with problems, samples, dimensions and threads; what a small call costs.

    python bench/mmd_scaling.py --piece sizes --kernel gaussian --output bench/results/mmd_scaling

Points of a piece are timed in turn, round after round, each as the mean of as many calls as fill 20 ms;
figures are medians over the rounds. Pairs are "effective" ones, 3 n^2 per problem.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import machine
import numpy as np
import results_file
from results_file import table
from scaling import Call, exponent, limits_line, median, native_threads, timed, within

from fastinv.kernels import Gaussian, mmd2

KERNELS: dict[str, Any] = {"gaussian": Gaussian(1.0), "paper": "paper"}
PROBLEMS = (1, 10, 100, 1000, 10_000)
SAMPLES = (64, 256, 1000, 4000, 20_000)
DIMENSIONS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 17, 24, 32, 64, 128)
MOST_PAIRS = 5e9
LARGE = 1e7
"""Pairs from which on a call is expected near the best rate."""


def samples(batch: int, n: int, d: int = 4) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return tuple(rng.standard_normal((batch, n, d), dtype=np.float32) for _ in range(2))  # type: ignore[return-value]


def sizes(kernel: Any, rounds: int) -> list[dict[str, Any]]:
    """Numbers of problems and of samples."""
    calls: dict[tuple[int, int], Call] = {}
    for batch in PROBLEMS:
        for n in SAMPLES:
            if 3.0 * batch * n * n <= MOST_PAIRS:
                x, y = samples(batch, n)
                calls[batch, n] = partial(mmd2, x, y, kernel=kernel)
    return [{"batch": b, "n": n, "seconds": s} for (b, n), s in timed(calls, rounds).items()]


def dimensions(kernel: Any, rounds: int) -> list[dict[str, Any]]:
    """Dimensions, at 100 problems of 1000 samples."""
    calls: dict[int, Call] = {}
    for d in DIMENSIONS:
        x, y = samples(100, 1000, d)
        calls[d] = partial(mmd2, x, y, kernel=kernel)
    return [{"d": d, "seconds": s} for d, s in timed(calls, rounds).items()]


def thread_counts(kernel: Any, rounds: int) -> list[dict[str, Any]]:
    """One thread against all cores."""
    calls: dict[tuple[int, int, int], Call] = {}
    for batch, n in ((1, 1000), (100, 1000), (1, 20_000), (10_000, 64)):
        x, y = samples(batch, n)
        for count in sorted({1, machine.cores()}):
            calls[batch, n, count] = within(native_threads, count, partial(mmd2, x, y, kernel=kernel))
    found = timed(calls, rounds)
    return [{"batch": b, "n": n, "threads": t, "seconds": s} for (b, n, t), s in found.items()]


def small(kernel: Any, rounds: int) -> list[dict[str, Any]]:
    """A single problem of 100 samples, NumPy and torch, beside the rate of one thread on large ones."""
    import torch

    x, y = samples(100, 1000)
    a, b = (s[0, :100].copy() for s in (x, y))
    at, bt = torch.from_numpy(a), torch.from_numpy(b)
    calls = {
        "large": within(native_threads, 1, lambda: mmd2(x, y, kernel=kernel)),
        "numpy": lambda: mmd2(a, b, kernel=kernel),
        "torch": lambda: mmd2(at, bt, kernel=kernel),
    }
    return [{"call": name, "seconds": s} for name, s in timed(calls, rounds).items()]


PIECES = {"sizes": sizes, "dimensions": dimensions, "threads": thread_counts, "small": small}


Rows = list[dict[str, Any]]


def limit(rate: float, d: int) -> float:
    """Effective pairs per second if one Gaussian cost nothing but its multiply-adds.

    d for the distance and 5 for the exponential and the sum, of each of the 2 n^2 pairs evaluated.
    """
    return 1.5 * rate / (d + 5)


def sizes_page(rows: Rows) -> str:
    at = {(r["batch"], r["n"]): (3.0 * r["batch"] * r["n"] ** 2, median(r)) for r in rows}
    best = max(pairs / seconds for pairs, seconds in at.values())
    body = []
    for batch in PROBLEMS:
        cells = [f"B = {batch}"]
        for n in SAMPLES:
            pairs, seconds = at.get((batch, n), (0.0, 1.0))
            share = f" ({pairs / seconds / best:.0%})" if pairs > LARGE else ""
            cells.append(f"{pairs / seconds / 1e9:.2f}{share}" if pairs else "")
        body.append(cells)
    large = [(pairs, seconds) for pairs, seconds in at.values() if pairs > LARGE]
    lowest = min(pairs / seconds for pairs, seconds in large) / best
    fits = [f"all above 10⁷ pairs, in pairs: {exponent(*zip(*large, strict=True)):.3f}"]
    for n in SAMPLES[:3]:
        line = [(b, s) for (b, k), (pairs, s) in at.items() if k == n and pairs > LARGE]
        if len(line) > 1:
            fits.append(f"n = {n}, in B: {exponent(*zip(*line, strict=True)):.3f}")
    line = [(n, s) for (b, n), (pairs, s) in at.items() if b == 1 and pairs > LARGE]
    fits.append(f"B = 1, in n: {exponent(*zip(*line, strict=True)):.3f}")
    return (
        f"G pairs/s; in brackets the share of the best rate, wherever the total is above 10⁷ pairs (lowest: "
        f"{lowest:.0%}).\n\n{table(['', *(f'n = {n}' for n in SAMPLES)], body)}\n\n"
        f"Fitted exponents of the time: {'; '.join(fits)}."
    )


def dimensions_page(rows: Rows) -> str:
    seconds = {r["d"]: median(r) for r in rows}
    cells = [[d, f"{3e8 / s / 1e9:.2f}", f"{s / seconds[4]:.2f}"] for d, s in seconds.items()]
    high = [(d, s) for d, s in seconds.items() if d >= 16]
    return (
        f"B = 100, n = 1000.\n\n{table(['d', 'G pairs/s', 'time / that of d = 4'], cells)}\n\n"
        f"Fitted exponent of the time in d from 16 on: {exponent(*zip(*high, strict=True)):.3f}."
    )


def threads_page(rows: Rows) -> str:
    at = {(r["batch"], r["n"], r["threads"]): median(r) for r in rows}
    cells = [
        [f"B = {b}, n = {n}", t, f"{3.0 * b * n * n / s / 1e9:.2f}", f"{at[b, n, 1] / s:.2f}"]
        for (b, n, t), s in at.items()
    ]
    return table(["", "threads", "G pairs/s", "times faster than one"], cells)


def small_page(rows: Rows) -> str:
    seconds = {r["call"]: median(r) for r in rows}
    # Evaluated pairs: n (n - 1) / 2 twice, and n^2.
    arithmetic = (100 * 99 + 100**2) / (100 * (1000 * 999 + 1000**2) / seconds["large"])
    cells = [
        [kind, f"{1e6 * seconds[kind]:.1f}", f"{1e6 * (seconds[kind] - arithmetic):.1f}"]
        for kind in ("numpy", "torch")
    ]
    return (
        f"B = 1, n = 100: its arithmetic takes {1e6 * arithmetic:.1f} µs at the rate of one thread on large "
        f"problems.\n\n{table(['', 'µs for a call', 'µs beyond the arithmetic'], cells)}"
    )


def limits_page(found: dict[str, float], result: dict[str, Any]) -> str:
    """How near Gaussians come to the machine's multiply-adds."""
    lines = [limits_line(found)]
    best: dict[int, float] = {}
    for row in result.get("sizes", {}).get("gaussian", []):
        best[4] = max(best.get(4, 0.0), 3.0 * row["batch"] * row["n"] ** 2 / median(row))
    for row in result.get("dimensions", {}).get("gaussian", []):
        best[row["d"]] = max(best.get(row["d"], 0.0), 3e8 / median(row))
    if best:
        rate = found["multiply_adds"]
        cells = [
            [d, f"{limit(rate, d) / 1e9:.2f}", f"{b / 1e9:.2f}", f"{b / limit(rate, d):.0%}"]
            for d, b in sorted(best.items())
        ]
        lines += ["", table(["d", "limit, G pairs/s", "best reached", "share"], cells)]
    return "\n".join(lines)


PAGES: dict[str, Callable[[Rows], str]] = {
    "sizes": sizes_page,
    "dimensions": dimensions_page,
    "threads": threads_page,
    "small": small_page,
}


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    parts = ["# Scaling of exact MMD on a CPU", "", machine.as_markdown(result["machine"]), ""]
    parts += ["d = 4 unless said otherwise, float32, n = m; medians over interleaved rounds.", ""]
    if "limits" in result:
        parts += ["## Limits, gaussian", "", limits_page(result["limits"], result), ""]
    for piece, page in PAGES.items():
        for kernel, rows in result.get(piece, {}).items():
            parts += [f"## {piece.capitalize()}, {kernel}", "", page(rows), ""]
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--piece", choices=tuple(PIECES), action="append", help="all if left out")
    parser.add_argument("--kernel", choices=tuple(KERNELS), action="append", help="all if left out")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path, help="result files without suffix, which later runs add to")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "machine": machine.describe(("numpy", "numba", "torch")),
        "limits": machine.limits(),
    }
    for piece in options.piece or PIECES:
        for kernel in options.kernel or KERNELS:
            result.setdefault(piece, {})[kernel] = PIECES[piece](KERNELS[kernel], options.rounds)
    return results_file.tell(result, options.output, markdown)


if __name__ == "__main__":
    sys.exit(main())
