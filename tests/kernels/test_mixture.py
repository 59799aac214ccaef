"""Samples of mixtures in Numba against the definition, solved with NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastinv.kernels.mixture.numba_cpu import draw
from fastinv.models.layers.fused import FusedMixture
from fastinv.models.layers.mixture import Bounds, MixtureSampling, outputs_per_component

BOUNDS = Bounds(3.0, 0.5)
SIZES = [(1, 1, 1, 5), (1, 64, 4, 1000), (3, 7, 2, 63), (5, 2, 5, 1), (30, 64, 3, 200), (2, 3, 4, 0)]


def arrays(mixtures: int, components: int, dim: int, size: int) -> tuple[np.ndarray, ...]:  # type: ignore[type-arg]
    rng = np.random.default_rng(size + dim)
    outputs = 2.0 * rng.normal(size=(mixtures, components, outputs_per_component(dim)))
    row = rng.integers(0, mixtures, size)
    uniform, normal = rng.uniform(size=size), rng.normal(size=(size, dim))
    return outputs.astype(np.float32), row, uniform.astype(np.float32), normal.astype(np.float32)


@pytest.mark.parametrize("sizes", SIZES)
def test_samples_are_the_definitions(sizes: tuple[int, int, int, int]) -> None:
    outputs, row, uniform, normal = arrays(*sizes)
    dim = sizes[2]
    found = draw(outputs, row, uniform, normal, **BOUNDS._asdict())
    assert found.shape == normal.shape
    assert found.dtype == np.float32
    for s, m in enumerate(row):
        weights = np.exp(outputs[m, :, 0].astype(np.float64))
        k = int((np.cumsum(weights) / weights.sum() < uniform[s]).sum())
        mean, diagonal, below = np.split(outputs[m, k, 1:].astype(np.float64), [dim, 2 * dim])
        bound = np.where(diagonal < 0.0, BOUNDS.wide, BOUNDS.sharp)
        diagonal = np.exp(2.0 * bound / np.pi * np.arctan(diagonal * np.pi / (2.0 * bound)))
        factor = np.diag(diagonal)
        rows, columns = np.tril_indices(dim, -1)
        factor[rows, columns] = below * diagonal[rows]
        wanted = mean + np.linalg.solve(factor.T, normal[s].astype(np.float64))
        np.testing.assert_allclose(found[s], wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("sizes", [size for size in SIZES if size[3] % size[0] == 0])
def test_module_is_that_which_it_replaces(sizes: tuple[int, int, int, int]) -> None:
    outputs, row, uniform, normal = (torch.from_numpy(a) for a in arrays(*sizes))
    sampling = MixtureSampling(sizes[1], sizes[2], BOUNDS)
    replaced = FusedMixture(sampling)
    flat = outputs.flatten(1)
    each = sizes[3] // sizes[0]
    in_order = torch.arange(sizes[0]).repeat_interleave(each)
    for index, decides in ((row, uniform), (in_order, uniform.view(sizes[0], each))):
        found, wanted = (f(flat, index, decides, normal) for f in (replaced, sampling))
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_nan_in_the_noise_stays_in_its_row() -> None:
    outputs, row, uniform, normal = arrays(2, 5, 4, 9)
    normal[4, 3] = np.nan
    found = draw(outputs, row, uniform, normal, **BOUNDS._asdict())
    assert np.isnan(found[4]).all() or np.isnan(found[4, 3])
    assert np.isfinite(np.delete(found, 4, axis=0)).all()


def test_a_uniform_of_one_takes_the_last_component() -> None:
    outputs, row, uniform, normal = arrays(1, 5, 2, 3)
    outputs[:, :, 1:] = np.arange(5)[None, :, None]
    uniform[:] = [0.0, 1.0, np.nextafter(np.float32(1), np.float32(2))]
    found = draw(outputs, row, uniform, np.zeros_like(normal), **BOUNDS._asdict())
    np.testing.assert_array_equal(found[:, 0], [0.0, 4.0, 4.0])
