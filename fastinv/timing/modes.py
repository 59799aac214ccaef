"""Ways to carry out a model's sampling: eager, packed, compiled, as a CUDA graph, in lower precision."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fastinv.kernels.coupling.serving import why_not
from fastinv.models.compiling import why_no_compiler
from fastinv.models.layers.packed import packing_is_possible


class ModeUnavailableError(RuntimeError):
    """A mode that this machine or this model lacks; the message is the reason, in one line."""


@dataclass(frozen=True)
class Mode:
    """A way to carry out sampling.

    Attributes:
        name: as on the command line.
        what: a few words.
        exact: whether it keeps float32, so that only rounding may differ from eager.
        quick: whether the timing stage of a run has the time to prepare it: well under a second, but for
            Triton's compiler at first use.
    """

    name: str
    what: str
    exact: bool
    quick: bool


MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode("eager", "PyTorch, operator by operator", True, True),
        Mode("packed", "CPU: weights laid out once for oneDNN, activations fused", True, True),
        Mode("fused", "a flow's inverse or a mixture's samples in one compiled loop", True, True),
        Mode("compiled", "torch.compile, one graph per batch size", True, False),
        Mode("compiled-max", "torch.compile with max-autotune (on a CPU with frozen weights)", True, False),
        Mode("cudagraph", "the whole call, noise included, captured as a CUDA graph", True, True),
        Mode("tf32", "CUDA: float32 products rounded to TensorFloat-32", False, True),
        Mode("bf16", "wide layers multiply in bfloat16", False, True),
        Mode("bf16-packed", "CPU: bf16 and packed", False, True),
        Mode("bf16-fused", "bf16 and fused", False, True),
        Mode("bf16-cudagraph", "bf16, captured as a CUDA graph", False, True),
    )
}


def available(mode: str, device: str) -> str | None:
    """Why a device lacks a mode, None where it has it."""
    if mode in ("packed", "bf16-packed"):
        if device != "cpu":
            return "for CPUs only"
        return None if packing_is_possible() else "this build of torch has no oneDNN"
    if mode == "bf16-fused" or (mode == "fused" and device != "cpu"):
        return why_not(device, bf16=mode == "bf16-fused")
    if mode in ("cudagraph", "bf16-cudagraph", "tf32") and device != "cuda":
        return "needs a CUDA device"
    if mode == "tf32" and torch.cuda.get_device_capability() < (8, 0):
        return "needs a GPU of compute capability 8.0 or newer"
    return why_no_compiler(device) if mode.startswith("compiled") else None
