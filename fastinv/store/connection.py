"""Opening the SQLite file of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastinv.store.errors import RunBusyError, StoreError
from fastinv.store.schema import SCHEMA_VERSION, check_tables, check_version, migrate

DATABASE = "run.sqlite3"
# Long enough for a reader to let go, short enough not to look like a hang.
BUSY_TIMEOUT_S = 10.0
# A quota shows as one of these; only a disk that is simply full has an error of its own.
_WRITE_FAILURES = frozenset(
    f"SQLITE_IOERR_{what}" for what in ("WRITE", "FSYNC", "DIR_FSYNC", "TRUNCATE", "SHMSIZE", "SHMOPEN")
)


@contextmanager
def translated(path: Path, verb: str) -> Iterator[None]:
    """Turn errors of SQLite and the file system into a StoreError that names the file and the cause."""
    try:
        yield
    except (sqlite3.Error, OSError, UnicodeDecodeError, OverflowError) as error:
        raise StoreError(f"cannot {verb} {path}: {_cause(error)}") from error
    except RunBusyError:
        raise
    except StoreError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"cannot {verb} {path}: {error}") from error


def connect_for_writing(path: Path) -> sqlite3.Connection:
    """A connection that may change the run, its schema brought up to date.

    Raises:
        StoreError: the file cannot be opened, is damaged, or is not a run.
    """
    with translated(path, "open run"):
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA foreign_keys = ON")
            migrate(connection)
            check_tables(connection, SCHEMA_VERSION)
            connection.execute("PRAGMA journal_mode = WAL")
            # Commits are rare (one per stage), so each may wait for the disk.
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the run; works while another process writes.

    Raises:
        StoreError: there is no such file, it is damaged, or it is not a run.
    """
    if not path.is_file():
        raise StoreError(f"there is no run at {path.parent} (no file {path.name} in it)")
    with translated(path, "read run"):
        # "rw" lets the last one out remove the WAL files; "query_only" keeps the promise to change nothing.
        # Where the folder is read-only nobody writes, so "immutable" is right there.
        for options in ("mode=rw", "mode=ro&immutable=1"):
            connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?{options}", uri=True, timeout=BUSY_TIMEOUT_S
            )
            try:
                connection.execute("PRAGMA trusted_schema = OFF")
                connection.execute("PRAGMA query_only = ON")
                check_tables(connection, check_version(connection))
                return connection
            except sqlite3.OperationalError as error:
                connection.close()
                if "immutable" in options or not _read_only(error):
                    raise
            except BaseException:
                connection.close()
                raise
    raise AssertionError("unreachable")


def _read_only(error: sqlite3.OperationalError) -> bool:
    return any(text in str(error) for text in ("unable to open", "readonly"))


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    if isinstance(error, OSError):
        return error.strerror or text
    if getattr(error, "sqlite_errorname", "") in _WRITE_FAILURES:
        return "the disk refuses to be written (full, over a quota, or failing)"
    if "full" in text:
        return "the disk is full; make room and run the same command again"
    if "readonly" in text:
        return "the file or its folder is read-only"
    if any(sign in text for sign in ("not a database", "malformed", "decode", "corrupt", "disk I/O")):
        return "the file is damaged or not an SQLite database"
    return text
