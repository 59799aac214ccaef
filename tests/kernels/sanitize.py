"""Builds the extension with AddressSanitizer and UBSan and throws odd arrays at every CPU back end.

    python tests/kernels/sanitize.py [--examples 10000] [--only avx2] [--room coupling] [--compiler g++]

Each instruction set of this CPU runs the same cases under the sanitizers; Numba, whose code no sanitizer
sees, runs them with its own bounds checks switched on. `make sanitize` calls this. Needs GCC on Linux; builds
and caches go to build/sanitize and are kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "sanitize"
TESTS = [ROOT / "tests" / "kernels" / f"test_{room}_hostile.py" for room in ("mmd", "coupling", "rejection")]

# Puts the sanitized extension in place of the installed one before anything imports it.
LOADER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("fastinv.kernels._native", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["fastinv.kernels._native"] = module
spec.loader.exec_module(module)
"""
PYTEST = """
import sys, pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "--timeout", "7200", *sys.argv[2:]]))
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


def sanitizers(compiler: str) -> dict[str, str]:
    """Environment of a process that loads the sanitized extension."""
    return {
        **os.environ,
        # Python and NumPy keep memory until exit by design; what counts here is access out of bounds.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "LD_PRELOAD": " ".join(library(compiler, name) for name in ("libasan.so", "libubsan.so")),
    }


def usable_sets(extension: Path, environment: dict[str, str]) -> list[str]:
    """All instruction sets of the build that this CPU has."""

    def ask(expression: str, isa: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", f"{LOADER}print({expression})", str(extension)]
        return subprocess.run(
            command, env={**environment, "FASTINV_ISA": isa}, cwd=ROOT, capture_output=True, text=True
        )

    built = ask("','.join(module.built_isas())").stdout.strip().split(",")
    return [isa for isa in built if ask("module.active_isa()", isa).stdout.strip() == isa]


def throw(part: str, extension: Path, environment: dict[str, str], tests: Sequence[Path]) -> int:
    """Runs the odd arrays against one instruction set, or against Numba; the exit status."""
    if part == "numba":
        environment = {
            **os.environ,
            "FASTINV_FUZZ_EXAMPLES": environment["FASTINV_FUZZ_EXAMPLES"],
            "NUMBA_BOUNDSCHECK": "1",
            "NUMBA_CACHE_DIR": str(BUILD / "numba"),
        }
        command = [sys.executable, "-c", PYTEST, "", *map(str, tests), "-k", "numba"]
    else:
        environment = {**environment, "FASTINV_ISA": part}
        command = [sys.executable, "-c", LOADER + PYTEST, str(extension), *map(str, tests), "-k", "native"]
    start = time.perf_counter()
    status = subprocess.run(command, env=environment, cwd=ROOT).returncode
    print(f"{part}: {'ok' if status == 0 else 'FAILED'} in {time.perf_counter() - start:.0f} s", flush=True)
    return status


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, default=10_000, help="odd calls for each of the parts")
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--only", action="append", help="an instruction set or numba; all if left out")
    parser.add_argument(
        "--room", action="append", choices=("mmd", "coupling", "rejection"), help="all if left out"
    )
    arguments = parser.parse_args()
    extension = build(arguments.compiler)
    environment = sanitizers(arguments.compiler)
    environment["FASTINV_FUZZ_EXAMPLES"] = str(arguments.examples)
    # Flows are inverted in C++ only.
    usable = usable_sets(extension, environment)
    if arguments.room != ["coupling"]:
        usable.append("numba")
    parts = arguments.only or usable
    if unknown := set(parts) - set(usable):
        parser.error(f"--only {', '.join(sorted(unknown))}: accepted here: {', '.join(usable)}")
    print(f"{arguments.examples} odd calls each: {', '.join(parts)}", flush=True)
    chosen = [path for path in TESTS if not arguments.room or path.stem.split("_")[1] in arguments.room]
    return max(throw(part, extension, environment, chosen) for part in parts)


if __name__ == "__main__":
    sys.exit(main())
