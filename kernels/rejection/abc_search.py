"""Matching simulations to observations: a grid over all y*, and what is kept per observation."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection import abc_reference
from fastinv.kernels.rejection.abc_sources import Source

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]

# A table of one byte per cell that stays in the second-level cache, and lists of a few megabytes.
MAX_CELLS = 1 << 18
MAX_ENTRIES = 1 << 20
GRID_AXES = 3
CELLS_PER_RADIUS = 2.0


class Hits(NamedTuple):
    """Pairs of an observation and a simulation near to it, in proposal order, of so many simulations."""

    observation: NDArray[np.int32]
    number: Numbers
    distance: FloatArray
    simulations: int
    not_finite: int
    raised: int


class Targets:
    """The observations in units of the scale.

    Attributes:
        centres: y* / scale, shape (B, d_y).
        inverse_scale: shape (d_y,).
        error: bound on the difference of two distances, that of a screened and that of an exact y.
    """

    def __init__(self, y: FloatArray, scale: FloatArray, source: Source, compiled: bool) -> None:
        self._compiled = compiled
        self.inverse_scale = 1.0 / scale
        self.centres = np.ascontiguousarray(y * self.inverse_scale)
        self.error = float(np.linalg.norm(source.error * self.inverse_scale))

    def part(self, chosen: NDArray[np.intp]) -> Targets:
        """Those of some observations."""
        part = copy.copy(self)
        part.centres = self.centres[chosen]
        return part

    def distance(self, y: FloatArray, observation: NDArray[Any]) -> FloatArray:
        """Scaled distance of each row of y, shape (k, d_y), to its observation."""
        if self._compiled:
            from fastinv.kernels.rejection.numba_cpu import abc_grid

            return np.asarray(abc_grid.distances(y, self.inverse_scale, self.centres, observation))
        return np.asarray(np.linalg.norm(y * self.inverse_scale - self.centres[observation], axis=1))


class Finder(Protocol):
    """Finds the observations near to each of many simulations.

    It may stop looking for an observation i once need[i] simulations are nearer to it than `sure`.
    """

    def __call__(
        self, y: NDArray[Any], need: Numbers, sure: float
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], FloatArray]: ...


@dataclass(frozen=True)
class BruteForce:
    """Compares every simulation with every observation."""

    targets: Targets
    radius: FloatArray
    active: NDArray[np.bool_]

    def __call__(
        self, y: NDArray[Any], need: Numbers, sure: float
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], FloatArray]:
        t = self.targets
        return abc_reference.search(y, t.inverse_scale, t.centres, self.radius, self.active)


class Grid:
    """Cells over the first axes of y, each with a list of the observations whose balls meet it.

    Args:
        targets: the observations.
        radius: of each observation's ball, in scaled units, shape (B,), finite where active.
        active: which observations are looked for.
        dtype: of the simulated y.
    """

    def __init__(
        self, targets: Targets, radius: FloatArray, active: NDArray[np.bool_], dtype: type[np.floating[Any]]
    ) -> None:
        from fastinv.kernels.rejection.numba_cpu import abc_grid

        self._search = abc_grid.search
        self._targets, self._radius = targets, radius
        axes = min(GRID_AXES, targets.centres.shape[1])
        centres, reach = targets.centres[active, :axes], radius[active, None]
        low, high = (centres - reach).min(axis=0), (centres + reach).max(axis=0)
        side = _side(low, high, reach[:, 0])
        # Half a cell around everything keeps the rim empty in spite of the padding below.
        low, high = low - 0.5 * side, high + 0.5 * side
        cells = (np.floor((high - low) / side) + 1.0).astype(np.int64)
        shape = np.ones(GRID_AXES, dtype=np.int64)
        shape[:axes] = cells + 2
        # Positions are computed in y's dtype: what rounding may add to them, in cells.
        size = float((2.0 * np.maximum(np.abs(low), np.abs(high)) / side).max() + cells.max())
        pad = 4.0 * float(np.finfo(dtype).eps) * size
        self._start = np.zeros(int(shape.prod()) + 1, dtype=np.int64)
        self._items = np.empty(0, dtype=np.int32)
        for _ in range(2):
            abc_grid.fill_grid(
                targets.centres, radius, active, low, 1.0 / side, pad, shape, self._start, self._items
            )
            self._items = self._items if len(self._items) else np.empty(self._start[-1], dtype=np.int32)
        self._occupied = (np.diff(self._start) > 0).astype(np.uint8)
        self._factor = (targets.inverse_scale[:axes] / side).astype(dtype)
        self._offset = (1.0 - low / side).astype(dtype)
        self._top = (shape[:axes] - 1).astype(dtype)

    def __call__(
        self, y: NDArray[Any], need: Numbers, sure: float
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], FloatArray]:
        t = self._targets
        found: tuple[NDArray[np.int32], NDArray[np.int64], FloatArray] = self._search(
            y,
            t.inverse_scale,
            t.centres,
            self._radius,
            need,
            sure,
            self._factor,
            self._offset,
            self._top,
            self._start,
            self._items,
            self._occupied,
        )
        return found


def _side(low: FloatArray, high: FloatArray, radius: FloatArray) -> float:
    """Side of a cell: a fraction of the typical radius, unless that makes too many cells or list entries."""
    side = float(np.median(radius)) / CELLS_PER_RADIUS
    # Spans of zero (radii below rounding) still need a side.
    side = max(side, float((high - low).max()) * 1e-7, float(np.abs(high).max()) * 1e-12, 1e-300)
    while np.prod(np.floor((high - low) / side) + 4.0) > MAX_CELLS:
        side *= 1.2
    while np.prod(2.0 * radius[:, None] / side + np.full(len(low), 2.0), axis=1).sum() > MAX_ENTRIES:
        side *= 1.5
        if side > (high - low).max():
            break
    return side


def simulate_and_find(
    source: Source, finder: Finder, need: Numbers, sure: float, first: int, count: int
) -> Hits:
    """Simulate a chunk and look every simulation up; see `Finder` for `need` and `sure`."""
    y, raised = source.simulate(first, count)
    observation, offset, distance = finder(y, need, sure)
    lost = int(count - np.isfinite(y).all(axis=0).sum())
    return Hits(observation, first + offset, distance, count, lost, raised)
