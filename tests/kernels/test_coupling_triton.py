"""Coupling flows in Triton's interpreter, which has to be switched on before Triton is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

triton = pytest.importorskip("triton")

PREAMBLE = """
import numpy as np
import torch
from fastinv.kernels.coupling.block import Block
from fastinv.kernels.coupling.triton_gpu import CouplingInverse
from fastinv.models.layers.coupling import Affine, CouplingFlow
from fastinv.models.layers.fused import FusedFlow, fused

torch.set_num_threads(1)
torch.set_grad_enabled(False)

def flow(dim=4, dim_c=2, width=40, layers=2, activation="silu", blocks=2):
    torch.manual_seed(dim + dim_c)
    made = CouplingFlow(
        dim, dim_c, blocks=blocks, width=width, layers=layers, transform=Affine(2.0), activation=activation,
        learned_mixing=False,
    )
    for p in made.parameters():
        p.add_(0.1 * torch.randn(p.shape))
    return made.eval()

def served(made, bf16=False):
    return FusedFlow(made, bf16=bf16, backend="triton")

def refusal(call, *arguments, **how):
    try:
        call(*arguments, **how)
    except ValueError as error:
        return str(error)
    return "accepted"
"""

AGREES = """
FLOWS = [
    ({}, [0, 1, 63, 200]),
    ({"dim": 2, "dim_c": 0, "width": 4}, [0, 1, 63, 129]),
    ({"dim": 3, "dim_c": 1, "width": 17, "activation": "relu"}, [1, 63]),
    ({"layers": 1, "width": 65, "dim_c": 0}, [1, 63]),
    ({"dim": 5, "width": 79.5, "layers": 4}, [1, 63]),
    ({"dim": 17, "dim_c": 20, "width": 33, "layers": 3}, [63]),
    ({"width": 300, "blocks": 1}, [63]),
]
for sizes, many in FLOWS:
    made, dim, dim_c = flow(**sizes), sizes.get("dim", 4), sizes.get("dim_c", 2)
    exact, rough = served(made), served(made, bf16=True)
    wide = made.double()
    for rows in many:
        z, c = torch.randn(rows, dim), torch.randn(rows, dim_c)
        wanted = wide.inverse(z.double(), c.double())
        found = exact.inverse(z, c)
        assert found.shape == (rows, dim) and found.dtype == torch.float32
        close = torch.allclose(found.double(), wanted, rtol=1e-4, atol=1e-4)
        assert close, (sizes, rows, (found - wanted).abs().max())
        if rows > 60:
            error = float(((rough.inverse(z, c) - wanted).abs() / (1.0 + wanted.abs())).mean())
            assert 1e-6 < error < 0.01, (sizes, rows, error, "near, but really in lower precision")
"""

ODD = """
for activation in ("silu", "relu"):
    made = flow(activation=activation)
    z, c = torch.randn(9, 4), torch.randn(9, 2)
    z[4, 0] = torch.nan
    found = served(made).inverse(z, c)
    assert found[4].isnan().any() and found[[0, 1, 2, 3, 5, 6, 7, 8]].isfinite().all()
    far = 1e4 * torch.randn(20, 4), 1e4 * torch.randn(20, 2)
    torch.testing.assert_close(served(made).inverse(*far), made.inverse(*far), rtol=1e-3, atol=1e-2)
z, c = torch.randn(12, 4)[::2], torch.randn(2, 6).T
torch.testing.assert_close(served(made).inverse(z, c), made.inverse(z, c), rtol=1e-4, atol=1e-4)

how = dict(dim=4, dim_c=0, clamp=1.0, activation="silu", bf16=False, device="cpu")
def array(*shape):
    return np.zeros(shape, np.float32)
nets = [(array(8, 2), array(8)), (array(4, 8), array(4))]
fine = CouplingInverse([Block(nets, nets, np.eye(4, dtype=np.float32))], **how)
z = torch.randn(3, 4)
assert torch.equal(fine(z, torch.zeros(3, 0)), z)
assert torch.equal(CouplingInverse([], **how)(z, torch.zeros(3, 0)), z), "no blocks change nothing"
for z, c, words in [
    (torch.zeros(3, 5), torch.zeros(3, 0), "z must have shape (3, 4)"),
    (torch.zeros(3, 4), torch.zeros(2, 0), "c must have shape (3, 0)"),
    (torch.zeros(3, 4).double(), torch.zeros(3, 0), "z must be float32"),
]:
    assert words in refusal(fine, z, c), words
deeper = [nets[0], (array(8, 8), array(8)), nets[1]]
for blocks, words in [
    ([Block([nets[0], (array(4, 9), array(4))], nets, array(4, 4))], "layers must fit"),
    ([Block([nets[0], (array(3, 8), array(3))], nets, array(4, 4))], "a scale and a shift"),
    ([Block(nets[1:], nets, array(4, 4))], "at least two layers"),
    ([Block(nets, nets, array(3, 3))], "mixing must have shape"),
    ([Block(nets, deeper, array(4, 4))], "the same number of layers"),
]:
    assert words in refusal(CouplingInverse, blocks, **how), words
for other, words in [
    (dict(dim=1), "at least 2 coordinates"),
    (dict(activation="tanh"), "'silu' or 'relu'"),
    (dict(dim=64, dim_c=65), "at most 128 coordinates"),
]:
    assert words in refusal(CouplingInverse, [], **{**how, **other}), words
assert "at most 1024 features" in refusal(served, flow(width=1030, blocks=1))
assert "not GELU" in refusal(served, flow(activation="gelu"))
assert fused(torch.nn.Linear(2, 2), backend="triton") is None
"""


@pytest.mark.usefixtures("triton_interpreter")
def test_agrees_with_the_definition_and_refuses_what_it_cannot() -> None:
    """One process: the interpreter's start takes longer than all that it does."""
    run = subprocess.run(
        [sys.executable, "-c", f"{PREAMBLE}{AGREES}{ODD}print('agrees')"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "agrees"


@pytest.mark.parametrize(
    ("inner", "changes"),
    [("fp32", {"HIDDEN": 3, "PRECISION": "ieee", "CHUNK": 16}), ("fp32", {}), ("bf16", {"ROWS": 64})],
)
def test_program_compiles_for_an_h100(inner: str, changes: dict[str, Any]) -> None:
    """No GPU is needed to compile: what the interpreter lets pass but the compiler refuses is caught here."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from fastinv.kernels.coupling import triton_kernels

    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("interpreted functions cannot be compiled")
    program = triton_kernels.invert
    constants = {
        "DIM": 4, "DIM_C": 2, "OWN": 2, "IN": 16, "WIDE": 128, "HIDDEN": 2, "SILU": True, "UPCAST": False,
        "ROWS": 16, "CHUNK": 32, "PRECISION": "tf32x3", **changes,
    }  # fmt: skip
    kinds = {
        **dict.fromkeys(("z", "c", "x", "scratch", "floats"), "*fp32"),
        "inner": f"*{inner}",
        "outer": "fp32",
    }
    signature = {
        name: "constexpr" if name in constants else kinds.get(name, "i32") for name in program.arg_names
    }
    source = ASTSource(
        fn=program,
        signature=signature,
        constexprs={(program.arg_names.index(key),): value for key, value in constants.items()},
    )
    options = {"num_warps": 4, "num_stages": 2, "enable_fp_fusion": True}
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    on_tensor_cores = ".mma" in compiled.asm["ptx"] or "mma." in compiled.asm["ptx"]
    assert on_tensor_cores == (constants["PRECISION"] == "tf32x3")
