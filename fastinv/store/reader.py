"""The reading side of a run; safe while another process writes."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.store.connection import DATABASE, connect_for_reading, translated
from fastinv.store.content import check_row, check_settings, parse_object, score_columns
from fastinv.store.records import ModelFacts, Stage, StageKey, TimingRow
from fastinv.store.schema import check_version

FloatArray = NDArray[np.float64]


def read_stages(connection: sqlite3.Connection) -> dict[StageKey, Stage]:
    """State of every stage, in the order in which they were begun."""
    rows = connection.execute(
        "SELECT problem, model, seed, stage, status, seconds, error, log FROM stage ORDER BY id"
    )
    stages = [
        Stage(StageKey(*row[:4]), *row[4:]) for row in (check_row(r, "ssissfTT", "stage") for r in rows)
    ]
    return {stage.key: stage for stage in stages}


def list_runs(folder: Path) -> list[Path]:
    """The folders under `folder` that hold a run, most recently changed first."""
    found = folder.glob(f"*/{DATABASE}") if folder.is_dir() else iter(())
    return [p.parent for p in sorted(found, key=lambda p: p.stat().st_mtime, reverse=True)]


class RunReader:
    """A run opened for reading; use as a context manager.

    Args:
        folder: the run's folder.

    Raises:
        StoreError: there is no run, or it cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / DATABASE
        self._connection = connect_for_reading(self.path)
        with translated(self.path, "read run"):
            self._version = check_version(self._connection)

    def __enter__(self) -> RunReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the run was made with."""
        ((text,),) = self._rows("SELECT settings FROM run", "t") or [(None,)]
        with translated(self.path, "read run"):
            settings = parse_object(text, "settings")
            check_settings(settings)
        return settings

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the last session, with its start and end and the number of sessions."""
        rows = self._rows("SELECT provenance, started, ended FROM session ORDER BY id", "tsS")
        if not rows:
            return {}
        with translated(self.path, "read run"):
            last = parse_object(rows[-1][0], "provenance")
        return {**last, "started": rows[0][1], "ended": rows[-1][2], "sessions": len(rows)}

    def protocol(self, problem: str) -> tuple[str, dict[str, Any]] | None:
        """(hash, content) of the protocol behind a problem's scores, None before scoring began."""
        rows = self._rows("SELECT hash, content FROM protocol WHERE problem = ?", "st", problem)
        if not rows:
            return None
        with translated(self.path, "read run"):
            return rows[0][0], parse_object(rows[0][1], "protocol")

    def stages(self) -> dict[StageKey, Stage]:
        """State of every stage."""
        with translated(self.path, "read run"):
            return read_stages(self._connection)

    def models(self) -> dict[tuple[str, str, int], ModelFacts]:
        """Facts by (problem, model, seed)."""
        return {
            (row[0], row[1], row[2]): ModelFacts(*row[3:7], *(bool(flag) for flag in row[7:]))
            for row in self._rows("SELECT * FROM model", "ssissiIiii")
        }

    def scores(self, problem: str, model: str, seed: int) -> dict[str, FloatArray]:
        """Per-observation scores by metric; NULL comes back as NaN."""
        rows = self._rows(
            "SELECT score.metric, score.observation, score.value "
            "FROM score JOIN stage ON score.stage = stage.id "
            "WHERE stage.problem = ? AND stage.model = ? AND stage.seed = ? AND stage.status = 'done' "
            "ORDER BY score.metric, score.observation",
            "siF", problem, model, seed,
        )  # fmt: skip
        with translated(self.path, "read run"):
            return score_columns(rows)

    def curves(self, problem: str, model: str, seed: int) -> dict[str, list[tuple[int, float]]]:
        """Training curves by name, each a list of (step, value)."""
        rows = self._rows(
            "SELECT curve.name, curve.step, curve.value FROM curve JOIN stage ON curve.stage = stage.id "
            "WHERE stage.problem = ? AND stage.model = ? AND stage.seed = ? ORDER BY curve.name, curve.step",
            "siF", problem, model, seed,
        )  # fmt: skip
        curves: dict[str, list[tuple[int, float]]] = {}
        for name, step, value in rows:
            curves.setdefault(name, []).append((step, np.nan if value is None else value))
        return curves

    def timings(self, problem: str, model: str, seed: int) -> dict[str, TimingRow]:
        """Measured latencies by what was measured."""
        rows = self._rows(
            "SELECT what, median_ms, q25_ms, q75_ms, repeats "
            "FROM timing JOIN stage ON timing.stage = stage.id "
            "WHERE problem = ? AND model = ? AND seed = ?",
            "sfffi", problem, model, seed,
        )  # fmt: skip
        return {row[0]: TimingRow(*row) for row in rows}

    def samples_sha256(self, problem: str, model: str, seed: int) -> str | None:
        """SHA-256 of the samples behind a row's scores; None if it was not kept (files of version 1)."""
        if self._version < 2:
            return None
        rows = self._rows(
            "SELECT sha256 FROM sample JOIN stage ON sample.stage = stage.id "
            "WHERE problem = ? AND model = ? AND seed = ? AND status = 'done'",
            "s", problem, model, seed,
        )  # fmt: skip
        return rows[0][0] if rows else None

    def _rows(self, query: str, kinds: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """Rows of a query whose columns have the given kinds, see `check_row`."""
        with translated(self.path, "read run"):
            table = query.partition("FROM ")[2].split()[0]
            return [check_row(row, kinds, table) for row in self._connection.execute(query, arguments)]
