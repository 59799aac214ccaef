"""The page and the figure of bench/flow_peers.py's results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import machine
import numpy as np
from peer_report import Quartiles, bars, ratios, spread
from results_file import table

TASKS = ("sampling", "training step")


def _ratios(rows: dict[str, Any], task: str) -> dict[str, Quartiles]:
    return ratios({name: row["seconds"][task] for name, row in rows.items() if task in row["seconds"]})


def _size(name: str, result: dict[str, Any]) -> str:
    rows = result["rows"]
    lines = [f"## Size {name}", ""]
    if rows:
        first, checked = next(iter(rows.items()))
        lines[0] += f": {checked['checked']['parameters']:,} parameters"
        checks = [
            [
                n,
                f"{r['checked']['inverse']:.0e}",
                f"{r['checked']['log_det']:.0e}",
                f"{r['checked']['loss']:.2f}",
            ]
            for n, r in rows.items()
        ]
        lines += [table(["", "inverse", "log-determinant", "held-out loss"], checks), ""]
        for task in TASKS:
            cells = []
            for n, ratio in _ratios(rows, task).items():
                milliseconds = f"{1e3 * np.median(rows[n]['seconds'][task]):.2f}"
                mebibytes = f"{rows[n]['bytes'][task] / 2**20:.1f}"
                cells.append([n, milliseconds, spread(ratio), mebibytes])
            lines += [table([task, "ms", f"time / {first}'s", "MiB"], cells), ""]
    lines += [f"Left out: {who}: {why}." for who, why in result["left_out"].items()]
    return "\n".join(lines)


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    parts = ["# Coupling flows of five libraries", "", machine.as_markdown(result["machine"]), ""]
    parts += [
        "12 affine couplings in 4 dimensions, networks of two hidden layers, silu, equal parameter counts.",
        "Sampling: 1000 samples, noise included. Training step: batch of 500, Adam. Errors are the largest",
        "after 50 steps, of decode(encode(x)) and of log|det J|. Contestants alternate within one run,",
        "in turns of 50 ms after an untimed call; ratios are taken within each round, median and quartiles",
        "given. MiB: peak of one call.",
        "",
    ]
    return "\n".join([*parts, *(_size(name, found) for name, found in result["sizes"].items())])


def figure(prefix: Path) -> None:
    """Bars of the ratios with their quartiles, PREFIX.svg from PREFIX.json."""
    sizes = json.loads(prefix.with_suffix(".json").read_text())["sizes"]
    bars(prefix, {f"{task}, {size}": _ratios(sizes[size]["rows"], task) for size in sizes for task in TASKS})
