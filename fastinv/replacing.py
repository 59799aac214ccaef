"""Files that are replaced in one step: a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
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
    pattern = f".{glob.escape(path.name)}.{'[0-9a-f]' * _DIGITS}.{_UNFINISHED}*"
    for left in path.parent.glob(pattern):
        left.unlink(missing_ok=True)
