"""MMD for torch: custom operators under `fastinv::` with fakes and autograd, and the paths that call them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastinv.kernels import backends
from fastinv.kernels.mmd import median
from fastinv.kernels.mmd.arrays import Samples
from fastinv.kernels.mmd.engines import CPU_BACKENDS, engine
from fastinv.kernels.mmd.kernel_functions import Kernel, KernelSpec, MedianHeuristic
from fastinv.kernels.mmd.terms import MMDTerms, SelfTerm, estimate_weights

ALL_PARTS = (True, True, True)


def _spec(family: str, terms: Sequence[float]) -> KernelSpec:
    return KernelSpec(family, tuple(terms), 1.0)


def _arrays(x: Tensor, y: Tensor) -> tuple[Any, Any]:
    return x.detach().numpy(), y.detach().numpy()


def _select(backend: str, device: str) -> str:
    serving: tuple[str, ...] = CPU_BACKENDS if device == "cpu" else ("triton",)
    if device == "cpu" and os.environ.get("TRITON_INTERPRET") == "1":
        serving = (*CPU_BACKENDS, "triton")
    return backends.select(backend, device=device, serving=serving, operation="mmd2")


def _means(
    x: Tensor, y: Tensor, spec: KernelSpec, scale: Tensor, parts: tuple[bool, bool, bool], backend: str
) -> Tensor:
    """Mean kernel values, float64, shape (B, 3)."""
    name = _select(backend, x.device.type)
    if name == "triton":
        from fastinv.kernels.mmd import triton_gpu

        return triton_gpu.means(x, y, spec, scale, parts)
    return torch.from_numpy(engine(name).means(*_arrays(x, y), spec, scale.numpy(), parts))


def _scale(x: Tensor, y: Tensor, kernel: Kernel, backend: str) -> Tensor:
    """Factor on squared distances for each problem, float64, shape (B,)."""
    spec = kernel.spec()
    if isinstance(kernel, MedianHeuristic):
        squared: Tensor = median_squared_distance(x.detach(), y.detach(), backend)
        return spec.scale / squared
    return torch.full((x.shape[0],), spec.scale, dtype=torch.float64, device=x.device)


def _weighted(means: Tensor, weights: Sequence[float], constant: float, dtype: torch.dtype) -> Tensor:
    # Scalars, not a tensor of weights: copying one to the device would synchronise.
    return (weights[0] * means[:, 0] + weights[1] * means[:, 1] + weights[2] * means[:, 2] + constant).to(
        dtype
    )


@torch.library.custom_op(
    "fastinv::median_squared_distance", mutates_args=(), schema="(Tensor x, Tensor y, str backend) -> Tensor"
)
def median_squared_distance(x: Tensor, y: Tensor, backend: str) -> Tensor:
    """Squared median distance of each pooled sample, float64, shape (B,); carries no gradient."""
    name = _select(backend, x.device.type)
    if name == "triton":
        from fastinv.kernels.mmd import triton_gpu

        return triton_gpu.median_squared_distance(x, y)
    return torch.from_numpy(median.median_squared_distance(*_arrays(x, y), name))


@median_squared_distance.register_fake
def _(x: Tensor, y: Tensor, backend: str) -> Tensor:
    return x.new_empty((x.shape[0],), dtype=torch.float64)


def _weighted_sum(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    family: str,
    terms: Sequence[float],
    weights: Sequence[float],
    constant: float,
    backend: str,
) -> Tensor:
    """Weighted sum of the three mean kernel values plus a constant, shape (B,), dtype of x."""
    parts = (weights[0] != 0.0, weights[1] != 0.0, weights[2] != 0.0)
    means = _means(x, y, _spec(family, terms), scale, parts, backend)
    return _weighted(means, weights, constant, x.dtype)


weighted_sum = torch.library.custom_op(
    "fastinv::mmd2",
    _weighted_sum,
    mutates_args=(),
    schema="(Tensor x, Tensor y, Tensor scale, str family, float[] terms, float[] weights, float constant, "
    "str backend) -> Tensor",
)


@weighted_sum.register_fake
def _(
    x: Tensor, y: Tensor, scale: Tensor, family: str, terms: Any, weights: Any, constant: float, backend: str
) -> Tensor:
    return x.new_empty((x.shape[0],))


def _weighted_sum_with_gradients(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    family: str,
    terms: Sequence[float],
    weights: Sequence[float],
    constant: float,
    needs: Sequence[bool],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted sum and its gradients in x and y, one pass over the pairs.

    A gradient that is not needed is returned with no elements.
    """
    name, spec = _select(backend, x.device.type), _spec(family, terms)
    factors, wanted = (weights[0], weights[1], weights[2]), (needs[0], needs[1])
    if name == "triton":
        from fastinv.kernels.mmd import triton_gpu

        means, gx, gy = triton_gpu.means_and_gradients(x, y, spec, scale, factors, wanted)
    else:
        arrays = engine(name).means_and_gradients(*_arrays(x, y), spec, scale.numpy(), factors, wanted)
        means, gx, gy = (torch.from_numpy(a) for a in arrays)
    return _weighted(means, weights, constant, x.dtype), gx, gy


weighted_sum_with_gradients = torch.library.custom_op(
    "fastinv::mmd2_with_gradients",
    _weighted_sum_with_gradients,
    mutates_args=(),
    schema="(Tensor x, Tensor y, Tensor scale, str family, float[] terms, float[] weights, float constant, "
    "bool[] needs, str backend) -> (Tensor, Tensor, Tensor)",
)


