"""The C++ for ARM, cross-compiled and run by an emulator, against the float64 reference.

Needs a cross compiler and QEMU's user emulation: on Debian and Ubuntu `apt install g++-aarch64-linux-gnu
qemu-user`. On ARM itself test_mmd_native.py covers the same code.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastinv.kernels import Gaussian, InverseMultiquadric
from fastinv.kernels.mmd import reference
from fastinv.kernels.mmd.kernel_functions import KernelSpec, resolve
from fastinv.kernels.mmd.pack import spread_limit
from fastinv.kernels.mmd.plan import plan

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", shutil.which("qemu-aarch64-static") or "qemu-aarch64"
MISSING = [tool for tool in (COMPILER, EMULATOR) if shutil.which(tool) is None]
if not KERNELS.is_dir():
    MISSING.append("the C++ sources (these tests run in a checkout)")
WEIGHTS = (0.9, 0.8, -2.0)

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not here: {', '.join(MISSING)}")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver of emulated.cpp, compiled for NEON with the flags that the extension is built with."""
    folder = tmp_path_factory.mktemp("neon")
    (folder / "isa_list.hpp").write_text("#define FASTINV_FOR_EACH_ISA(X) X(neon)\n")
    sources = [p for p in (KERNELS / "mmd" / "native").glob("*.cpp") if p.name != "bindings.cpp"]
    sources += [KERNELS / "native" / "dispatch.cpp", KERNELS / "native" / "parallel.cpp"]
    flags = [
        "-std=c++17",
        "-O2",
        "-ffp-contract=fast",
        "-fno-math-errno",
        "-fno-trapping-math",
        "-DFASTINV_ISA=neon",
    ]
    warnings = ["-Wall", "-Wextra", "-Werror", "-Wno-psabi"]
    paths = [f"-I{KERNELS}", f"-I{folder}", *map(str, sources), str(Path(__file__).with_name("emulated.cpp"))]
    target = folder / "emulated"
    subprocess.run(
        [COMPILER, *flags, *warnings, *paths, "-static", "-pthread", "-o", str(target)], check=True
    )
    return target


@dataclass(frozen=True)
class Case:
    """Two samples under a kernel; gradients, or else row sums, are wanted too."""

    x: Any
    y: Any
    spec: KernelSpec
    gradients: bool

    def request(self) -> bytes:
        """What emulated.cpp reads."""
        chosen, scale = plan(self.spec), np.full(len(self.x), self.spec.scale)
        (problems, n, d), m = self.x.shape, self.y.shape[1]
        wants = 1 if self.gradients else 2
        header = [self.x.itemsize == 8, chosen.family == "gaussian", problems, n, m, d, *chosen.heads.shape]
        numbers = [chosen.heads, chosen.tails, scale, [spread_limit(self.spec, scale, self.x)], WEIGHTS]
        parts = [np.array([*header, len(chosen.tails), wants], np.int64)]
        parts += [np.ascontiguousarray(a, np.float64) for a in numbers]
        return b"".join(a.tobytes() for a in [*parts, self.x, self.y])

    def check(self, answer: io.BytesIO) -> None:
        """Compares what emulated.cpp wrote with the reference."""

        def take(shape: tuple[int, ...], dtype: Any) -> Any:
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            return np.frombuffer(answer.read(size), dtype).reshape(shape)

        problems, n, _ = self.x.shape
        double = self.x.itemsize == 8
        scale = np.full(problems, self.spec.scale)
        assert take((1,), np.int64)[0] == 0
        means, gx, gy = reference.means_and_gradients(
            self.x.astype(float), self.y.astype(float), self.spec, scale, WEIGHTS, (True, True)
        )
        limit = (1e-13 if double else 1e-6) * self.spec.at_zero
        np.testing.assert_allclose(take((problems, 3), np.float64), means, rtol=0, atol=limit)
        if self.gradients:
            for want in (gx, gy):
                atol = (1e-11 if double else 2e-5) * np.abs(want).max()
                np.testing.assert_allclose(take(want.shape, self.x.dtype), want, rtol=0, atol=atol)
        else:
            rows = take((problems, n), np.float64) / self.y.shape[1]
            want = reference.row_means(self.x, self.y, self.spec, scale)
            np.testing.assert_allclose(rows, want, rtol=0, atol=limit)


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    chosen = ["paper", "hint", "multiscale", Gaussian(0.7), Gaussian(0.5, 1.0, 2.0), Gaussian(0.3, 1.0)]
    for dtype in (np.float32, np.float64):
        for n, m, d in [(1, 2, 1), (67, 34, 4), (33, 130, 7), (19, 18, 19), (300, 211, 2)]:
            for kernel in [*chosen, InverseMultiquadric((1.0, 0.3))]:
                for shift in (0.0, 1000.0):
                    x, y = ((rng.normal(size=(2, k, d)) + shift).astype(dtype) for k in (n, m))
                    yield Case(x, y, resolve(kernel).spec(), gradients=bool(n % 2))


def test_neon_agrees_with_reference_in_an_emulator(program: Path) -> None:
    everything = list(cases())
    run = subprocess.run(
        [EMULATOR, str(program)],
        input=b"".join(c.request() for c in everything),
        capture_output=True,
        timeout=250,
    )
    assert run.returncode == 0, run.stderr.decode()
    assert run.stderr.decode().strip() == "neon"
    answer = io.BytesIO(run.stdout)
    for case in everything:
        case.check(answer)
    assert answer.read() == b""


def test_the_samplers_compile_for_neon(program: Path, tmp_path: Path) -> None:
    for source in (KERNELS / "rejection" / "native").glob("*.cpp"):
        if source.name != "bindings.cpp":
            flags = [
                "-std=c++17",
                "-fsyntax-only",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-psabi",
                "-DFASTINV_ISA=neon",
            ]
            paths = [f"-I{KERNELS}", f"-I{program.parent}", str(source)]
            subprocess.run([COMPILER, *flags, *paths], check=True)
