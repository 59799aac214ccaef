"""The page and the figure of bench/posterior_peers.py's results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import machine
import numpy as np
from peer_report import Quartiles, bars, ratios, spread
from results_file import table


def _ratios(rows: dict[str, Any], task: str) -> dict[str, Quartiles]:
    return ratios({name: row["seconds"][task] for name, row in rows.items()})


def _tasks(rows: dict[str, Any]) -> list[str]:
    return list(next(iter(rows.values()))["seconds"]) if rows else []


def _checks(rows: dict[str, Any]) -> str:
    cells = [
        [name, f"{c['residual']:.2g}", f"{c['mmd2']:+.4f}", f"{c['samples']:.0f}"]
        for name, c in ((name, row["checked"]) for name, row in rows.items())
    ]
    return table(["", "residual / promised", "MMD² to the reference", "samples per observation"], cells)


def _times(rows: dict[str, Any], task: str) -> str:
    cells = []
    for name, ratio in _ratios(rows, task).items():
        microseconds = 1e6 * float(np.median(rows[name]["seconds"][task]))
        mebibytes = rows[name]["bytes"][task] / 2**20
        cells.append([name, f"{microseconds:.3g}", spread(ratio), f"{mebibytes:.1f}"])
    return table([task, "µs per sample", f"time / {next(iter(rows))}'s", "MiB"], cells)


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    rows = result["contest"]["rows"]
    parts = ["# Posterior samples of the planar arm", "", machine.as_markdown(result["machine"]), ""]
    budget, tolerance = f"{result['simulations']:,}", f"{result['tolerance']:g}"
    parts += [
        f"ABC makes {budget} simulations at a tolerance of {tolerance}; ours and NumPy's serve",
        "all observations, sbi makes them for each. The exact samplers' promise is 1e-9. MMD² is unbiased,",
        "with kernel `paper`, against the float64 reference sampler, its mean over ten published",
        "observations. Contestants alternate within one run, in turns of 50 ms after an untimed call; ratios",
        "are taken within each round, median and quartiles given. MiB: peak of one call.",
        "",
    ]
    if rows:
        parts += [_checks(rows), ""]
    for task in _tasks(rows):
        parts += [_times(rows, task), ""]
    parts += [f"Left out: {who}: {why}." for who, why in result["contest"]["left_out"].items()]
    return "\n".join(parts)


def figure(prefix: Path) -> None:
    """Bars of the ratios with their quartiles, PREFIX.svg from PREFIX.json."""
    rows = json.loads(prefix.with_suffix(".json").read_text())["contest"]["rows"]
    bars(prefix, {task: _ratios(rows, task) for task in _tasks(rows)}, log=True)
