"""The tables of a run file and how an older file is brought up to date.

docs/runs.md describes every table; keep the two in step.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache

from fastinv.store.errors import StoreError

# Marks the file as one of ours ("finv"), so that another SQLite file is refused by name.
APPLICATION_ID = 0x66696E76

_VERSION_1 = """
CREATE TABLE run (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    name          TEXT NOT NULL,
    settings      TEXT NOT NULL,
    settings_hash TEXT NOT NULL,
    created       TEXT NOT NULL
);
CREATE TABLE session (
    id         INTEGER PRIMARY KEY,
    started    TEXT NOT NULL,
    ended      TEXT,
    outcome    TEXT,
    provenance TEXT NOT NULL
);
CREATE TABLE protocol (
    problem TEXT PRIMARY KEY,
    hash    TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE TABLE model (
    problem            TEXT NOT NULL,
    name               TEXT NOT NULL,
    seed               INTEGER NOT NULL,
    title              TEXT NOT NULL,
    family             TEXT NOT NULL,
    parameters         INTEGER NOT NULL,
    latent_dim         INTEGER,
    maximum_likelihood INTEGER NOT NULL,
    supervised         INTEGER NOT NULL,
    addition           INTEGER NOT NULL,
    PRIMARY KEY (problem, name, seed)
);
CREATE TABLE stage (
    id      INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES session (id),
    problem TEXT NOT NULL,
    model   TEXT NOT NULL,
    seed    INTEGER NOT NULL,
    stage   TEXT NOT NULL CHECK (stage IN ('train', 'score', 'time')),
    status  TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed')),
    started TEXT NOT NULL,
    ended   TEXT,
    seconds REAL NOT NULL DEFAULT 0,
    error   TEXT,
    log     TEXT,
    UNIQUE (problem, model, seed, stage)
);
CREATE TABLE score (
    stage       INTEGER NOT NULL REFERENCES stage (id) ON DELETE CASCADE,
    metric      TEXT NOT NULL,
    observation INTEGER NOT NULL,
    value       REAL,
    PRIMARY KEY (stage, metric, observation)
) WITHOUT ROWID;
CREATE TABLE curve (
    stage INTEGER NOT NULL REFERENCES stage (id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    step  INTEGER NOT NULL,
    value REAL,
    PRIMARY KEY (stage, name, step)
) WITHOUT ROWID;
CREATE TABLE timing (
    stage     INTEGER NOT NULL REFERENCES stage (id) ON DELETE CASCADE,
    what      TEXT NOT NULL,
    median_ms REAL NOT NULL,
    q25_ms    REAL NOT NULL,
    q75_ms    REAL NOT NULL,
    repeats   INTEGER NOT NULL,
    PRIMARY KEY (stage, what)
) WITHOUT ROWID;
CREATE VIEW scores AS
    SELECT stage.problem, stage.model, stage.seed, score.metric, score.observation, score.value
    FROM score JOIN stage ON stage.id = score.stage;
"""

# What a leaderboard knows samples by; a run keeps none of them.
_VERSION_2 = """
CREATE TABLE sample (
    stage  INTEGER PRIMARY KEY REFERENCES stage (id) ON DELETE CASCADE,
    sha256 TEXT NOT NULL
);
"""

# Entry i brings a file from version i to version i + 1. Published entries never change.
MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2)
SCHEMA_VERSION = len(MIGRATIONS)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file to the current schema, each version in a transaction of its own.

    Raises:
        StoreError: not a run file, or one of a newer version of fastinv.
    """
    version = check_version(connection, new_is_fine=True)
    for number in range(version, SCHEMA_VERSION):
        statements = [s for s in MIGRATIONS[number].split(";") if s.strip()]
        with connection:
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number + 1}")


def check_tables(connection: sqlite3.Connection, version: int) -> None:
    """Check that the tables are ours to the letter.

    A file from elsewhere might have a view that never ends in place of a table, or triggers.

    Raises:
        StoreError: a table is missing or altered, or there is a trigger.
    """
    query = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'"
    found = set(connection.execute(query))
    if _expected(version) - found or any(kind == "trigger" for kind, _, _ in found):
        raise StoreError(f"its tables are not those of schema version {version}")


@cache
def _expected(version: int) -> frozenset[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in MIGRATIONS[:version]:
            connection.executescript(script)
        return frozenset(
            connection.execute("SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'")
        )


def check_version(connection: sqlite3.Connection, *, new_is_fine: bool = False) -> int:
    """The file's schema version, 0 for an empty file.

    Raises:
        StoreError: not a run file, or one that this version of fastinv cannot read.
    """
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if new_is_fine and application == 0 and version == 0 and tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise StoreError("it is an SQLite file, but not one that fastinv made")
    if not 0 < version <= SCHEMA_VERSION:
        raise StoreError(
            f"it has schema version {version}, and this fastinv reads 1 to {SCHEMA_VERSION}; "
            "upgrade fastinv to open it"
        )
    return version
