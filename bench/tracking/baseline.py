"""Baselines: each benchmark's ratio to its yardstick on one class of machines, and how it scatters."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastinv.replacing import replacing

FOLDER = Path(__file__).parents[1] / "baselines"


class BaselineError(Exception):
    """A file that is no baseline; the message says what helps."""


@dataclass(frozen=True)
class Reference:
    """What one benchmark is compared with: its ratios of repeated runs, each in a process of its own.

    Attributes:
        ratios: one per run.
    """

    ratios: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Median over the runs."""
        return statistics.median(self.ratios)

    @property
    def low(self) -> float:
        """Lower quartile: what most runs reach, and no single one decides."""
        return sorted(self.ratios)[(len(self.ratios) - 1) // 4]

    @property
    def best(self) -> float:
        """The smallest ratio of any run."""
        return min(self.ratios)


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
    return {name: Reference(tuple(r)) for name, r in _content(path)["benchmarks"].items()}


def machine_of(path: Path) -> dict[str, Any]:
    """The machine and the libraries that a file was measured with."""
    found: dict[str, Any] = _content(path)["machine"]
    return found


def commit_of(path: Path) -> str:
    """The commit whose code a file holds the speed of."""
    return str(_content(path)["commit"])


def _content(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise BaselineError(f"{path.name} is no baseline ({error}); --update --fresh measures one") from None
    if missing := {"machine", "commit", "benchmarks"} - set(found):
        raise BaselineError(
            f"{path.name} lacks {', '.join(sorted(missing))}: another version wrote it; --update --fresh "
            "measures one"
        )
    return found


def write(path: Path, machine: dict[str, Any], commit: str, references: Mapping[str, Reference]) -> None:
    """Write a baseline file, one benchmark per line so that a diff shows what moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = {name: [float(f"{r:.4g}") for r in found.ratios] for name, found in sorted(references.items())}
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(values)}" for name, values in rounded.items())
    head = json.dumps(machine, indent=1).replace("\n", "\n ")
    with replacing(path) as unfinished:
        unfinished.write_text(
            f'{{\n "machine": {head},\n "commit": "{commit}",\n "benchmarks": {{\n{lines}\n }}\n}}\n'
        )
