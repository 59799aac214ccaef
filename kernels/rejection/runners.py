"""The back ends of the exact samplers behind one signature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels import backends
from fastinv.kernels.rejection.envelope import FloatArray

Attempts = NDArray[np.int64]

# One call into a compiled back end is not interruptible, so it is kept to a fraction of a second: some
# observations, or where one of them alone has more samples, some of those. Envelopes take time, too.
SAMPLES_PER_CALL = {"native": 600_000, "numba": 600_000, "reference": 600_000, "triton": 6_000_000}
SAMPLES_PER_ENVELOPE = 2000
# The reference answers Ctrl-C itself, being Python; a device is done before anyone could press it.
CUT_WITHIN_OBSERVATIONS = ("native", "numba")
CHUNKS_PER_THREAD = 8


@dataclasses.dataclass(frozen=True)
class Target:
    """Whose posteriors are sampled: observations, constants as an array and as the reference takes them."""

    problem: str
    y: FloatArray
    parameters: FloatArray
    settings: Any

    def part(self, start: int, stop: int) -> Target:
        return dataclasses.replace(self, y=self.y[start:stop])


class Start(NamedTuple):
    """Where in the random stream a call begins."""

    observation: int
    slot: int


# (target, start, key, x (B, n, 4), attempts (B, n)): fills the last two. They are arrays; on a CUDA device,
# which Triton alone serves, tensors.
Runner = Callable[[Target, Start, tuple[int, int], Any, Any], None]


def run_reference(target: Target, start: Start, key: tuple[int, int], x: Any, attempts: Any) -> None:
    from fastinv.kernels.rejection import ballistics_reference, kinematics_reference

    seed = key[0] | key[1] << 32
    for i, y in enumerate(target.y):
        stream = seed, start.observation + i
        if target.problem == "kinematics":
            drawn = kinematics_reference.sample_one(y, x.shape[1], *stream, target.settings)
        else:
            drawn = ballistics_reference.sample_one(float(y[0]), x.shape[1], *stream, target.settings)
        x[i], attempts[i] = drawn


def run_native(target: Target, start: Start, key: tuple[int, int], x: Any, attempts: Any) -> None:
    module = backends.native_module()
    assert module is not None  # select() has seen it
    sample = getattr(module, f"sample_{target.problem}")
    sample(target.y, target.parameters, *start, *key, x, attempts)


def run_numba(target: Target, start: Start, key: tuple[int, int], x: Any, attempts: Any) -> None:
    import numba

    from fastinv.kernels.rejection.numba_cpu import ballistics, kinematics

    module: ModuleType = kinematics if target.problem == "kinematics" else ballistics
    threads = numba.get_num_threads()
    sample = module.sample_batch if len(target.y) >= threads else module.sample_few
    sample(target.y, target.parameters, *start, *key, threads * CHUNKS_PER_THREAD, x, attempts)


def run_triton(target: Target, start: Start, key: tuple[int, int], x: Any, attempts: Any) -> None:
    import torch

    from fastinv.kernels.rejection import triton_gpu

    on_device = backends.is_torch_tensor(x) and x.device.type == "cuda"
    device = x.device if on_device else torch.device("cuda" if torch.cuda.is_available() else "cpu")
    constants = target.settings, target.parameters
    seed = key[0] | key[1] << 32
    drawn = triton_gpu.sample(target.y, *constants, start.observation, seed, x.shape[1], device)
    x[...], attempts[...] = drawn if on_device else (part.cpu() for part in drawn)


RUN: dict[str, Runner] = {
    "native": run_native,
    "numba": run_numba,
    "reference": run_reference,
    "triton": run_triton,
}
SERVING = tuple(RUN)
SERVING_CUDA = ("triton",)