@weighted_sum_with_gradients.register_fake
def _(
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    family: str,
    terms: Any,
    weights: Any,
    constant: float,
    needs: Sequence[bool],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    gx, gy = (
        x.new_empty(t.shape if need else (0, *t.shape[1:])) for t, need in zip((x, y), needs, strict=True)
    )
    return x.new_empty((x.shape[0],)), gx, gy


def _chain(grad: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of the MMD^2 times that of its samples: an operator, to refuse to be differentiated."""
    return grad[:, None, None] * gradient


chain = torch.library.custom_op(
    "fastinv::mmd2_backward", _chain, mutates_args=(), schema="(Tensor grad, Tensor gradient) -> Tensor"
)


@chain.register_fake
def _(grad: Tensor, gradient: Tensor) -> Tensor:
    return torch.empty_like(gradient)


def _refuse(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
    raise RuntimeError("mmd2 can be differentiated once only; its second derivative is not offered")


chain.register_autograd(_refuse)


def _save_gradients(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.needs = inputs[7]
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*output[1:])


def _backward(ctx: Any, grad: Tensor, *_: Tensor, times: Any = chain) -> tuple[Tensor | None, ...]:
    gx, gy = (times(grad, g) if need else None for g, need in zip(ctx.saved_tensors, ctx.needs, strict=True))
    return (gx, gy, *(None,) * 7)


weighted_sum_with_gradients.register_autograd(_backward, setup_context=_save_gradients)


class _Chain(torch.autograd.Function):
    """`chain` outside of a trace."""

    @staticmethod
    def forward(grad: Tensor, gradient: Tensor) -> Tensor:
        return _chain(grad, gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return _refuse(ctx, grads[0])


class _Differentiable(torch.autograd.Function):
    """`weighted_sum_with_gradients` outside of a trace.

    An operator with a derivative of its own loads torch's compiler at its first call, which takes seconds.
    """

    @staticmethod
    def forward(*inputs: Any) -> tuple[Tensor, Tensor, Tensor]:
        return _weighted_sum_with_gradients(*inputs)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _save_gradients(ctx, inputs, output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return _backward(ctx, grad, times=_Chain.apply)


def check_values(samples: Samples) -> None:
    """Raise ValueError if a sample holds NaN or infinity; synchronises."""
    for name, sample in (("x", samples.x), ("y", samples.y)):
        if not bool(torch.isfinite(sample).all()):
            raise ValueError(f"{name} holds NaN or infinity; all values must be finite")


def is_more_than_arrays(samples: Samples, backend: str) -> bool:
    """Whether there is anything in a call that NumPy cannot do: a gradient, a trace, a GPU, Triton."""
    x, y = samples.x, samples.y
    gradient = torch.is_grad_enabled() and (x.requires_grad or y.requires_grad)
    return gradient or samples.device != "cpu" or backend == "triton" or torch.compiler.is_compiling()


def as_arrays(samples: Samples) -> Samples:
    """CPU tensors as arrays over the same memory."""
    x, y = _arrays(samples.x, samples.y)
    return samples._replace(x=x, y=y, tensor=False)


def from_array(value: Any) -> Tensor:
    """A scalar or array of NumPy's as a tensor."""
    return torch.from_numpy(np.asarray(value))


def mmd2(
    samples: Samples,
    kernel: Kernel,
    unbiased: bool,
    backend: str,
    x_self: SelfTerm | None,
    y_self: SelfTerm | None,
) -> Tensor:
    """MMD^2 of validated samples, shape (B,), dtype of x."""
    x, y, spec = samples.x, samples.y, kernel.spec()
    needs = [torch.is_grad_enabled() and t.requires_grad for t in (x, y)]
    weights, constant = estimate_weights(x.shape[1], y.shape[1], spec.at_zero, unbiased=unbiased)
    kept: list[Tensor] = []
    computed = list(weights)
    for i, (term, need, name) in enumerate(((x_self, needs[0], "x"), (y_self, needs[1], "y"))):
        if term is None:
            continue
        if need:
            raise ValueError(f"{name}_self is a constant, but {name} requires a gradient: leave it out")
        kept.append(weights[i] * term.mean)
        computed[i] = 0.0
    scale = _scale(x, y, kernel, backend)
    arguments = (x, y, scale, spec.family, spec.terms, computed, constant)
    value: Tensor
    if any(needs):
        traced = torch.compiler.is_compiling()
        differentiable: Any = weighted_sum_with_gradients if traced else _Differentiable.apply
        value = differentiable(*arguments, needs, backend)[0]
    elif torch.compiler.is_compiling():
        value = weighted_sum(*arguments, backend)
    else:
        # An operator's dispatch costs more than a small problem does.
        value = _weighted_sum(*arguments, backend)
    for mean in kept:
        value = value + mean.to(value.dtype)
    return value


def mmd2_terms(
    samples: Samples, kernel: Kernel, backend: str, x_self: SelfTerm | None, y_self: SelfTerm | None
) -> MMDTerms:
    """Mean kernel values of validated samples, float64 tensors of shape (B,) that carry no gradient."""
    x, y, spec = samples.x.detach(), samples.y.detach(), kernel.spec()
    parts = (x_self is None, y_self is None, True)
    means = _means(x, y, spec, _scale(x, y, kernel, backend), parts, backend)
    xx = means[:, 0] if x_self is None else x_self.mean.expand(means.shape[0])
    yy = means[:, 1] if y_self is None else y_self.mean.expand(means.shape[0])
    return MMDTerms(spec.at_zero, x.shape[1], y.shape[1], xx, yy, means[:, 2])


def self_mean(samples: Samples, kernel: Kernel, backend: str) -> Tensor:
    """Mean of k over the pairs i != j of samples.y, float64, shape (B,)."""
    x, y = samples.x.detach(), samples.y.detach()
    return _means(x, y, kernel.spec(), _scale(x, y, kernel, backend), (False, True, False), backend)[:, 1]
