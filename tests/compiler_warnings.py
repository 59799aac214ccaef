"""Compiles the C++ extension with -Wall -Wextra -Wpedantic as errors, by every compiler that is there.

    python tests/compiler_warnings.py [--compiler g++ --compiler clang++]

`make warnings` calls this. An ordinary install shows warnings and goes on: it must not fail because a newer
compiler warns of more. Builds go to build/warnings.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def compile_with(compiler: str) -> int:
    """Configure and build anew; the exit status."""
    build = ROOT / "build" / "warnings" / Path(compiler).name
    shutil.rmtree(build, ignore_errors=True)
    configure = [
        "cmake", "-S", str(ROOT), "-B", str(build), "-DSKBUILD=2", "-DFASTINV_WARNINGS=ON",
        f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_CXX_COMPILER={compiler}",
        "-DCMAKE_BUILD_TYPE=Release",
    ]  # fmt: skip
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    # All sources, also after the first that warns.
    command = ["cmake", "--build", str(build), "--parallel", str(os.cpu_count() or 1)]
    keep_going = ["--", *(["-k", "0"] if (build / "build.ninja").exists() else ["-k"])]
    return subprocess.run([*command, *keep_going]).returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--compiler", action="append", help="g++ and clang++, where they are, if left out")
    chosen = parser.parse_args().compiler or [c for c in ("g++", "clang++") if shutil.which(c)]
    if not chosen or shutil.which("cmake") is None:
        parser.error("needs cmake and g++ or clang++")
    failed = [compiler for compiler in chosen if compile_with(compiler)]
    for compiler in chosen:
        print(f"{compiler}: {'WARNINGS' if compiler in failed else 'no warnings'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
