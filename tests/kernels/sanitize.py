"""Builds the extension with AddressSanitizer and UBSan and throws odd arrays at every instruction set.

    python tests/kernels/sanitize.py [--examples 10000] [--compiler g++]

`make sanitize` calls this. Needs GCC on Linux; the build goes to build/sanitize and is kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "sanitize"

# Puts the sanitized extension in place of the installed one before anything imports it.
RUNNER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("fastinv.kernels._native", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["fastinv.kernels._native"] = module
spec.loader.exec_module(module)
import pytest
print("instruction set:", module.active_isa(), flush=True)
sys.exit(pytest.main(["-q", "--capture=no", "-p", "no:cacheprovider", "--timeout", "7200", *sys.argv[2:]]))
"""


def build(compiler: str) -> Path:
    """The path of the sanitized extension."""
    source, python = str(ROOT), f"-DPython_EXECUTABLE={sys.executable}"
    configure = ["cmake", "-S", source, "-B", str(BUILD), "-DSKBUILD=2", python, "-DFASTINV_SANITIZE=ON"]
    subprocess.run([*configure, f"-DCMAKE_CXX_COMPILER={compiler}", "-DCMAKE_BUILD_TYPE=None"], check=True)
    subprocess.run(["cmake", "--build", str(BUILD), "--parallel", str(os.cpu_count() or 1)], check=True)
    return next((BUILD / "kernels" / "native").glob("_native*.so"))


def library(compiler: str, name: str) -> str:
    """Where the compiler keeps a sanitizer's runtime, which Python itself was not linked with."""
    command = [compiler, f"-print-file-name={name}"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=10_000, help="odd calls for each back end and set")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument(
        "--isa", action="append", help="instruction sets to run; all that this CPU has if left out"
    )
    arguments = parser.parse_args()
    extension = build(arguments.compiler)
    environment = {
        **os.environ,
        "FASTINV_FUZZ_EXAMPLES": str(arguments.examples),
        # Python and NumPy keep memory until exit by design; what counts here is access out of bounds.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "LD_PRELOAD": " ".join(library(arguments.compiler, name) for name in ("libasan.so", "libubsan.so")),
    }
    command = [sys.executable, "-c", RUNNER, str(extension), str(ROOT / "tests/kernels/test_mmd_hostile.py")]
    for isa in arguments.isa or usable_sets(command[:4], environment):
        tests = command if isa is None else [*command, "-k", "native"]
        run = subprocess.run(tests, env={**environment, "FASTINV_ISA": isa or ""}, cwd=ROOT)
        if run.returncode != 0:
            return run.returncode
    return 0


def usable_sets(command: list[str], environment: dict[str, str]) -> list[str | None]:
    """All instruction sets of the build that this CPU has; None is its best one, and runs Numba too."""
    probe = command[2].split("import pytest")[0] + "print(','.join(module.built_isas()))"
    run = subprocess.run(
        [*command[:2], probe, command[3]],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    usable: list[str | None] = [None]
    for isa in run.stdout.strip().split(","):
        trial = command[2].split("import pytest")[0] + "print(module.active_isa())"
        forced = {**environment, "FASTINV_ISA": isa}
        found = subprocess.run(
            [*command[:2], trial, command[3]], env=forced, capture_output=True, text=True, cwd=ROOT
        )
        if found.returncode == 0:
            usable.append(isa)
    return usable


if __name__ == "__main__":
    sys.exit(main())
