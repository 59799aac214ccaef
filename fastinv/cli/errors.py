"""From exceptions to one line on stderr and an exit code."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn, ParamSpec

from fastinv.cli import INTERRUPTED as INTERRUPTED
from fastinv.cli import interruptible

OK, FAILED, USAGE, REGRESSION, ACCURACY = 0, 1, 2, 3, 4
TERMINATED = 143

P = ParamSpec("P")


class UsageError(Exception):
    """The user asked for something impossible; found before any work was done."""


class Terminated(KeyboardInterrupt):
    """SIGTERM: treated like Ctrl-C, but for the exit code."""


@contextmanager
def checking() -> Iterator[None]:
    """Errors in here are the user's: one line, exit code 2."""
    try:
        yield
    except (ValueError, TypeError, MemoryError, NotImplementedError) as error:
        raise UsageError(str(error)) from error


def command(body: Callable[P, int | None]) -> Callable[P, None]:
    """A command from a function that returns an exit code: no traceback for what is a user's error."""

    @functools.wraps(body)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        signal.signal(signal.SIGTERM, _terminate)
        try:
            interruptible()
            code = body(*args, **kwargs)
        except UsageError as error:
            fail(str(error), USAGE)
        except Terminated:
            fail("terminated", TERMINATED)
        except KeyboardInterrupt:
            fail("interrupted", INTERRUPTED)
        except Exception as error:
            # Only now: the store takes longer to import than most commands take to answer.
            from fastinv.store.errors import StoreError

            if isinstance(error, StoreError):
                fail(str(error), FAILED)
            raise
        sys.exit(code or OK)

    return run


def fail(message: str, code: int) -> NoReturn:
    """Print one line on stderr and leave with an exit code."""
    print(f"fastinv: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
