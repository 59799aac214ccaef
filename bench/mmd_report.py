"""The page and the figure of bench/mmd_cpu.py's results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import machine
import numpy as np
from peer_report import Quartiles, bars, quartiles, ratios, spread
from results_file import table

MULTIPLY_ADDS_PER_PAIR = 9
"""Of one Gaussian at d = 4: 4 for the distance, 2 to reduce the range, 2 in the polynomial, 1 product."""


def _ratios_of(rows: list[dict[str, Any]]) -> dict[str, Quartiles]:
    return ratios({row["name"]: row["seconds"] for row in rows})


def _task(name: str, result: dict[str, Any]) -> str:
    n, rows = result["n"], result["rows"]
    lines = [f"## {name[0].upper()}{name[1:]}", ""]
    if rows:
        base = np.array(rows[0]["seconds"])
        cells = []
        for row, ratio in zip(rows, _ratios_of(rows).values(), strict=True):
            rate = 3.0 * n * n / float(np.median(row["seconds"])) / 1e9
            cells.append([row["name"], f"{row['error']:.0e}", row["problems"], f"{rate:.2f}", spread(ratio)])
        header = ["", "error", "problems", "G pairs/s", f"time / {rows[0]['name']}'s"]
        lines += [table(header, cells), ""]
        if name == "gaussian":
            lines += [_share(np.array(result["multiply_adds_per_s"]), 2.0 * n * n / base), ""]
    lines += [f"Left out: {who}: {why}." for who, why in result["left_out"].items()]
    return "\n".join(lines)


def _share(multiply_adds: Any, evaluated: Any) -> str:
    """How near the first contestant comes to the machine's multiply-adds, measured in the same rounds."""
    low, middle, high = quartiles(evaluated * MULTIPLY_ADDS_PER_PAIR / multiply_adds)
    rate = float(np.median(multiply_adds))
    each = MULTIPLY_ADDS_PER_PAIR
    limit = 1.5 * rate / each
    return (
        f"Limit: the cores do {rate / 1e9:.0f} G multiply-adds/s in registers, measured in the same rounds.\n"
        f"At {each} for each of the 2 n² pairs evaluated that is {limit / 1e9:.1f} G effective\n"
        f"pairs/s. Reached: {middle:.0%} ({low:.0%} to {high:.0%})."
    )


def _ratios(tasks: dict[str, Any]) -> str:
    """What a harder task costs the fastest back end compared with an easier one (runs of their own)."""
    seconds = {name: float(np.median(t["rows"][0]["seconds"])) for name, t in tasks.items() if t["rows"]}
    pairs = [("octaves", "gaussian", "three bandwidths in octaves / one")]
    pairs += [
        (f"{k} with gradients", k, f"gradients / forward, {k}") for k in ("gaussian", "octaves", "paper")
    ]
    rows = [[text, f"{seconds[a] / seconds[b]:.2f}"] for a, b, text in pairs if a in seconds and b in seconds]
    return table(["", "times"], rows) + "\n" if rows else ""


def _memory(result: dict[str, Any]) -> str:
    rows = [[r["name"], r["batch"], f"{r['bytes'] / 2**20:.2f}"] for r in result["rows"]]
    return (
        f"## Peak memory of {result['task']}, n = {result['n']}\n\nOf one call, beside its arguments, "
        f"results included; each in a fresh process.\n\n{table(['', 'problems', 'MiB'], rows)}\n"
    )


def _scoring(result: dict[str, Any]) -> str:
    whole, kept = (np.median(result[key]) for key in ("seconds", "seconds_with_kept_self_term"))
    pairs = 3.0 * result["observations"] * result["n"] ** 2 / whole
    return (
        f"## Scoring {result['observations']} observations of {result['n']} samples, kernel `paper`\n\n"
        f"{whole:.1f} s ({pairs / 1e9:.2f} G pairs/s); {kept:.1f} s with the ground truth's self term kept.\n"
    )


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    parts = ["# Exact MMD on a CPU", "", machine.as_markdown(result["machine"]), ""]
    parts += [
        "d = 4, float32, biased, n = m. Contestants alternate within one run; ratios are taken within each",
        "round, median and quartiles given. Errors are against float64, relative to k(0), of gradients",
        "relative to the largest; `problems` is how many one call held. Pairs are 3 n² per problem.",
        "",
    ]
    tasks = result.get("tasks", {})
    parts += [_task(name, found) for name, found in tasks.items()]
    if ratios := _ratios(tasks):
        parts += ["## What more costs", "", ratios]
    if "memory" in result:
        parts += [_memory(result["memory"])]
    if "scoring" in result:
        parts += [_scoring(result["scoring"])]
    return "\n".join(parts)


def figure(prefix: Path) -> None:
    """Bars of the ratios with their quartiles, PREFIX.svg from PREFIX.json."""
    tasks = json.loads(prefix.with_suffix(".json").read_text()).get("tasks", {})
    panels = {name: _ratios_of(found["rows"]) for name, found in tasks.items() if found["rows"]}
    if panels:
        bars(prefix, panels, log=True)
