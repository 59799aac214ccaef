"""CONTRIBUTING.md does what it says: the code of each section is carried out in a copy of the checkout.

A fenced block names a new file (```python path), an edit (```diff path) or commands (```sh). All of a
section's files and edits are made, and all its commands must succeed: page and project cannot drift apart.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from checkout import ROOT, Checkout

_FENCE = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text below a heading of CONTRIBUTING.md."""
    parts = re.split(r"^### (.+)\n", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[title].partition("\n## ")[0]


def hunks(diff: str) -> Iterator[tuple[str, str]]:
    """Old and new text of each hunk."""
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        lines = [line if line else " " for line in hunk.splitlines()]
        assert all(line[0] in " +-" for line in lines), hunk
        yield tuple("".join(f"{line[1:]}\n" for line in lines if line[0] in signs) for signs in (" -", " +"))


def follow(title: str, checkout: Checkout) -> list[str]:
    """Carry out a section; the outputs of its commands."""
    outputs = []
    for kind, path, text in _FENCE.findall(section(title)):
        if kind == "python":
            checkout.add(path, text)
        elif kind == "diff":
            for old, new in hunks(text):
                checkout.replace(path, old, new)
        else:
            assert kind == "sh", f"what is a block of {kind}?"
            for line in text.splitlines():
                # Its figures take longer than all the rest, and are looked at elsewhere.
                line += " --no-figures" if line.startswith("fastinv bench") else ""
                done = checkout.run(*shlex.split(line, comments=True))
                assert done.returncode == 0, f"{line}\n{done.stdout}"
                outputs.append(done.stdout)
    return outputs


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    monkeypatch.setenv("FASTINV_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)
    return Checkout.at(tmp_path)


def test_a_new_problem(checkout: Checkout) -> None:
    checks, tests, bench = follow("A new problem", checkout)
    assert "0 failed" in checks
    assert re.search(r"[1-9]\d* passed", tests)
    assert "linear cinn: Err_post" in bench


@pytest.mark.slow
def test_a_new_model(checkout: Checkout) -> None:
    checks, tests, bench = follow("A new model", checkout)
    assert "0 failed" in checks
    assert re.search(r"[1-9]\d* passed", tests)
    assert "kinematics energy: Err_post" in bench


@pytest.mark.slow
def test_a_new_kernel_back_end(checkout: Checkout) -> None:
    doctor, tests = follow("A new kernel back end", checkout)
    assert "scipy" in doctor
    # Each of the four files of tests took the back end up.
    assert int(re.search(r"(\d+) passed", tests).group(1)) >= 30  # type: ignore[union-attr]


def test_an_outdated_edit_is_noticed(checkout: Checkout) -> None:
    with pytest.raises(ValueError, match="holds 0 times, not once"):
        checkout.replace("fastinv/models/registry.py", "what was never there", "")
