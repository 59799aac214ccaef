"""Files that are replaced in one step: a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

_DIGITS = 12
_UNFINISHED = "unfinished"


@contextmanager
def replacing(path: Path, suffix: str = "") -> Iterator[Path]:
    """An empty file beside `path`, to be written; it takes that place in the end, and goes on an error.

    Args:
        path: the file to replace.
        suffix: what the temporary name has to end in, for writers that ask for it; nobody who looks for files
            of a kind finds it otherwise.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:_DIGITS]}.{_UNFINISHED}{suffix}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(path: Path, *, idle_s: float = 0.0) -> None:
    """Remove what writers of `path` left beside it when they were killed.

    Args:
        path: the file that was to be replaced.
        idle_s: seconds without a write after which no writer is at work any more; 0 where none is.
    """
    pattern = f".{glob.escape(path.name)}.{'[0-9a-f]' * _DIGITS}.{_UNFINISHED}*"
    for left in path.parent.glob(pattern):
        with suppress(FileNotFoundError):  # another process does the same
            if not idle_s or time.time() - left.stat().st_mtime >= idle_s:
                left.unlink()
