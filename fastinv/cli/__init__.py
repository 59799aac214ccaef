"""The command line. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import codecs
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
PLAIN = {"↔": "<->", "×": "x", "–": "-", "…": "...", "†": "+"}

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
    codecs.register_error("fastinv.replace", _replace)
    plain = _asks_for_ascii()
    for stream in (sys.stdout, sys.stderr):
        # A sign that the terminal's encoding lacks must never end a run of hours.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="ascii" if plain else None, errors="fastinv.replace")
    try:
        from fastinv.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away (`fastinv list | head`); that is no failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


def _replace(error: UnicodeError) -> tuple[str | bytes, int]:
    """Signs that an encoding lacks: the nearest ones that every encoding has."""
    assert isinstance(error, UnicodeEncodeError)
    signs = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign, "?") for sign in signs), error.end


def _asks_for_ascii() -> bool:
    """Whether the locale is C beyond doubt; Python writes UTF-8 there all the same (PEP 540)."""
    if "PYTHONIOENCODING" in os.environ or "PYTHONUTF8" in os.environ:
        return False
    return os.environ.get("LC_ALL") in ("C", "POSIX")


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"fastinv: interrupted\n")
    os._exit(INTERRUPTED)
