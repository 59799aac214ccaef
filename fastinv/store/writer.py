"""The writing side of a run: one process at a time, one transaction per finished stage."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from fastinv.store.connection import DATABASE, connect_for_writing, translated
from fastinv.store.errors import SettingsMismatchError
from fastinv.store.lock import RunLock
from fastinv.store.reader import read_stages
from fastinv.store.records import ModelFacts, Stage, StageKey, StageResult

CHECKPOINTS = "checkpoints"
LOGS = "logs"
LOCK = "lock"


class RunWriter:
    """An open run that this process alone may change; use as a context manager.

    Args:
        folder: the run's folder; made if missing.
        settings: everything that the numbers depend on, JSON-serialisable.
        settings_hash: hash of the settings; a run is only ever continued under the same one.
        provenance: what made the numbers (versions, machine, command); one entry per process.
        fresh: delete what the run holds and start anew.

    Raises:
        RunBusyError: another process holds the run.
        SettingsMismatchError: the run was made with other settings.
        StoreError: the folder or file cannot be opened or written.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settings: Mapping[str, Any],
        settings_hash: str,
        provenance: Mapping[str, Any],
        fresh: bool = False,
    ) -> None:
        self.folder = folder
        self.path = folder / DATABASE
        with translated(folder, "open run folder"):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(folder / LOCK)
        self._closed = False
        try:
            if fresh:
                self._clear()
            self._connection = connect_for_writing(self.path)
        except BaseException:
            self._lock.release()
            raise
        try:
            with self._transaction():
                self._claim(settings, settings_hash)
                self._session = self._start_session(provenance)
                # A row left "running" belongs to a process that is gone, for we hold the lock.
                self._connection.execute("DELETE FROM stage WHERE status = 'running'")
        except BaseException:
            self.close(outcome=None)
            raise

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = "finished" if kind is None else "interrupted" if kind is KeyboardInterrupt else "failed"
        self.close(outcome=outcome)

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.folder / CHECKPOINTS

    def stages(self) -> dict[StageKey, Stage]:
        """State of every stage that the run knows."""
        with translated(self.path, "read run"):
            return read_stages(self._connection)

    def begin(self, key: StageKey) -> None:
        """Note that a stage is being worked on; what it held before is dropped."""
        with self._transaction():
            self._forget([key])
            self._connection.execute(
                "INSERT INTO stage (session, problem, model, seed, stage, status, started) "
                "VALUES (?, ?, ?, ?, ?, 'running', ?)",
                (self._session, *key, _now()),
            )

    def finish(self, key: StageKey, result: StageResult) -> None:
        """Commit a stage with all its figures, or nothing of it."""
        with self._transaction():
            stage = self._close_stage(key, "done", result.seconds)
            self._connection.executemany(
                "INSERT INTO score VALUES (?, ?, ?, ?)",
                (
                    (stage, metric, i, _number(value))
                    for metric, values in result.scores.items()
                    for i, value in enumerate(values.tolist())
                ),
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO curve VALUES (?, ?, ?, ?)",
                (
                    (stage, name, step, _number(v))
                    for name, curve in result.curves.items()
                    for step, v in curve
                ),
            )
            self._connection.executemany(
                "INSERT INTO timing VALUES (?, ?, ?, ?, ?, ?)", ((stage, *astuple(t)) for t in result.timings)
            )
            if result.samples_sha256 is not None:
                self._connection.execute("INSERT INTO sample VALUES (?, ?)", (stage, result.samples_sha256))

    def fail(self, key: StageKey, error: str, details: str, seconds: float) -> str:
        """Commit a failure and write its details to a log file.

        Args:
            key: the stage.
            error: the cause in one line.
            details: the whole story, such as a traceback.
            seconds: wall time spent.

        Returns:
            The log file's name, relative to the run's folder.
        """
        log = f"{LOGS}/{key.problem}-{key.model}-seed{key.seed}-{key.stage}.log"
        with translated(self.folder / log, "write log"):
            (self.folder / LOGS).mkdir(exist_ok=True)
            (self.folder / log).write_text(details, encoding="utf-8")
        with self._transaction():
            stage = self._close_stage(key, "failed", seconds)
            self._connection.execute("UPDATE stage SET error = ?, log = ? WHERE id = ?", (error, log, stage))
        return log

    def forget(self, keys: Iterable[StageKey]) -> None:
        """Drop stages and all their figures, so that they are due again."""
        with self._transaction():
            self._forget(keys)

    def describe_model(self, problem: str, model: str, seed: int, facts: ModelFacts) -> None:
        """Note what a table says of a model besides its scores."""
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO model VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (problem, model, seed, *astuple(facts)),
            )

    def describe_protocol(self, problem: str, protocol_hash: str, content: Mapping[str, Any]) -> None:
        """Note the protocol of a problem's scores."""
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO protocol VALUES (?, ?, ?)",
                (problem, protocol_hash, json.dumps(content, sort_keys=True)),
            )

    def close(self, outcome: str | None) -> None:
        """End the session and release the run; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        try:
            with translated(self.path, "close run"):
                # Nobody works on a stage once we are gone; a killed process leaves this to the next one.
                self._connection.execute("DELETE FROM stage WHERE status = 'running'")
                if outcome is not None:
                    self._connection.execute(
                        "UPDATE session SET ended = ?, outcome = ? WHERE id = ?",
                        (_now(), outcome, self._session),
                    )
                self._connection.close()
        finally:
            self._lock.release()

    def _clear(self) -> None:
        with translated(self.folder, "empty run folder"):
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(DATABASE + suffix).unlink(missing_ok=True)
            for name in (CHECKPOINTS, LOGS):
                shutil.rmtree(self.folder / name, ignore_errors=True)

    def _claim(self, settings: Mapping[str, Any], settings_hash: str) -> None:
        row = self._connection.execute("SELECT settings, settings_hash FROM run").fetchone()
        if row is None:
            self._connection.execute(
                "INSERT INTO run VALUES (1, ?, ?, ?, ?)",
                (self.folder.name, json.dumps(settings, sort_keys=True), settings_hash, _now()),
            )
        elif row[1] != settings_hash:
            changed = _difference(json.loads(row[0]), settings)
            raise SettingsMismatchError(
                f"run {self.folder.name!r} was made with other settings ({changed}); "
                "give this one another name, or start the run anew with --fresh"
            )

    def _start_session(self, provenance: Mapping[str, Any]) -> int:
        cursor = self._connection.execute(
            "INSERT INTO session (started, provenance) VALUES (?, ?)", (_now(), json.dumps(provenance))
        )
        return int(cursor.lastrowid or 0)

    def _close_stage(self, key: StageKey, status: str, seconds: float) -> int:
        row = self._connection.execute(
            "UPDATE stage SET status = ?, ended = ?, seconds = ? "
            "WHERE problem = ? AND model = ? AND seed = ? AND stage = ? AND status = 'running' RETURNING id",
            (status, _now(), seconds, *key),
        ).fetchone()
        if row is None:
            raise ValueError(f"stage {key} was never begun")
        return int(row[0])

    def _forget(self, keys: Iterable[StageKey]) -> None:
        self._connection.executemany(
            "DELETE FROM stage WHERE problem = ? AND model = ? AND seed = ? AND stage = ?", keys
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated(self.path, "write run"):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                # After "disk is full" SQLite may have rolled back by itself.
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    changed = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    return ", ".join(f"{name}: {old.get(name)} there, {new.get(name)} here" for name in changed) or "unknown"
