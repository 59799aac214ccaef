"""The Triton back end in Triton's interpreter, which has to be switched on before Triton is imported."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

SCRIPT = """
import itertools
import torch
from fastinv.kernels import Gaussian, InverseMultiquadric, mmd2, mmd2_terms, witness

torch.set_num_threads(1)
KERNELS = ["paper", "median", Gaussian(0.5, 0.8, 1.0, 2.0), InverseMultiquadric((1.0, 0.3), (2.0, 5.0))]
TOLERANCE = {torch.float32: (1e-6, 2e-5), torch.float64: (1e-13, 1e-11)}
SHAPES = [(2, 2, 1, 1), (1, 17, 33, 4), (1, 5, 18, 18)]
for dtype, (batch, n, m, d) in itertools.product(TOLERANCE, SHAPES):
    sums, gradients = TOLERANCE[dtype]
    generator = torch.Generator().manual_seed(0)
    x = (torch.randn(batch, n, d, generator=generator, dtype=torch.float64) + 1000.0).to(dtype)
    y = (torch.randn(batch, m, d, generator=generator, dtype=torch.float64) + 1000.0).to(dtype)
    x, y = x.requires_grad_(), y.requires_grad_()
    # Kernels differ in what they compute of distances, not in how they read points.
    for kernel in KERNELS if d == 4 and dtype == torch.float64 else KERNELS[:1]:
        got, want = (mmd2_terms(x, y, kernel=kernel, backend=b) for b in ("triton", "reference"))
        for part in ("xx", "yy", "xy"):
            error = (getattr(got, part) - getattr(want, part)).abs().max().item() / want.k0
            assert error <= sums, (n, m, d, kernel, part, error)
        k0 = want.k0
        got, want = (
            torch.autograd.grad(mmd2(x, y, kernel=kernel, backend=b).sum(), (x, y))
            for b in ("triton", "reference")
        )
        for g, w in zip(got, want):
            assert (g - w).abs().max() <= gradients * w.abs().max(), (n, m, d, kernel)
        # 150 columns take more than one split.
        points = torch.cat([x, y], 1).detach()[:, :19]
        far = torch.randn(batch, 150, d, generator=generator, dtype=torch.float64).to(dtype) + 1000.0
        got, want = (witness(x, far, points, kernel=kernel, backend=b) for b in ("triton", "reference"))
        assert got.shape == want.shape and (got - want).abs().max() <= 2.0 * sums * k0, (n, m, d, kernel)
print("agrees")
"""


@pytest.mark.usefixtures("triton_interpreter")
def test_triton_agrees_with_reference_in_the_interpreter() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=280
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "agrees"


@pytest.mark.parametrize("name", ["sums", "row_sums", "pulls"])
def test_triton_programs_compile_for_an_h100(name: str) -> None:
    """No GPU is needed to compile: what the interpreter lets pass but the compiler refuses is caught here."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from fastinv.kernels.mmd import triton_kernels

    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("interpreted functions cannot be compiled")
    program = getattr(triton_kernels, name)
    constants = {
        "D": 4,
        "UNROLL": True,
        "GAUSSIAN": False,
        "HEADS": (1.0, 0.7, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0),
        "TAILS": (-1, 0.0, 0.0, 0, 0.8, 0.1),
        "FAST": True,
        "ROWS": 64,
        "COLUMNS": 64,
        **{"sums": {"SAME": True, "TILES": 32}, "row_sums": {"TILES": 32}, "pulls": {"PADDED": 4}}[name],
    }
    pointers = {"a": "*fp32", "b": "*fp32", "scale": "*fp64", "partial": "*fp64", "gradient": "*fp32"}
    signature = {
        argument: "constexpr" if argument in constants else pointers.get(argument, "i32")
        for argument in program.arg_names
    }
    if name == "pulls":
        signature["weight"] = "fp32"
    source = ASTSource(
        fn=program,
        signature=signature,
        constexprs={(program.arg_names.index(key),): value for key, value in constants.items()},
    )
    options = {"num_warps": 4, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert "lg2.approx" in compiled.asm["ptx"]


def test_the_fastest_launch_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    import triton

    from fastinv.kernels.mmd import triton_gpu

    milliseconds = iter([3.0, 1.0, 2.0, 4.0])
    capturing = iter([True, False])
    monkeypatch.setattr(triton.testing, "do_bench", lambda call, warm, repeat: next(milliseconds))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: next(capturing))
    monkeypatch.setattr(triton_gpu, "INTERPRETED", False)
    monkeypatch.setattr(triton_gpu, "_tried", {})
    ways, key = triton_gpu.SUM_LAUNCHES, ("sums", 4)
    chosen = [triton_gpu._tuned(key, ways, lambda launch: None) for _ in range(3)]
    assert chosen == [ways[0], ways[1], ways[1]]
    times = ((1, 1.0), (2, 2.0), (0, 3.0), (3, 4.0))
    assert triton_gpu.tried_launches("sums") == [[(ways[i], ms) for i, ms in times]]
    assert triton_gpu.tried_launches("pulls") == []
    triton_gpu.forget_launches()
    assert triton_gpu._tuned(key, ways[2:3], lambda launch: None) == ways[2]
