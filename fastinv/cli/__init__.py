"""The command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130

__all__ = ["main"]


def main() -> None:
    """Entry point of the console script."""
    # From here to the command's own handling, Ctrl-C has nothing to save: it ends the process in one line.
    # (Where it is ignored, as under nohup, it stays ignored.)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        _run()
    finally:
        # Python takes its time to tear torch down, and would answer Ctrl-C with a traceback.
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def interruptible() -> None:
    """Make Ctrl-C raise KeyboardInterrupt again, for a command that has something to save."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run() -> None:
    for stream in (sys.stdout, sys.stderr):
        # A sign that the terminal's encoding lacks must never end a run of hours.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        from fastinv.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`fastinv list | head`); that is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"fastinv: interrupted\n")
    os._exit(INTERRUPTED)
