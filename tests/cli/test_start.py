"""Ctrl-C at any moment is one line, also before a command has begun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

START = "from fastinv.cli import main; main()"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")

SLOW = """
import pathlib, time
pathlib.Path("reached").touch()
time.sleep(60)
"""


@pytest.mark.parametrize("module", ["typer", "numpy"])
def test_interrupted_while_modules_are_loaded(tmp_path: Path, module: str) -> None:
    """typer is imported before there is a command, numpy by the command."""
    (tmp_path / f"{module}.py").write_text(SLOW)
    process = subprocess.Popen(
        [sys.executable, "-c", START, "observations"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60.0
    while not (tmp_path / "reached").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "fastinv: interrupted\n")


DEAF = """
import os, signal, sys
import fastinv.cli as cli

signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.argv[1:] = ["list", "kernels"]
original = cli._run
cli._run = lambda: (os.kill(os.getpid(), signal.SIGINT), original())
cli.main()
"""


def test_nohup_stays_deaf() -> None:
    result = subprocess.run([sys.executable, "-c", DEAF], capture_output=True, text=True, check=True)
    assert "multiquadrics" in result.stdout


def test_a_locale_without_unicode_gets_none() -> None:
    """Python writes UTF-8 there all the same; a terminal that shows ASCII would show rubbish."""
    hidden = ("PYTHONUTF8", "PYTHONIOENCODING")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-c", START, "list", "models"]
    plain = subprocess.run(command, capture_output=True, check=True, env={**environment, "LC_ALL": "C"})
    assert plain.stdout.isascii()
    assert b"x <-> [y, z]" in plain.stdout
    rich = subprocess.run(command, capture_output=True, check=True, env={**environment, "LC_ALL": "C.UTF-8"})
    assert "x ↔ [y, z]" in rich.stdout.decode()
