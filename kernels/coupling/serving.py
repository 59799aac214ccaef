"""Who inverts coupling flows on which device, and why nobody does."""

from __future__ import annotations

import os

from fastinv.kernels.backends import available_backends
from fastinv.kernels.coupling import native_cpu


def why_not(device: str, *, bf16: bool) -> str | None:
    """Why flows cannot be inverted by compiled code on a device, None where they can.

    Args:
        device: "cpu", served by C++, or "cuda", served by Triton.
        bf16: whether inner layers are to multiply in bfloat16.
    """
    return native_cpu.why_not(bf16=bf16) if device == "cpu" else why_not_in_triton()


def why_not_in_triton() -> str | None:
    """Why Triton cannot invert flows on this machine, None where it can (also in its interpreter)."""
    status = available_backends()["triton"]
    if not status.available:
        return status.detail
    if os.environ.get("TRITON_INTERPRET") == "1":
        return None
    import torch

    if torch.cuda.get_device_capability() < (8, 0):
        return "needs a GPU of compute capability 8.0 or newer"
    return None
