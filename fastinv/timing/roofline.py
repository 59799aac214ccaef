"""What the machine could do at best, measured: products of matrices and traffic to memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from fastinv.timing.measure import Plan, measure
from fastinv.timing.precision import tf32_products

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel

_QUICK = Plan(relative=0.05, min_repeats=5, budget_s=0.4)
_SIZE = {"cpu": 1536, "cuda": 8192}
_BYTES = {"cpu": 256 << 20, "cuda": 2 << 30}


@dataclass(frozen=True)
class Machine:
    """Limits of a device, measured in this process with its number of threads.

    Attributes:
        fp32_flops: floating-point operations per second of a large float32 product.
        bf16_flops: the same in bfloat16.
        bandwidth: bytes per second read and written by a large copy.
        tf32_flops: of the product with float32 rounded to TensorFloat-32; None on a CPU.
    """

    fp32_flops: float
    bf16_flops: float
    bandwidth: float
    tf32_flops: float | None = None


@dataclass(frozen=True)
class Work:
    """What a call has to do at least.

    Attributes:
        flops: floating-point operations of its products of matrices.
        bytes: of weights and noise read once and of samples written once.
    """

    flops: float
    bytes: float

    def shortest_ms(self, machine: Machine, *, bf16: bool = False, tf32: bool = False) -> float:
        """Milliseconds that the machine's limits allow at best."""
        peak = machine.bf16_flops if bf16 else machine.fp32_flops
        if tf32 and machine.tf32_flops is not None:
            peak = machine.tf32_flops
        return 1e3 * max(self.flops / peak, self.bytes / machine.bandwidth)


def measure_machine(device: str) -> Machine:
    """Measure the limits of a device; takes a second or two."""
    size = _SIZE[device]

    def flops(dtype: torch.dtype) -> float:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(a)
        timing = measure(lambda: torch.mm(a, b, out=out), device=device, plan=_QUICK)
        return 2.0 * size**3 / (1e-3 * timing.median_ms)

    def rounded_flops() -> float:
        with tf32_products():
            return flops(torch.float32)

    source = torch.ones(_BYTES[device] // 4, device=device)
    target = torch.empty_like(source)
    copy = measure(lambda: target.copy_(source), device=device, plan=_QUICK)
    return Machine(
        flops(torch.float32),
        flops(torch.bfloat16),
        2.0 * _BYTES[device] / (1e-3 * copy.median_ms),
        rounded_flops() if device == "cuda" else None,
    )


@torch.no_grad()
def work_of(model: PosteriorModel, y: torch.Tensor, n: int) -> Work:
    """What drawing n samples takes at least, counted while it is done once.

    Args:
        model: in eval mode.
        y: one observation, shape (1, d_y), on the model's device.
        n: samples.
    """
    noise = torch.randn(1, n, model.noise_width, device=y.device)
    with FlopCounterMode(display=False) as counter:
        samples = model.draw(y, noise)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    traffic = weights + noise.numel() * noise.element_size() + samples.numel() * samples.element_size()
    return Work(float(counter.get_total_flops()), float(traffic))
