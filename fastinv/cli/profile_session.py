"""What `fastinv profile` measures of several models, kept as it comes in, and gone on with after a stop."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fastinv.cli.errors import checking
from fastinv.cli.targets import STDOUT, Target, write_file
from fastinv.store.connection import translated
from fastinv.store.errors import StoreError

if TYPE_CHECKING:
    from fastinv.timing.profile import OnStep
    from fastinv.timing.records import Profile
    from fastinv.timing.roofline import Machine

SAVED = "profiles"
# Profiles are a few kB; a larger file is none.
MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class Asked:
    """What a command asks for: another one goes on only where all of this is the same."""

    models: tuple[str, ...]
    modes: tuple[str, ...]
    batches: tuple[int, ...]
    problem: str
    preset: str
    counts: str
    seed: int
    device: str
    budget: float | None = None


class Notebook:
    """A model's profile in the folder of its run; keeps nothing where there is no run.

    Args:
        path: the file; None for none.
        request: what has to be the same for a profile to be gone on with.
        provenance: what makes the numbers.
    """

    def __init__(self, path: Path | None, request: Mapping[str, Any], provenance: Mapping[str, Any]) -> None:
        self.path, self._request, self._provenance = path, dict(request), provenance
        self.profile: Profile | None = None

    def recall(self) -> Profile | None:
        """What an interrupted command of the same request left."""
        from fastinv.reports.profile_export import profile_from_object

        try:
            if self.path is None or self.path.stat().st_size > MAX_BYTES:
                return None
            content = json.loads(self.path.read_text())
            if content["finished"] is not False or content["request"] != self._request:
                return None
            self.profile = profile_from_object(content["models"][0])
        except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError):
            return None  # there is none, or it is anybody's file
        return self.profile

    def write(self, profile: Profile, *, finished: bool = False) -> None:
        """Replace what is kept; a finished command is never gone on with."""
        from fastinv.reports.profile_export import profile_object, to_json

        self.profile = profile
        if self.path is not None:
            content = profile_object([profile], (), self._provenance)
            text = to_json({**content, "request": self._request, "finished": finished})
            write_file(self.path, text.encode())


class Session:
    """The models of one command, one after the other.

    Args:
        asked: what is measured.
        targets: files that everything so far is exported to after each model; stdout at the end.
        runs: folder of runs in which weights are looked for.
        folder: the one run to take weights from and to save in, if it was named.
        fresh: drop what an interrupted command left.
    """

    def __init__(
        self, asked: Asked, targets: list[Target], runs: Path, folder: Path | None, fresh: bool
    ) -> None:
        from rich.console import Console

        from fastinv.store.provenance import collect_provenance

        self.asked, self.targets, self.runs, self.folder, self.fresh = asked, targets, runs, folder, fresh
        self.provenance = collect_provenance()
        self.notebooks: list[Notebook] = []
        self._shown = 0
        self._machine: Machine | None = None
        quiet = any(target.name == STDOUT for target in targets)
        self._console = Console(stderr=quiet, highlight=False)

    def measure(self, told: Callable[[str], AbstractContextManager[OnStep]]) -> None:
        """Measure what is missing; each model is saved, exported and shown as soon as it is known."""
        from fastinv.timing.modes import ModeUnavailableError
        from fastinv.timing.resources import keep_freed_memory

        keep_freed_memory()
        for name in self.asked.models:
            with told(name) as tell:
                try:
                    self._measure(name, tell)
                except ModeUnavailableError as error:
                    typer.echo(f"{name}: {error}", err=True)
            self.show()

    def show(self) -> None:
        """Export all that is known to files, and print what was not printed yet."""
        from fastinv.reports.profile import print_profile

        # Files first: whoever reads our output may stop reading (`| head`); that must not cost the export.
        self._export([target for target in self.targets if target.name != STDOUT])
        for notebook in self.notebooks[self._shown :]:
            if notebook.profile is not None:
                print_profile(notebook.profile, self._console)
        self._shown = len(self.notebooks)

    def finish(self) -> None:
        """All is measured: write it to stdout where that was asked for, and say where it is kept."""
        for notebook in self.notebooks:
            if notebook.profile is not None:
                notebook.write(notebook.profile, finished=True)
        self._export([target for target in self.targets if target.name == STDOUT])
        for home in self._homes():
            typer.echo(f"saved in {home}", err=True)

    def left(self) -> str:
        """What a stop leaves behind, in a few words."""
        if self._homes():
            return "what is measured is saved, and the same command goes on from here"
        if all(notebook.profile is None for notebook in self.notebooks):
            return "nothing was measured yet"
        return "nothing is saved, for the models belong to no run (see --run)"

    def _measure(self, name: str, tell: OnStep) -> None:
        from fastinv.problems import problem as problem_by_name
        from fastinv.runner.profiling import find_weights, load_or_build, profile_trained, runs_to_search
        from fastinv.timing.roofline import measure_machine

        asked = self.asked
        weights = find_weights(runs_to_search(self.runs, self.folder), asked.problem, name, asked.seed)
        with checking():
            model = load_or_build(
                weights, problem_by_name(asked.problem), name,
                preset=asked.preset, counts=asked.counts, seed=asked.seed, device=asked.device,
            )  # fmt: skip
        notebook = self._notebook(name, weights, model.device.type)
        known = None if self.fresh else notebook.recall()
        if known is not None:
            typer.echo(f"{name}: goes on from what an interrupted command measured (else: --fresh)", err=True)
        elif self._machine is None:
            tell((), "limits of the machine")
            self._machine = measure_machine(asked.device)
        machine = known.machine if known is not None else self._machine
        assert machine is not None
        self.notebooks.append(notebook)
        profile_trained(
            model, modes=asked.modes, batches=asked.batches, trained=weights is not None, machine=machine,
            budget_s=asked.budget or 2.0, known=known, on_step=tell, on_part=notebook.write,
        )  # fmt: skip

    def _notebook(self, name: str, weights: Path | None, device: str) -> Notebook:
        import torch

        home = self.folder if weights is None else weights.parent.parent
        path = None if home is None else home / SAVED / f"{self.asked.problem}-{name}-{device}.json"
        if path is not None and not _writable(path.parent):
            typer.echo(f"{name}: its run cannot be written, so the profile is not saved in it", err=True)
            path = None
        made = ("version", "git", "libraries", "platform", "cpu", "cores")
        request = {
            "asked": asdict(self.asked),
            "weights": None if weights is None else _digest(weights),
            "threads": torch.get_num_threads(),
            "made_by": {key: self.provenance[key] for key in made},
        }
        # Through JSON, as it will be read: tuples become lists.
        return Notebook(path, json.loads(json.dumps(request)), self.provenance)

    def _export(self, targets: list[Target]) -> None:
        from fastinv.reports.profile_export import profile_object, to_csv, to_json

        profiles = [notebook.profile for notebook in self.notebooks if notebook.profile is not None]
        for target in targets:
            csv = target.form == "csv"
            target.write(
                to_csv(profiles, ()) if csv else to_json(profile_object(profiles, (), self.provenance))
            )

    def _homes(self) -> list[Path]:
        paths = (n.path for n in self.notebooks if n.path is not None and n.profile is not None)
        return list(dict.fromkeys(path.parent for path in paths))


def make_folder(folder: Path) -> None:
    """Make a folder if it is missing.

    Raises:
        StoreError: it cannot be made.
    """
    with translated(folder, "make"):
        folder.mkdir(exist_ok=True)


def _writable(folder: Path) -> bool:
    try:
        make_folder(folder)
    except StoreError:
        return False
    return os.access(folder, os.W_OK)


def _digest(path: Path) -> str:
    from hashlib import sha256

    return sha256(path.read_bytes()).hexdigest()
