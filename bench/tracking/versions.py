"""Versions of the library to measure: this checkout's and those of commits, each with its own interpreter.

A version is laid out once, in a folder that is named by a digest of its sources and kept. So what a process
measures is certain: neither the editable install nor Numba's caches, which do not see a change in a function
that was inlined from another file, can bring other code in.
"""

from __future__ import annotations

import compileall
import hashlib
import io
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "versions"
KEEP = 6
# What decides about the speed of the library; the rest of a checkout does not.
SOURCES = ("fastinv", "kernels", "CMakeLists.txt")
COMPILED = (".cpp", ".hpp", "CMakeLists.txt")
SAY = """
import fastinv, pathlib
from fastinv.kernels import available_backends
print(pathlib.Path(fastinv.__file__).resolve().parent.parent, available_backends()["native"].available)
"""

Files = Mapping[str, bytes]


class VersionError(Exception):
    """A version cannot be measured here; the message says why and what helps."""


@dataclass(frozen=True)
class Version:
    """Code to measure.

    Attributes:
        python: imports this version of fastinv.
        commit: that it is the code of; None for this checkout's files as they are.
    """

    python: Path
    commit: str | None = None


def committed() -> str:
    """The commit that this checkout is at.

    Raises:
        VersionError: files that decide about speed differ from it.
    """
    if changed := _git("status", "--porcelain", "--", *SOURCES).decode().splitlines():
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


def same_code(commit: str) -> bool:
    """Whether this checkout's sources are those of a commit."""
    return _of_commit(commit) == _of_checkout()


def of_checkout() -> Version:
    """This checkout's code, as it is.

    Raises:
        VersionError: the installed extension is older than its sources.
    """
    return _laid_out(_of_checkout(), None)


def of_commit(commit: str) -> Version:
    """A commit's code; its C++ is compiled if it differs from this checkout's.

    Raises:
        VersionError: git does not know the commit, or its C++ does not compile.
    """
    return _laid_out(_of_commit(commit), commit)


def without_extension(commit: str, folder: Path) -> Version:
    """A commit's Python code in a new folder, to see what it can import; nothing is compiled.

    Raises:
        VersionError: git does not know the commit.
    """
    _write(_of_commit(commit), folder / "code")
    return Version(_make_interpreter(folder / "venv", _packages()), commit)


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise VersionError("git is needed to compare with a baseline, and is not installed") from None
    except subprocess.CalledProcessError as error:
        raise VersionError(error.stderr.decode().strip()) from None


def _of_checkout() -> Files:
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SOURCES)
    paths = (ROOT / name for name in listed.decode().split("\0") if name)
    # fastinv/kernels is a link to kernels.
    return {
        p.relative_to(ROOT).as_posix(): p.read_bytes() for p in paths if p.is_file() and not p.is_symlink()
    }


def _of_commit(commit: str) -> Files:
    files = {}
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, *SOURCES))) as archive:
        for member in archive:
            if member.isfile() and (content := archive.extractfile(member)) is not None:
                files[member.name] = content.read()
    return files


def _laid_out(files: Files, commit: str | None) -> Version:
    installed = find_spec("fastinv.kernels._native")
    native = Path(installed.origin) if installed is not None and installed.origin else None
    packages = _packages()
    parts = [sys.version, *packages, str(native is not None), *(f"{n}\0{files[n]!r}" for n in sorted(files))]
    folder = KEPT / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    if not folder.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=KEPT, prefix="unfinished-") as unfinished:
            place = Path(unfinished) / "version"
            _write(files, place / "code")
            if native is not None:
                extension = _extension(files, commit, native, Path(unfinished))
                shutil.copy2(extension, place / "code/fastinv/kernels")
            _make_interpreter(place / "venv", packages)
            place.rename(folder)
    # Not left to the first import: where that may not write bytecode, all would start more slowly.
    compileall.compile_dir(folder / "code", quiet=2)
    version = Version(_interpreter(folder / "venv"), commit)
    done = subprocess.run([version.python, "-P", "-c", SAY], env=clean(), capture_output=True, text=True)
    if done.stdout.rstrip() != f"{(folder / 'code').resolve()} {native is not None}":
        raise VersionError(f"{folder} does not import its own code: {done.stdout}{done.stderr}; remove it")
    os.utime(folder)
    for old in sorted(KEPT.iterdir(), key=lambda path: path.stat().st_mtime)[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return version


def clean() -> dict[str, str]:
    """The environment without what could bring other code in; nor does the folder that a process runs in."""
    # Of pytest's own, also what says that a worker of xdist is at work, which turns benchmarks off.
    kept = {
        k: v
        for k, v in os.environ.items()
        if k not in ("PYTHONPATH", "NUMBA_CACHE_DIR") and not k.startswith("PYTEST_")
    }
    return kept | {"PYTHONSAFEPATH": "1"}


def _write(files: Files, code: Path) -> None:
    for name, content in files.items():
        if name.startswith("kernels/"):
            name = f"fastinv/{name}"
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_bytes(content)


def _extension(files: Files, commit: str | None, installed: Path, folder: Path) -> Path:
    """The extension module of these sources: the installed one, or else compiled in a folder."""
    ours = _of_checkout()
    compiled = [name for name in {*files, *ours} if name.endswith(COMPILED)]
    if all(files.get(name) == ours.get(name) for name in compiled):
        if late := [n for n in compiled if (ROOT / n).stat().st_mtime > installed.stat().st_mtime]:
            raise VersionError(
                f"the installed extension is older than {late[0]}: `make build` builds it anew"
            )
        return installed
    assert commit is not None
    print(f"compiling the C++ of {commit[:12]}, once ...", file=sys.stderr)
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit))) as archive:
        archive.extractall(folder / "source", filter="data")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(folder), str(folder / "source")], capture_output=True, text=True
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        raise VersionError(f"no wheel of {commit[:12]} could be built:\n{done.stderr}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        members = [m for m in wheel.namelist() if Path(m).name.startswith("_native")]
        if not members:
            raise VersionError(f"the wheel of {commit[:12]} was built without its C++ extension")
        return Path(wheel.extract(members[0], folder))


def _packages() -> list[str]:
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]


def _interpreter(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _make_interpreter(environment: Path, packages: list[str]) -> Path:
    """Of a new environment that imports fastinv from the code beside it, and all else from `packages`."""
    venv.create(environment, symlinks=os.name != "nt")
    home = Path(sysconfig.get_path("purelib", scheme="venv", vars={"base": str(environment)}))
    # Relative, since the folder may be renamed. Files of this kind in the folders named here are not read, so
    # that the editable install stays out.
    code = os.path.relpath(environment.parent / "code", home)
    (home / "version.pth").write_text("\n".join([code, *packages]) + "\n")
    return _interpreter(environment)
