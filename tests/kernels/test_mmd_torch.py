"""MMD for torch: operators, gradients, compilation, memory."""

from __future__ import annotations

import gc
import itertools

import numpy as np
import pytest
import torch

from fastinv.kernels import Gaussian, InverseMultiquadric, available_backends, mmd2, mmd2_terms, self_term
from fastinv.kernels.mmd import torch_op
from fastinv.kernels.mmd.engines import CPU_BACKENDS
from fastinv.kernels.mmd.kernel_functions import named_kernel

BACKENDS = [name for name in CPU_BACKENDS if available_backends()[name].available]
KERNELS = ["paper", "hint", "median", Gaussian(0.7), Gaussian(0.5, 1.0, 2.0), InverseMultiquadric((1.0, 0.3))]
# Largest error of a gradient relative to its largest entry.
GRADIENT_TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-11}


def tensors(
    batch: int, n: int, m: int, d: int, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(batch + 10 * n + 100 * m + d)
    x = torch.randn(batch, n, d, generator=generator, dtype=dtype)
    y = 0.8 * torch.randn(batch, m, d, generator=generator, dtype=dtype) + 0.2
    return x.requires_grad_(), y.requires_grad_()


def dense(x: torch.Tensor, y: torch.Tensor, kernel: str | Gaussian | InverseMultiquadric) -> torch.Tensor:
    """Biased MMD^2 the way that torch users write it."""
    k = named_kernel(kernel) if isinstance(kernel, str) else kernel

    def values(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        s = (a[:, :, None, :] - b[:, None, :, :]).square().sum(-1)
        if isinstance(k, Gaussian):
            return sum((torch.exp(-s / (2 * h * h)) for h in k.bandwidths), torch.zeros(())).mean((1, 2))
        return sum((c**a * ((c + s) / a) ** -a for c, a in k.terms), torch.zeros(())).mean((1, 2))

    return values(x, x) + values(y, y) - 2 * values(x, y)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kernel", ["paper", "hint", "multiscale", Gaussian(0.5, 1.0, 2.0)], ids=str)
def test_value_and_gradients_are_those_of_dense_autograd(kernel: str, backend: str) -> None:
    for n, m, d in [(20, 33, 3), (1, 17, 1), (5, 1, 4)]:
        x, y = tensors(2, n, m, d)
        weights = torch.tensor([1.0, -0.5], dtype=torch.float64)
        want = dense(x, y, kernel)
        expected = torch.autograd.grad((want * weights).sum(), (x, y))
        got = mmd2(x, y, kernel=kernel, backend=backend)
        gradients = torch.autograd.grad((got * weights).sum(), (x, y))
        torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-13)
        for g, e in zip(gradients, expected, strict=True):
            torch.testing.assert_close(g, e, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_gradients_agree_with_reference(kernel: str, dtype: torch.dtype, backend: str) -> None:
    for (n, m), d in itertools.product([(63, 70), (129, 2)], [1, 4, 9, 33]):
        for shift in (0.0, 1000.0):
            x, y = (t.detach().add(shift).requires_grad_() for t in tensors(2, n, m, d, dtype))
            got = torch.autograd.grad(mmd2(x, y, kernel=kernel, backend=backend).sum(), (x, y))
            want = torch.autograd.grad(mmd2(x, y, kernel=kernel, backend="reference").sum(), (x, y))
            for g, w in zip(got, want, strict=True):
                assert (g - w).abs().max() <= GRADIENT_TOLERANCE[dtype] * w.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("unbiased", [False, True])
def test_gradcheck(unbiased: bool, backend: str) -> None:
    x, y = tensors(2, 6, 5, 3)
    for kernel in ("paper", Gaussian(0.6, 1.0)):

        def value(a: torch.Tensor, b: torch.Tensor, kernel: str | Gaussian = kernel) -> torch.Tensor:
            return mmd2(a, b, kernel=kernel, unbiased=unbiased, backend=backend)

        assert torch.autograd.gradcheck(value, (x, y))
        assert torch.autograd.gradcheck(lambda a: value(a, y.detach()), (x,))
        assert torch.autograd.gradcheck(lambda b: value(x.detach(), b), (y,))


def test_opcheck() -> None:
    x, y = tensors(2, 6, 5, 3)
    spec = named_kernel("paper").spec()
    scale = torch.full((2,), spec.scale, dtype=torch.float64)
    common = (x, y, scale, spec.family, spec.terms, [1.0, 0.5, -2.0], 0.25)
    torch.library.opcheck(torch_op.weighted_sum, (x.detach(), y.detach(), *common[2:], "auto"))
    torch.library.opcheck(torch_op.weighted_sum_with_gradients, (*common, [True, True], "auto"))
    torch.library.opcheck(torch_op.median_squared_distance, (x.detach(), y.detach(), "auto"))


@pytest.mark.parametrize("kernel", ["paper", "median"])
def test_compiles_as_one_graph(kernel: str) -> None:
    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return mmd2(2.0 * x, y.sin(), kernel=kernel).sum()

    x, y = tensors(2, 20, 30, 3, torch.float32)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x.detach(), y.detach()), loss(x, y).detach())
    got = torch.autograd.grad(compiled(x, y), (x, y))
    for g, w in zip(got, torch.autograd.grad(loss(x, y), (x, y)), strict=True):
        torch.testing.assert_close(g, w)


