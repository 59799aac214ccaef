"""Files that results are exported to, checked before the work and written in one step after it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastinv.cli.errors import UsageError
from fastinv.replacing import replacing

if TYPE_CHECKING:
    from fastinv.reports import ProblemResult

STDOUT = "-"


@dataclass(frozen=True)
class Target:
    """Where an export goes and in which format."""

    name: str
    form: str

    def write(self, text: str) -> None:
        """Write to the file, replacing it in one step, or to stdout."""
        if self.name == STDOUT:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            write_file(Path(self.name), text.encode())


def run_folder(runs: Path, name: str) -> Path:
    """The folder of a run that was given by name or as a path.

    Raises:
        UsageError: there is no such folder.
    """
    for folder in (runs / name, Path(name)):
        if folder.is_dir():
            return folder
    known = known_runs(runs)
    there = f"; known: {', '.join(known[:8])}{', ...' if len(known) > 8 else ''}" if known else ""
    raise UsageError(f"there is no run at {name}{there}")


def known_runs(runs: Path) -> list[str]:
    """Names of what may be runs in a folder of runs, sorted; none where there is no such folder."""
    return sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []


def check_targets(names: Sequence[str], forms: Sequence[str] | None = None) -> list[Target]:
    """Targets whose extension and writability are beyond doubt.

    Args:
        names: file names, or "-" for stdout.
        forms: accepted extensions; those of `fastinv.reports` if None.

    Raises:
        ValueError: an unknown extension or a place that cannot be written.
    """
    from fastinv.reports import export_format

    targets = []
    for name in names:
        form = export_format(name) if forms is None else _form(name, forms)
        if name != STDOUT:
            check_writable(Path(name))
        targets.append(Target(name, form))
    return targets


def check_writable(path: Path) -> None:
    """Raise ValueError unless a file can be written there."""
    folder = path.parent
    if path.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: it is a folder")
    if not folder.is_dir():
        raise ValueError(f"cannot write {str(path)!r}: there is no folder {str(folder)!r}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ValueError(f"cannot write {str(path)!r}: no permission")


def write_file(path: Path, content: bytes) -> None:
    """Write a file so that no reader ever sees half of it.

    Raises:
        StoreError: it cannot be written after all.
    """
    from fastinv.store.connection import translated

    with translated(path, "write"):
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # a device or a pipe, such as /dev/stderr
            return
        with replacing(path) as unfinished:
            unfinished.write_bytes(content)


def export_all(results: Sequence[ProblemResult], targets: Sequence[Target]) -> None:
    """Write the results to every target."""
    from fastinv.reports import render

    for target in targets:
        target.write(render(results, target.form))


def _form(name: str, forms: Sequence[str]) -> str:
    extension = Path(name).suffix.lower().lstrip(".")
    if name == STDOUT:
        return forms[0]
    if extension not in forms:
        accepted = ", ".join(f".{form}" for form in forms)
        raise ValueError(f"cannot tell the format of {name!r}: accepted extensions are {accepted}")
    return extension
