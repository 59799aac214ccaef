"""Versions of the library: which code each one imports, what is kept, and what cannot be measured."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tracking import versions
from tracking.versions import (
    Version,
    VersionError,
    clean,
    committed,
    of_checkout,
    of_commit,
    require,
    same_code,
)

Commit = Callable[..., str]
BACK_ENDS = """
def available_backends():
    from importlib.util import find_spec
    from types import SimpleNamespace
    return {"native": SimpleNamespace(available=find_spec("fastinv.kernels._native") is not None)}
"""


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commit:
    """Writes files into a small repository that stands for this one, and commits them."""
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.setattr(versions, "ROOT", root)
    monkeypatch.setattr(versions, "KEPT", root / "kept")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    for folder in ("fastinv", "kernels"):
        (root / folder).mkdir()
        (root / folder / "__init__.py").write_text(BACK_ENDS)
    (root / ".gitignore").write_text("kept/\n__pycache__/\n")
    (root / "fastinv" / "kernels").symlink_to("../kernels")

    ages = itertools.count()

    def write(**files: str) -> str:
        files.setdefault("CMakeLists_dot_txt", "")
        for name, text in files.items():
            path = root / name.replace("__", "/").replace("_dot_", ".")
            path.write_text(text)
            # Older than the installed extension, and to git another file each time.
            os.utime(path, times=(age := next(ages), age))
        git("add", "--all")
        git("commit", "--quiet", "--message", "changed")
        return git("rev-parse", "HEAD")

    return write


def says(version: Version) -> list[str]:
    """What a process of this version imports in the checkout's folder, and what one that it starts does."""
    code = "import fastinv.speed as one, fastinv.kernels.speed as other; print(one.VALUE + other.VALUE)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    command = [str(version.python), "-c", f"{code}; {child}"]
    environment = {**clean(), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=versions.ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.split()


def test_each_version_imports_its_own_code(
    commit: Commit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(versions.ROOT))
    older = commit(fastinv__speed_dot_py="VALUE = 'a'", kernels__speed_dot_py="VALUE = 'b'")
    newer = commit(fastinv__speed_dot_py="VALUE = 'c'", bench="not a library's file")
    assert committed() == newer
    assert same_code(newer)
    assert not same_code(older)
    # What was not committed counts as well.
    (versions.ROOT / "kernels" / "speed.py").write_text("VALUE = 'd'")
    assert not same_code(newer)
    old, new = of_commit(older), of_checkout()
    (versions.ROOT / "kernels" / "speed.py").write_text("VALUE = 'e'")
    assert says(old) == ["ab"] * 2
    assert says(new) == ["cd"] * 2
    assert says(of_checkout()) == ["ce"] * 2
    # Laid out once, whoever asks.
    assert of_commit(older) == old
    (versions.ROOT / "fastinv" / "speed.py").write_text("VALUE = 'a'")
    (versions.ROOT / "kernels" / "speed.py").write_text("VALUE = 'b'")
    assert of_checkout().python == old.python


def test_only_some_versions_are_kept(commit: Commit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "KEEP", 2)
    commits = [commit(kernels__speed_dot_py=f"VALUE = '{i}'") for i in range(3)]
    one, two, three = (of_commit(name).python for name in commits)
    assert [python.exists() for python in (one, two, three)] == [False, True, True]


def test_a_version_that_cannot_be_built_is_said(commit: Commit) -> None:
    pytest.importorskip("fastinv.kernels._native", reason="without the extension nothing is compiled")
    broken = '[build-system]\nrequires = []\nbuild-backend = "nothing"\n'
    older = commit(kernels__a_dot_cpp="int a;", pyproject_dot_toml=broken)
    commit(kernels__a_dot_cpp="int b;")
    with pytest.raises(VersionError, match=f"no wheel of {older[:12]} could be built"):
        of_commit(older)
    assert not list(versions.KEPT.iterdir())


def test_an_extension_that_is_out_of_date_is_said(commit: Commit) -> None:
    pytest.importorskip("fastinv.kernels._native", reason="without the extension nothing is compiled")
    commit(kernels__a_dot_cpp="int a;")
    (versions.ROOT / "kernels" / "a.cpp").touch()
    with pytest.raises(VersionError, match="installed extension is older than kernels/a"):
        of_checkout()


def test_what_belongs_to_no_commit_makes_no_baseline(commit: Commit) -> None:
    commit(kernels__speed_dot_py="VALUE = 'a'")
    (versions.ROOT / "kernels" / "speed.py").write_text("VALUE = 'b'")
    with pytest.raises(VersionError, match=r"commit or stash what changed first \(kernels/speed.py\)"):
        committed()


def test_an_unknown_commit_is_said(commit: Commit) -> None:
    require(commit(kernels__speed_dot_py="VALUE = 'a'"))
    with pytest.raises(VersionError, match="the baseline's commit 0123456789ab is not in this repository"):
        require("0123456789abcdef0123456789abcdef01234567")
