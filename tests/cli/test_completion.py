"""What the shell is offered while a command is typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

START = "import sys; sys.argv[0] = 'fastinv'; from fastinv.cli import main; main()"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("fastinv com", ["compare"]),
        ("fastinv bench --problem k", ["kinematics"]),
        ("fastinv bench --model inn", ["inn", "inn-l2-mmd"]),
        ("fastinv bench --preset s", ["smoke", "standard"]),
        ("fastinv list p", ["problems", "presets"]),
        ("fastinv report b", ["before"]),
        ("fastinv compare before a", ["after"]),
        ("fastinv report x", []),
    ],
)
def test_bash_is_offered(tmp_path: Path, words: str, offered: list[str]) -> None:
    for name in ("before", "after"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    result = subprocess.run(
        [sys.executable, "-c", START],
        cwd=tmp_path,
        env={
            **os.environ,
            "_FASTINV_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == offered
    assert result.stderr == ""
