"""Which back ends exist on this machine, why others do not, and which one serves a call."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from types import ModuleType

BACKENDS = ("native", "numba", "reference", "triton")
"""All back ends; on the CPU `auto` takes the first of these that serves."""

ENVIRONMENT_VARIABLE = "FASTINV_BACKEND"
"""Replaces `backend="auto"` in every call when set."""


class BackendUnavailable(RuntimeError):
    """The back end asked for cannot serve this call; the message says why and what would."""


@dataclass(frozen=True)
class BackendStatus:
    """Whether a back end can be used on this machine.

    Attributes:
        name: one of native, numba, reference, triton.
        available: whether it can serve calls here.
        detail: what was built and chosen, or the reason why it is missing.
    """

    name: str
    available: bool
    detail: str


@functools.cache
def native_module() -> ModuleType | None:
    """The compiled extension, or None where it was not built or does not load."""
    try:
        return importlib.import_module("fastinv.kernels._native")
    except ImportError:
        return None


@functools.cache
def _native_status() -> BackendStatus:
    try:
        module = importlib.import_module("fastinv.kernels._native")
    except ImportError as error:
        reason = "the C++ extension was not built at install (no C++17 compiler?)"
        if importlib.util.find_spec("fastinv.kernels._native") is not None:
            reason = f"the C++ extension does not load: {error}"
        return BackendStatus("native", False, reason)
    if not hasattr(module, "built_isas"):
        return BackendStatus("native", False, "the C++ extension is out of date: install again")
    built = ", ".join(module.built_isas())
    return BackendStatus("native", True, f"C++ using {module.active_isa()} of: {built}")


@functools.cache
def _numba_status() -> BackendStatus:
    if importlib.util.find_spec("numba") is None:
        return BackendStatus("numba", False, "numba is not installed")
    return BackendStatus("numba", True, "compiled at first use, then cached")


def _triton_status() -> BackendStatus:
    # Not cached: tests switch the interpreter on, and a process may hide its GPUs later.
    if importlib.util.find_spec("triton") is None:
        return BackendStatus("triton", False, "triton is not installed")
    if importlib.util.find_spec("torch") is None:
        return BackendStatus("triton", False, "torch is not installed")
    if os.environ.get("TRITON_INTERPRET") == "1":
        return BackendStatus("triton", True, "Triton's interpreter (TRITON_INTERPRET=1), for tests only")
    import torch

    if not torch.cuda.is_available():
        return BackendStatus("triton", False, "no CUDA device is visible to torch")
    return BackendStatus("triton", True, f"CUDA: {torch.cuda.get_device_name()}")


_STATUS: dict[str, Callable[[], BackendStatus]] = {
    "native": _native_status,
    "numba": _numba_status,
    "reference": lambda: BackendStatus("reference", True, "NumPy in float64: the definition, slow"),
    "triton": _triton_status,
}


def available_backends() -> dict[str, BackendStatus]:
    """The state of every back end on this machine.

    Returns:
        A dictionary from name to `BackendStatus`, in the order in which `backend="auto"` prefers them.

    Examples:
        >>> available_backends()["reference"].available
        True
    """
    return {name: _STATUS[name]() for name in BACKENDS}


def select(requested: str, *, device: str, serving: Collection[str], operation: str) -> str:
    """The back end that serves a call.

    Args:
        requested: the caller's `backend` argument: "auto" or a name.
        device: "cpu" or "cuda", where the data lie.
        serving: the back ends that implement the operation on this device.
        operation: name of the public function, for messages.

    Raises:
        ValueError: for an unknown name.
        BackendUnavailable: if the back end asked for cannot serve; the message says why and what would.
    """
    forced = os.environ.get(ENVIRONMENT_VARIABLE) if requested == "auto" else None
    if not forced and requested == "auto":
        # The common case first: small problems notice every microsecond.
        first = next(name for name in BACKENDS if name in serving)
        if _STATUS[first]().available:
            return first
    source = f"{ENVIRONMENT_VARIABLE}={forced}" if forced else f"backend={requested!r}"
    requested = forced or requested
    if requested != "auto" and requested not in BACKENDS:
        raise ValueError(f"{source} is unknown; accepted: auto, {', '.join(BACKENDS)}")
    if requested in serving or requested == "auto":
        for name in [requested] if requested in serving else [b for b in BACKENDS if b in serving]:
            if _STATUS[name]().available:
                return name
    reason = f"it does not implement {operation} on {device}"
    if requested in serving:
        reason = _STATUS[requested]().detail
    elif requested == "auto":
        reason = "; ".join(f"{b}: {_STATUS[b]().detail}" for b in serving)
    usable = [b for b in BACKENDS if b in serving and _STATUS[b]().available]
    instead = f"what would serve: {', '.join(usable)}" if usable else "no back end here would serve"
    raise BackendUnavailable(f"{operation} with {source} on {device}: {reason}; {instead}")


def is_torch_tensor(value: object) -> bool:
    """Whether a value is a torch tensor, without importing torch: who passes one has imported it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)
