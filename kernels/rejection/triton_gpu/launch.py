"""Builds envelopes on the host, launches the Triton kernels, and leaves the samples on the device."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
from numpy.typing import NDArray
from torch import Tensor

from fastinv.kernels import backends
from fastinv.kernels.rejection import ballistics_reference, kinematics_reference
from fastinv.kernels.rejection.ballistics_reference import Throw
from fastinv.kernels.rejection.envelope import Envelope, FloatArray, NoMassError
from fastinv.kernels.rejection.kinematics_cells import Arm

Tables = tuple[FloatArray, NDArray[np.int32], NDArray[np.uint32], NDArray[np.int64]]

BLOCK = 128
# With fewer samples than this the device is better filled by shorter programs.
SAMPLES_TO_FILL_A_DEVICE = 1 << 18
SLOTS_PER_LANE = 8


def build_tables(y: FloatArray, settings: Arm | Throw, parameters: FloatArray) -> Tables:
    """Cells of every observation one after the other, built in C++ where that is installed.

    Returns:
        Cells, float64 (k, 5): origin and width along both axes, log-bound; tags (k,); last words
        that select each (k,); offsets (B + 1,): the cells of observation i are [offsets[i], offsets[i + 1]).
    """
    is_arm = isinstance(settings, Arm)
    module = backends.native_module()
    if module is not None:
        build: Any = module.kinematics_envelopes if is_arm else module.ballistics_envelopes
        tables: Tables = build(y, parameters)
        return tables
    envelopes = [_build_envelope(row, settings) for row in y]
    cells = [np.column_stack([e.cells, e.log_bound]) for e in envelopes]
    offsets = np.cumsum([0] + [len(e.tags) for e in envelopes])
    return (
        np.concatenate(cells),
        np.concatenate([e.tags for e in envelopes]).astype(np.int32),
        np.concatenate([e.last for e in envelopes]),
        offsets,
    )


def _build_envelope(y: FloatArray, settings: Arm | Throw) -> Envelope:
    if isinstance(settings, Arm):
        return kinematics_reference.build_kinematics_envelope(y, settings)
    return ballistics_reference.build_ballistics_envelope(float(y[0]), settings)


def sample(
    y: FloatArray,
    settings: Arm | Throw,
    parameters: FloatArray,
    first: int,
    seed: int,
    n: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Exact posterior samples on a device.

    Args:
        y: observations, shape (B, d_y).
        settings: the problem's constants, which also say what the problem is.
        parameters: their values in order.
        first: index of y[0] in the random stream.
        seed: integer in [0, 2**64).
        n: samples per observation.
        device: a CUDA device; the CPU in Triton's interpreter.

    Returns:
        x, float64 (B, n, 4), and attempts, int64 (B, n), negative where the bound or the budget broke.

    Raises:
        NoMassError: a posterior without mass.
    """

    def put(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(array).to(device)

    batch = len(y)
    x = torch.empty((batch, n, 4), dtype=torch.float64, device=device)
    attempts = torch.empty((batch, n), dtype=torch.int64, device=device)
    if batch == 0:
        return x, attempts
    cells, tags, last, offsets = build_tables(y, settings, parameters)
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise NoMassError(first + int(empty[0]))
    tables = put(cells), put(tags), put(last.view(np.int32)), put(offsets)
    depth = int(np.diff(offsets).max()).bit_length()
    # In memory, as every argument of a kernel that is a float would be rounded to float32.
    constants, key = put(parameters), put(np.array([seed], dtype=np.uint64).view(np.int64))
    per_lane = SLOTS_PER_LANE if batch * n >= SAMPLES_TO_FILL_A_DEVICE else 1
    grid = (triton.cdiv(n, BLOCK * per_lane), batch)
    common = (key, *tables, x, attempts, n, first, depth)
    if isinstance(settings, Throw):
        from fastinv.kernels.rejection.triton_gpu import ballistics

        counts = np.arange(ballistics_reference.count_limit(float(np.abs(y).max())) + 1, dtype=np.float64)
        prior = put(ballistics_reference.log_count_prior(counts, settings))
        ballistics.draw_kernel[grid](put(y), constants, prior, *common, BLOCK=BLOCK, PER_LANE=per_lane)
        return x, attempts
    from fastinv.kernels.rejection.triton_gpu import kinematics

    images = {f"M{k}": 1 + int(settings.sigmas[k - 1]) for k in (2, 3, 4)}
    target = put(y)
    kinematics.draw_kernel[grid](target, constants, *common, BLOCK=BLOCK, PER_LANE=per_lane, **images)
    finish_grid = (triton.cdiv(n, BLOCK), batch)
    kinematics.finish_kernel[finish_grid](target, constants, key, x, n, first, BLOCK=BLOCK, **images)
    return x, attempts
