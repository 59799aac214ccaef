"""Two versions side by side: which code each one imports, and what cannot be measured."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tracking import versions
from tracking.versions import Version, VersionError, committed, lay_out, require

Commit = Callable[..., str]


@pytest.fixture
def commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commit:
    """Writes files into a small repository that stands for this one, and commits them."""
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.setattr(versions, "ROOT", root)
    monkeypatch.setattr(versions, "KEPT", tmp_path / "kept")

    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    for folder in ("fastinv", "kernels"):
        (root / folder).mkdir()
        (root / folder / "__init__.py").touch()
    (root / "CMakeLists.txt").touch()
    (root / "fastinv" / "kernels").symlink_to("../kernels")

    def write(**files: str) -> str:
        for name, text in files.items():
            (root / name.replace("__", "/").replace("_dot_", ".")).write_text(text)
        git("add", "--all")
        git("commit", "--quiet", "--message", "changed")
        return git("rev-parse", "HEAD")

    return write


def says(version: Version) -> list[str]:
    """What a process of this version imports, and what one that it starts does."""
    code = "import fastinv.speed as one, fastinv.kernels.speed as other; print(one.VALUE + other.VALUE)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}], check=True)"
    command = [str(version.python), "-P", "-c", f"{code}; {child}"]
    done = subprocess.run(command, cwd=version.folder, check=True, capture_output=True, text=True)
    return sorted(done.stdout.split())


def test_each_version_imports_its_own_code(commit: Commit, tmp_path: Path) -> None:
    older = commit(fastinv__speed_dot_py="VALUE = 'a'", kernels__speed_dot_py="VALUE = 'b'")
    newer = commit(fastinv__speed_dot_py="VALUE = 'c'", bench="not a library's file")
    assert committed() == newer
    # What was not committed counts as well.
    (versions.ROOT / "kernels" / "speed.py").write_text("VALUE = 'd'")
    old, new = lay_out(older, tmp_path)
    assert says(old) == ["ab"] * 2
    assert says(new) == ["cd"] * 2
    assert not (old.folder / "bench").exists()
    assert new.folder == versions.ROOT


@pytest.mark.parametrize("same", [True, False])
def test_compiled_functions_are_taken_along_if_no_source_changed(
    commit: Commit, tmp_path: Path, same: bool
) -> None:
    older = commit(kernels__loop_dot_py="VALUE = 'a'", kernels__speed_dot_py="VALUE = 'b'")
    if not same:
        commit(kernels__loop_dot_py="VALUE = 'c'")
    cache = versions.ROOT / "kernels" / "__pycache__"
    cache.mkdir()
    (cache / "speed.f-1.py311.nbi").touch()
    lay_out(older, tmp_path)
    for place in ("old", "new"):
        assert (tmp_path / place / "kernels/__pycache__/speed.f-1.py311.nbi").exists() == same
    stamp = (versions.ROOT / "kernels/speed.py").stat().st_mtime
    assert (tmp_path / "old/kernels/speed.py").stat().st_mtime == stamp


def test_a_version_that_does_not_compile_is_said(commit: Commit, tmp_path: Path) -> None:
    pytest.importorskip("fastinv.kernels._native", reason="without the extension nothing is compiled")
    broken = '[build-system]\nrequires = []\nbuild-backend = "nothing"\n'
    older = commit(kernels__a_dot_cpp="int a;", pyproject_dot_toml=broken)
    commit(kernels__a_dot_cpp="int b;")
    with pytest.raises(VersionError, match=f"the C\\+\\+ of {older[:12]} does not compile"):
        lay_out(older, tmp_path)


def test_what_belongs_to_no_commit_makes_no_baseline(commit: Commit) -> None:
    commit(kernels__speed_dot_py="VALUE = 'a'")
    (versions.ROOT / "kernels" / "speed.py").write_text("VALUE = 'b'")
    with pytest.raises(VersionError, match=r"commit or stash what changed first \(kernels/speed.py\)"):
        committed()


def test_an_unknown_commit_is_said(commit: Commit) -> None:
    require(commit(kernels__speed_dot_py="VALUE = 'a'"))
    with pytest.raises(VersionError, match="the baseline's commit 0123456789ab is not in this repository"):
        require("0123456789abcdef0123456789abcdef01234567")
