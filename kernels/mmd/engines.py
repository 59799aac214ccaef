"""The CPU back ends of MMD behind one signature, and what all of them share."""

from __future__ import annotations

import functools
import importlib
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.mmd.kernel_functions import KernelSpec

Array = NDArray[Any]
Float64 = NDArray[np.float64]

CPU_BACKENDS = ("native", "numba", "reference")
_MODULES = {"native": "native_cpu", "numba": "numba_cpu", "reference": "reference"}


class Engine(Protocol):
    """What a CPU back end offers; `reference.py` documents the arguments and results."""

    def means(
        self, x: Array, y: Array, spec: KernelSpec, scale: Float64, parts: tuple[bool, bool, bool]
    ) -> Float64:
        """Mean kernel values of each problem, shape (B, 3)."""

    def means_and_gradients(
        self,
        x: Array,
        y: Array,
        spec: KernelSpec,
        scale: Float64,
        weights: tuple[float, float, float],
        needs: tuple[bool, bool],
    ) -> tuple[Float64, Array, Array]:
        """Mean kernel values, and the gradients of their weighted sum."""


@functools.cache
def engine(backend: str) -> Engine:
    """The engine of a CPU back end, imported at first use."""
    return cast(Engine, importlib.import_module(f"fastinv.kernels.mmd.{_MODULES[backend]}"))
