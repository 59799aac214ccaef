"""Baselines: each benchmark's ratio to its yardstick on one class of machines, and how it scatters."""

from __future__ import annotations

import json
import re
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "baselines"
# A change below LEAST is never called one; one above MOST always is, however noisy the benchmark.
LEAST, MOST, WIDTHS = 0.10, 0.25, 4.0


@dataclass(frozen=True)
class Reference:
    """What one benchmark is compared with.

    Attributes:
        ratio: median over the repeated runs.
        noise: half the distance between largest and smallest ratio of those runs, relative to `ratio`.
        runs: how many there were.
    """

    ratio: float
    noise: float
    runs: int

    @classmethod
    def of(cls, ratios: list[float]) -> Reference:
        """From the ratios of repeated runs."""
        middle = statistics.median(ratios)
        return cls(middle, (max(ratios) - min(ratios)) / (2 * middle), len(ratios))

    @property
    def threshold(self) -> float:
        """Relative change from which on a benchmark counts as slower or faster."""
        return min(MOST, max(LEAST, WIDTHS * self.noise))


def machine_class(provenance: dict[str, Any]) -> str:
    """Name of the baseline file: CPU, widest instruction set and number of cores.

    Examples:
        >>> machine_class({"cpu": {"name": "AMD EPYC 9R14", "flags": ["avx2", "avx512f"]}, "cores": 2})
        'amd-epyc-9r14-avx512f-2-cores'
    """
    cpu = provenance["cpu"]
    wide = [flag for flag in ("avx512f", "avx2", "asimd") if flag in cpu["flags"]][:1]
    text = " ".join([cpu["name"], *wide, str(provenance["cores"]), "cores"])
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def read(path: Path) -> dict[str, Reference]:
    """Benchmark name to reference."""
    return {name: Reference(**values) for name, values in json.loads(path.read_text())["benchmarks"].items()}


def write(path: Path, machine: dict[str, Any], references: dict[str, Reference]) -> None:
    """Write a baseline file, one benchmark per line so that a diff shows what moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = {name: {k: round(v, 5) for k, v in asdict(r).items()} for name, r in sorted(references.items())}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in rounded.items())
    head = json.dumps(machine, indent=1).replace("\n", "\n ")
    path.write_text(f'{{\n "machine": {head},\n "benchmarks": {{\n{lines}\n }}\n}}\n')
