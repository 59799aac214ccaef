"""Two versions of the code in one run: an older commit's and this checkout's, each with an interpreter."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "beside"
# What decides about the speed of the library; the rest of a checkout does not.
SOURCES = ("fastinv", "kernels")
COMPILED = (".cpp", ".hpp", "CMakeLists.txt")


class VersionError(Exception):
    """A commit cannot be measured here; the message says why and what helps."""


@dataclass(frozen=True)
class Version:
    """Code to measure.

    Attributes:
        folder: holds `bench` and `pyproject.toml`; benchmarks run here.
        python: imports this version of fastinv.
    """

    folder: Path
    python: Path


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise VersionError("git is needed to compare with a baseline, and is not installed") from None
    except subprocess.CalledProcessError as error:
        raise VersionError(error.stderr.decode().strip()) from None


def committed() -> str:
    """The commit that this checkout is at.

    Raises:
        VersionError: files that decide about speed differ from it.
    """
    if changed := _git("status", "--porcelain", "--", *SOURCES, "CMakeLists.txt").decode().splitlines():
        files = ", ".join(line[3:] for line in changed[:3]) + (" ..." if len(changed) > 3 else "")
        raise VersionError(f"a baseline belongs to a commit: commit or stash what changed first ({files})")
    return _git("rev-parse", "HEAD").decode().strip()


def require(commit: str) -> None:
    """Make sure that a commit's files can be had.

    Raises:
        VersionError: git does not know the commit.
    """
    try:
        _git("cat-file", "-e", f"{commit}^{{commit}}")
    except VersionError as error:
        raise VersionError(
            f"the baseline's commit {commit[:12]} is not in this repository ({error}); fetch it (git fetch "
            "--unshallow), or measure the baseline anew with --update --fresh"
        ) from None


def lay_out(commit: str, place: Path) -> tuple[Version, Version]:
    """An older version and a copy of this checkout's, under a temporary folder.

    Neither is the editable install, whose imports look for changed C++ first and take longer for it.

    Args:
        commit: of the older version; its C++ is compiled if it differs from this checkout's, and kept.
        place: temporary folder.

    Raises:
        VersionError: git does not know the commit, or its C++ does not compile.
    """
    old, new = place / "old", place / "new"
    old.mkdir()
    _extract(commit, old)
    # Caches of compiled functions know when their own file changed, not what it imports: all or none.
    same = all(_equal(path, ROOT / path.relative_to(old)) for path in _sources(old, ".py")) and _names(
        old, ".py"
    ) == _names(ROOT, ".py")
    for path in _sources(old, ".py"):
        if _equal(path, here := ROOT / path.relative_to(old)):
            shutil.copystat(here, path)
            for cached in here.parent.glob(f"__pycache__/{here.stem}.*.nb*") if same else ():
                target = path.parent / "__pycache__" / cached.name
                target.parent.mkdir(exist_ok=True)
                shutil.copy2(cached, target)
    for name in SOURCES:
        ignored = None if same else shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, new / name, symlinks=True, ignore=ignored)
    if spec := find_spec("fastinv.kernels._native"):
        assert spec.origin is not None
        shutil.copy2(spec.origin, new / "kernels")
        shutil.copy2(_native(commit, old, Path(spec.origin)), old / "kernels")
    return Version(old, _interpreter(old, place / "old-venv")), Version(
        ROOT, _interpreter(new, place / "new-venv")
    )


def _extract(commit: str, target: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(target, filter="data")


def _sources(root: Path, *endings: str) -> Iterator[Path]:
    # fastinv/kernels is a link to kernels, which rglob does not follow.
    return (path for name in SOURCES for path in (root / name).rglob("*") if path.name.endswith(endings))


def _names(root: Path, *endings: str) -> set[Path]:
    return {path.relative_to(root) for path in _sources(root, *endings)}


def _equal(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and one.read_bytes() == other.read_bytes()


def _native(commit: str, old: Path, ours: Path) -> Path:
    """The older version's extension module: this checkout's if the C++ is the same, else compiled once."""
    if _names(old, *COMPILED) == _names(ROOT, *COMPILED) and all(
        _equal(path, ROOT / path.relative_to(old))
        for path in [*_sources(old, *COMPILED), old / "CMakeLists.txt"]
    ):
        return ours
    kept = KEPT / commit
    if not (found := sorted(kept.glob("_native*"))):
        print(f"compiling the C++ of {commit[:12]}, once ...", file=sys.stderr)
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "wheel",
            "--quiet",
            "--no-deps",
        ]
        done = subprocess.run(
            [*command, "--wheel-dir", str(old / "wheel"), str(old)], capture_output=True, text=True
        )
        wheels = sorted((old / "wheel").glob("*.whl"))
        if done.returncode or not wheels:
            raise VersionError(f"the C++ of {commit[:12]} does not compile:\n{done.stderr}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            members = [m for m in wheel.namelist() if Path(m).name.startswith("_native")]
            if not members:
                raise VersionError(f"the wheel of {commit[:12]} was built without its C++ extension")
            kept.mkdir(parents=True, exist_ok=True)
            for member in members:
                (kept / Path(member).name).write_bytes(wheel.read(member))
        found = sorted(kept.glob("_native*"))
    return found[0]


def _interpreter(code: Path, environment: Path) -> Path:
    """Python of a new environment that imports fastinv from a folder and all else from this environment."""
    venv.create(environment, symlinks=os.name != "nt")
    home = Path(sysconfig.get_path("purelib", vars={"base": str(environment)}))
    # Files of this kind in the folders named here are not read: the editable install stays out.
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (home / "versions.pth").write_text("\n".join([str(code), *packages]) + "\n")
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
