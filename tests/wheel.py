"""Builds the source distribution and from it a wheel, and tries the wheel where nothing else is.

    python tests/wheel.py [--output dist] [--tests kernels problems] [--without-compiler]

`make dist` calls this. The wheel is installed with its dependencies into an empty environment in a temporary
folder; a copy of the tests runs there, so that nothing of the checkout can be imported by accident.

With --without-compiler the compiler fails, so that the wheel has no C++ extension, as on a machine without
one; the dependencies are those of this environment, which costs no download.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAY = (
    "import fastinv, pathlib; from fastinv.kernels import available_backends as b;"
    "print('installed:', fastinv.__version__, '·', pathlib.Path(fastinv.__file__).parent.name);"
    "print('back ends:', {k: v.detail for k, v in b().items() if v.available})"
)


def run(command: list[str], cwd: Path, **more: str) -> None:
    """Run a command without what this environment would add to the path of imports."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(command, cwd=cwd, env=environment | more, check=True)


def build(output: Path, **environment: str) -> Path:
    """Source distribution and wheel in `output`; the wheel's path."""
    shutil.rmtree(output, ignore_errors=True)
    # The wheel is built from the source distribution, which so proves to be complete.
    run([sys.executable, "-m", "build", "--outdir", str(output)], ROOT, **environment)
    (wheel,) = output.glob("*.whl")
    return wheel


def try_out(wheel: Path, rooms: list[str], *, borrow: bool = False) -> None:
    """Install the wheel into an empty environment elsewhere and run tests there.

    Args:
        wheel: what is tried.
        rooms: folders or files of tests.
        borrow: take the dependencies of this environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        venv.create(place / "venv", with_pip=True)
        python = str(place / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        tools = ["pytest", "pytest-timeout", "pytest-benchmark", "pytest-xdist", "hypothesis"]
        if borrow:
            run([*pip, "--no-deps", str(wheel)], place)
            home = sysconfig.get_path("purelib", vars={"base": str(place / "venv")})
            # Files of this kind in the folder named here are not read: the editable install stays out.
            Path(home, "borrowed.pth").write_text(sysconfig.get_path("purelib"))
        else:
            run([*pip, "-c", str(ROOT / "constraints.txt"), str(wheel), *tools], place)
        shutil.copytree(ROOT / "tests", place / "tests")
        shutil.copy(ROOT / "pyproject.toml", place)
        run([python, "-c", SAY], place)
        parallel = ["--numprocesses", "auto", "--dist", "loadfile"]
        run([python, "-m", "pytest", *parallel, *(f"tests/{room}" for room in rooms)], place)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--tests", nargs="+", default=["kernels", "problems"], metavar="ROOM")
    parser.add_argument("--without-compiler", action="store_true", help="as if this machine had none")
    arguments = parser.parse_args()
    plain = arguments.without_compiler
    wheel = build(arguments.output.resolve(), **({"CXX": shutil.which("false") or ""} if plain else {}))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version in wheel.name, f"{wheel.name} is not of version {version}"
    assert wheel.name.endswith("-py3-none-any.whl") == plain, f"{wheel.name}: is there an extension in it?"
    try_out(wheel, arguments.tests, borrow=plain)
    print(f"{wheel.name}: built, installed and tried")


if __name__ == "__main__":
    main()
