"""Inverses of coupling flows in C++ against PyTorch's, over sizes that do and do not fill vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastinv.kernels.coupling.block import Block
from fastinv.kernels.coupling.native_cpu import CouplingInverse, why_not
from fastinv.models.layers.coupling import Affine, CouplingFlow
from fastinv.models.layers.fused import FusedFlow, fused
from fastinv.models.layers.spline import AffineSpline

pytestmark = pytest.mark.skipif(why_not(bf16=False) is not None, reason=str(why_not(bf16=False)))
needs_bf16 = pytest.mark.skipif(why_not(bf16=True) is not None, reason=str(why_not(bf16=True)))


def flow(
    dim: int = 4, dim_c: int = 2, width: float = 40, layers: int = 2, activation: str = "silu"
) -> CouplingFlow:
    torch.manual_seed(dim + dim_c)
    made = CouplingFlow(
        dim, dim_c, blocks=3, width=width, layers=layers, transform=Affine(2.0), activation=activation,
        learned_mixing=False,
    )  # fmt: skip
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return made.eval()


SIZES = [
    {"dim": 2, "dim_c": 0, "width": 4},
    {"dim": 3, "dim_c": 1, "width": 17},
    {"dim": 4, "dim_c": 2, "width": 64, "layers": 1},
    {"dim": 5, "dim_c": 0, "width": 79.5, "layers": 4},
    {"dim": 17, "dim_c": 20, "width": 33},
    {"dim": 4, "dim_c": 2, "width": 300, "activation": "relu"},
]


@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 5, 6, 7, 200, 1000])
@pytest.mark.parametrize("sizes", SIZES)
def test_inverse_is_pytorchs(sizes: dict[str, int], rows: int) -> None:
    made = flow(**sizes)  # type: ignore[arg-type]
    z, c = torch.randn(rows, sizes["dim"]), torch.randn(rows, sizes["dim_c"])
    wanted = made.double().inverse(z.double(), c.double())
    found = FusedFlow(made.float(), bf16=False).inverse(z, c)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-4, atol=1e-4)


@needs_bf16
@torch.no_grad()
@pytest.mark.parametrize("sizes", SIZES)
def test_bf16_is_near(sizes: dict[str, int]) -> None:
    made = flow(**sizes)  # type: ignore[arg-type]
    z, c = torch.randn(100, sizes["dim"]), torch.randn(100, sizes["dim_c"])
    exact, found = made.inverse(z, c), FusedFlow(made, bf16=True).inverse(z, c)
    error = (found - exact).abs() / (1.0 + exact.abs())
    assert float(error.mean()) < 0.01
    if sizes.get("layers", 2) > 1:
        assert float(error.max()) > 1e-5, "it must really multiply in lower precision"


@torch.no_grad()
def test_activations_saturate_as_pytorchs() -> None:
    made = flow(width=16)
    z = 1e4 * torch.randn(50, 4)
    c = 1e4 * torch.randn(50, 2)
    wanted, found = made.inverse(z, c), FusedFlow(made, bf16=False).inverse(z, c)
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_nan_stays_nan_in_its_row(activation: str) -> None:
    made = flow(activation=activation)
    z, c = torch.randn(9, 4), torch.randn(9, 2)
    z[4, 0] = torch.nan
    found = FusedFlow(made, bf16=False).inverse(z, c)
    assert bool(found[4].isnan().any())
    assert bool(torch.isfinite(found[[0, 1, 2, 3, 5, 6, 7, 8]]).all())


@torch.no_grad()
def test_threads_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    made = FusedFlow(flow(), bf16=False)
    z, c = torch.randn(777, 4), torch.randn(777, 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    alone = made.inverse(z, c)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert torch.equal(made.inverse(z, c), alone)


def test_what_is_not_served_is_said() -> None:
    with pytest.raises(ValueError, match="not GELU"):
        FusedFlow(flow(activation="gelu"), bf16=False)
    spline = CouplingFlow(
        4, 0, blocks=1, width=8, layers=1, transform=AffineSpline(Affine(2.0), 4, 3.0), activation="silu",
        learned_mixing=False,
    )  # fmt: skip
    with pytest.raises(ValueError, match="only affine"):
        FusedFlow(spline, bf16=False)
    assert fused(torch.nn.Linear(2, 2)) is None


def test_sizes_that_do_not_fit_are_refused() -> None:
    def array(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.zeros(shape, np.float32)

    nets = [(array(8, 2), array(8)), (array(4, 8), array(4))]
    how = {"dim": 4, "dim_c": 0, "clamp": 1.0, "activation": "silu", "bf16": False}
    served = CouplingInverse([Block(nets, nets, array(4, 4))], **how)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="z has the wrong number of columns"):
        served(array(3, 5), array(3, 0), threads=1)
    with pytest.raises(ValueError, match="c must have shape"):
        served(array(3, 4), array(2, 0), threads=1)
    with pytest.raises(ValueError, match="layers must fit"):
        CouplingInverse([Block([nets[0], (array(4, 9), array(4))], nets, array(4, 4))], **how)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must take the other half"):
        CouplingInverse([Block(nets, nets, array(4, 4))], **{**how, "dim_c": 1})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mixing must have shape"):
        CouplingInverse([Block(nets, nets, array(3, 3))], **how)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'silu' or 'relu'"):
        CouplingInverse([], **{**how, "activation": "tanh"})  # type: ignore[arg-type]