def test_shapes_dtypes_and_devices_of_results() -> None:
    x, y = tensors(3, 8, 9, 2, torch.float32)
    assert mmd2(x, y).shape == (3,)
    assert mmd2(x[0], y).shape == (3,)
    assert mmd2(x[0], y[0]).shape == ()
    assert mmd2(x, y).dtype == torch.float32
    gradient = torch.autograd.grad(mmd2(x[0], y).sum(), x)[0]
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0
    with torch.no_grad():
        assert not mmd2(x, y).requires_grad
    np.testing.assert_allclose(mmd2(x.detach().numpy(), y.detach().numpy()), mmd2(x, y).detach(), rtol=1e-6)
    terms = mmd2_terms(x, y)
    torch.testing.assert_close(terms.biased.float(), mmd2(x, y).detach())


def test_strides_do_not_matter() -> None:
    x, y = tensors(3, 8, 9, 4)
    wide = torch.stack([x.detach(), x.detach() + 1.0], dim=-1)[..., 0].requires_grad_()
    turned = y.detach().transpose(0, 2).contiguous().transpose(0, 2).requires_grad_()
    assert not wide.is_contiguous()
    got, want = mmd2(wide, turned), mmd2(x, y)
    assert torch.equal(got, want)
    for g, w in zip(
        torch.autograd.grad(got.sum(), (wide, turned)), torch.autograd.grad(want.sum(), (x, y)), strict=True
    ):
        assert torch.equal(g, w)


def test_kept_self_term_and_what_it_cannot_do() -> None:
    x, y = tensors(2, 20, 30, 3)
    term = self_term(y.detach())
    got = torch.autograd.grad(mmd2(x, y.detach(), y_self=term).sum(), x)[0]
    assert torch.equal(got, torch.autograd.grad(mmd2(x, y.detach()).sum(), x)[0])
    torch.testing.assert_close(mmd2(x, y.detach(), y_self=term), mmd2(x, y))
    with pytest.raises(ValueError, match="y requires a gradient"):
        mmd2(x, y, y_self=term)


def test_second_derivative_is_refused() -> None:
    x, y = tensors(1, 5, 5, 2)
    (gradient,) = torch.autograd.grad(mmd2(x, y).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        gradient.sum().backward()


def test_training_loop_leaks_nothing() -> None:
    x, y = tensors(1, 64, 64, 2, torch.float32)
    optimizer = torch.optim.SGD([x], lr=1.0)

    def steps(count: int) -> int:
        for _ in range(count):
            optimizer.zero_grad()
            (mmd2(x, y.detach()) + mmd2(x, 2.0 * y.detach(), unbiased=True)).sum().backward()
            optimizer.step()
        gc.collect()
        return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects())

    before = mmd2(x, y).item()
    alive = steps(5)
    assert steps(50) == alive
    assert mmd2(x, y).item() < before


def test_bad_tensors_are_named() -> None:
    x, y = (t.detach() for t in tensors(2, 5, 5, 2))
    with pytest.raises(TypeError, match="x has dtype bfloat16"):
        mmd2(x.bfloat16(), y)
    with pytest.raises(TypeError, match="both be NumPy arrays or both torch"):
        mmd2(x, y.numpy())
    with pytest.raises(ValueError, match=r"y holds nan at index \(1, 2, 0\)"):
        mmd2(
            x,
            y.index_put(
                (torch.tensor(1), torch.tensor(2), torch.tensor(0)), torch.tensor(torch.nan).double()
            ),
        )
    with pytest.raises(ValueError, match="device meta"):
        mmd2(x.to("meta"), y.to("meta"))
