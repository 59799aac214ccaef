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


def remove_unfinished(path: Path) -> None:
    """Remove what writers of `path` left beside it when they were killed; none may be at work."""
    for left in _unfinished(path.parent, glob.escape(path.name)):
        left.unlink(missing_ok=True)


def remove_forgotten(folder: Path, idle_s: float) -> None:
    """Remove what writers of any file left in a folder when they were killed, as far as that is allowed.

    Args:
        folder: where they wrote; others may be at work there.
        idle_s: seconds without a write after which a writer is not at work any more.
    """
    for left in _unfinished(folder, "*"):
        with suppress(OSError):  # another process does the same, or it is another user's file
            if time.time() - left.stat().st_mtime > idle_s:
                left.unlink()


def _unfinished(folder: Path, name: str) -> Iterator[Path]:
    return folder.glob(f".{name}.{'[0-9a-f]' * _DIGITS}.{_UNFINISHED}*")
