"""A user's NumPy or torch simulator, called in batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.backends import is_torch_tensor
from fastinv.kernels.random import split_seed
from fastinv.kernels.rejection import abc_reference
from fastinv.kernels.rejection.abc_sources import NotCompilableError, is_compiled, not_compilable

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]
# Rows that are tried one by one and all raise: then it is the simulator, not the draws.
HOPELESS = 32


class RowLengthError(ValueError):
    """A compiled function returns rows of the wrong length."""


class SimulatorError(RuntimeError):
    """A simulator raised for every draw that it was tried on; the cause is chained."""


class BatchSource:
    """Prior and simulator as functions of whole batches, in NumPy or torch.

    Args:
        simulator: (n, d_x) -> (n, d_y), or an @njit function of a row.
        prior: uniforms in (0, 1), (n, d_x) -> (n, d_x), an @njit function of a row, or coordinates.
        dim_x: parameters.
        dim_y: observed values.
        seed: of the random stream.
        device: torch device that the simulator's batches are put on, None to hand over NumPy arrays.
        compiled: whether Numba may draw the uniforms.
    """

    parallel = False

    def __init__(
        self,
        simulator: Any,
        prior: Any,
        dim_x: int,
        dim_y: int,
        seed: int,
        *,
        device: Any = None,
        compiled: bool = True,
    ) -> None:
        self.dim_x, self.dim_y, self.error = dim_x, dim_y, np.zeros(dim_y)
        self._seed, self._device, self._compiled = seed, device, compiled
        self._prior = _as_batches("prior", prior, dim_x)
        self._simulator = _as_batches("simulator", simulator, dim_y)
        self._rows_that_worked = 0
        self._rows_that_raised = 0

    def simulate(self, first: int, count: int) -> tuple[NDArray[Any], int]:
        """See `Source`."""
        x = self._rows(np.arange(first, first + count))
        before = self._rows_that_raised
        return np.ascontiguousarray(self._tried(x).T), self._rows_that_raised - before

    def draw(self, number: Numbers) -> tuple[FloatArray, None]:
        """See `Source`."""
        return self._rows(number), None

    def _rows(self, number: Numbers) -> FloatArray:
        if self._compiled and len(number):
            from fastinv.kernels.rejection.numba_cpu import abc_users

            u = np.empty((len(number), self.dim_x))
            abc_users.uniforms_of(number, *split_seed(self._seed), u)
        else:
            u = abc_reference.uniforms(number, self.dim_x, self._seed)
        return _checked(self._prior(u), len(number), self.dim_x, "prior")

    def _tried(self, x: FloatArray) -> FloatArray:
        """Observations of a batch; where it raises, its halves are tried, down to single rows."""
        try:
            y = self._called(x)
        except (RowLengthError, NotCompilableError):
            raise
        except Exception as error:
            if len(x) == 1:
                self._rows_that_raised += 1
                if self._rows_that_raised >= HOPELESS and not self._rows_that_worked:
                    raise SimulatorError(
                        f"simulator raised {type(error).__name__} for each of the {HOPELESS} draws that "
                        f"it was tried on: {error}"
                    ) from error
                return np.full((1, self.dim_y), np.nan)
            half = len(x) // 2
            return np.concatenate([self._tried(x[:half]), self._tried(x[half:])])
        self._rows_that_worked += len(x)
        return _checked(y, len(x), self.dim_y, "simulator")

    def _called(self, x: FloatArray) -> Any:
        if self._device is None:
            return self._simulator(x)
        import torch

        with torch.no_grad():
            return self._simulator(torch.as_tensor(x, device=self._device))


def _as_batches(argument: str, function: Any, dim: int) -> Callable[[Any], Any]:
    if is_compiled(function):
        return _over_rows(argument, function, dim)
    if callable(function):
        call: Callable[[Any], Any] = function
        return call

    def coordinates(u: FloatArray) -> FloatArray:
        return np.stack([c.quantile(u[:, i]) for i, c in enumerate(function)], axis=1)

    return coordinates


def _over_rows(argument: str, function: Any, dim: int) -> Callable[[FloatArray], FloatArray]:
    from numba.core.errors import NumbaError

    from fastinv.kernels.rejection.numba_cpu import abc_users

    rows = abc_users.make_rows(function)

    def run(batch: FloatArray) -> FloatArray:
        out, failed = np.empty((dim, len(batch))), np.zeros(len(batch), dtype=bool)
        try:
            fits = rows(np.ascontiguousarray(batch.T), out, failed)
        except NumbaError as error:
            raise not_compilable(argument, error) from error
        if not fits:
            raise RowLengthError(f"{argument} must return {dim} numbers per row")
        out[:, failed] = np.nan
        return out.T

    return run


def _checked(rows: Any, count: int, dim: int, argument: str) -> FloatArray:
    if is_torch_tensor(rows):
        rows = rows.detach().cpu().numpy()
    try:
        result = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{argument} must return an array of shape ({count}, {dim}) for {count} rows, "
            f"got {type(rows).__name__}"
        ) from error
    if result.shape == (count,) and dim == 1:
        result = result[:, None]
    if result.shape != (count, dim):
        raise ValueError(
            f"{argument} must return shape ({count}, {dim}) for {count} rows, got {result.shape}"
        )
    return result
