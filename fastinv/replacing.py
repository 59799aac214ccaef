"""Files that are replaced in one step: a reader sees the old one or the new one, never half of it."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_DIGITS = 12


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, to be written; it takes that place in the end, and goes on an error.

    Its name ends as that of `path` does, for those who tell a format by it.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    temporary = path.with_name(f".unfinished-{uuid4().hex[:_DIGITS]}-{path.name}")
    temporary.touch(exist_ok=False)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(path: Path) -> None:
    """Remove what writers of `path` left beside it when they were killed; none may be at work."""
    pattern = f".unfinished-{'[0-9a-f]' * _DIGITS}-{glob.escape(path.name)}"
    for left in path.parent.glob(pattern):
        left.unlink(missing_ok=True)
