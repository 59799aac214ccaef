"""What a problem is: a prior over hidden parameters x and a forward process y = f(x).

Readers from simulation-based inference: x is their theta and y is their x.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastinv.kernels.random import Purpose, philox4x32, split_seed, uniform53

if TYPE_CHECKING:
    import torch

Kind = Literal["real", "angle", "count"]
# Problems that `fastinv.kernels.abc` has a compiled loop for.
FusedSimulator = Literal["kinematics", "ballistics"]
FloatArray = NDArray[np.float64]
# A forward process answers in the array type that it was asked in.
Array = TypeVar("Array", NDArray[Any], "torch.Tensor")

OBSERVATION_SEED = 2021
MAX_ATTEMPTS = 10_000


@dataclass(frozen=True)
class Coordinate:
    """One coordinate of x or y.

    Attributes:
        name: short name, as printed on axes and in tables.
        unit: unit symbol, empty if dimensionless.
        kind: "real", "angle" (radians) or "count" (a non-negative integer stored as a float).
    """

    name: str
    unit: str = ""
    kind: Kind = "real"


class NoPosteriorError(ValueError):
    """No x under the prior explains an observation; the message names its index."""


class Problem(ABC):
    """Prior, forward process and, where it is known exactly, posterior of an inverse problem.

    Subclasses set `name`, `title`, `parameters` and `observed`, and implement `_prior_from_uniforms`,
    `log_prior` and `simulate`. Everything else has a default.
    """

    name: str
    title: str
    parameters: tuple[Coordinate, ...]
    observed: tuple[Coordinate, ...]
    has_exact_posterior: bool = False
    # None where ABC calls `simulate` in batches; so must a subclass that changes prior or simulator.
    fused_simulator: FusedSimulator | None = None

    @property
    def dim_x(self) -> int:
        """Number of hidden parameters."""
        return len(self.parameters)

    @property
    def dim_y(self) -> int:
        """Number of observed values."""
        return len(self.observed)

    @property
    def count_index(self) -> int | None:
        """Index of the parameter that is a count, None where all are continuous."""
        counts = [i for i, p in enumerate(self.parameters) if p.kind == "count"]
        return counts[0] if counts else None

    @abstractmethod
    def _prior_from_uniforms(self, u: FloatArray) -> FloatArray:
        """Map uniforms in (0, 1), shape (n, d_x), to prior draws, shape (n, d_x)."""

    @abstractmethod
    def log_prior(self, x: Array) -> Array:
        """Log-density of the prior (log-mass in counts).

        Args:
            x: parameters, shape (..., d_x), NumPy or torch.

        Returns:
            Shape (...), -inf outside the support.
        """

    @abstractmethod
    def simulate(self, x: Array) -> Array:
        """The forward process y = f(x).

        Args:
            x: parameters, shape (..., d_x), NumPy or torch, float32 or float64, any device.

        Returns:
            Observations, shape (..., d_y), same type, dtype and device.
        """

    def _in_prior(self, x: FloatArray) -> NDArray[np.bool_]:
        """Which drawn rows belong to the prior; the others are drawn again."""
        return np.ones(len(x), dtype=bool)

    def sample_prior(self, n: int, seed: int = 0) -> FloatArray:
        """Draw from the prior.

        Row i depends on (seed, i) alone, so a shorter call returns a prefix of a longer one.

        Args:
            n: number of draws, at least 1.
            seed: integer in [0, 2**64).

        Returns:
            float64 array of shape (n, d_x).

        Raises:
            ValueError: n < 1 or an invalid seed.
        """
        check_count("n", n)
        x = np.empty((n, self.dim_x))
        pending = np.arange(n)
        for attempt in range(MAX_ATTEMPTS):
            drawn = self._prior_from_uniforms(_uniforms(seed, attempt, pending, self.dim_x))
            keep = self._in_prior(drawn)
            x[pending[keep]] = drawn[keep]
            pending = pending[~keep]
            if not len(pending):
                return x
        raise RuntimeError(f"the prior of {self.name!r} rejected slot {pending[0]} {MAX_ATTEMPTS} times")

    def observations(self, n: int = 1000) -> FloatArray:
        """The benchmark's observations y*: prior draws of a fixed seed through the forward process.

        Args:
            n: how many; the first n of one endless list.

        Returns:
            float64 array of shape (n, d_y).
        """
        return self.simulate(self.sample_prior(n, seed=OBSERVATION_SEED))

    def check_observations(self, y_star: ArrayLike) -> FloatArray:
        """Validate observations for conditioning.

        Args:
            y_star: shape (B, d_y), or (d_y,) for a single one.

        Returns:
            float64 array of shape (B, d_y).

        Raises:
            TypeError: something other than real numbers, or rows of different lengths.
            ValueError: wrong shape or a non-finite value; the message names the first bad index.
            NoPosteriorError: an observation that no x explains.
        """
        try:
            y = np.atleast_2d(np.asarray(y_star, dtype=np.float64))
        except (TypeError, ValueError) as error:
            raise TypeError(f"y_star must be an array of real numbers: {error}") from error
        if y.ndim != 2 or y.shape[1] != self.dim_y:
            raise ValueError(
                f"y_star must have shape (B, {self.dim_y}) or ({self.dim_y},) for problem {self.name!r}, "
                f"got {np.shape(y_star)}"
            )
        bad = np.flatnonzero(~np.isfinite(y).all(axis=1))
        if len(bad):
            raise ValueError(f"y_star must be finite; observation {bad[0]} is {y[bad[0]].tolist()}")
        return y

    def sample_posterior(
        self,
        y_star: ArrayLike,
        n: int,
        seed: int = 0,
        *,
        backend: str = "auto",
        tolerance: float | None = None,
    ) -> FloatArray:
        """Samples of p(x | y*): exact where the problem offers them (`has_exact_posterior`).

        Args:
            y_star: observations, shape (B, d_y) or (d_y,).
            n: samples per observation.
            seed: integer in [0, 2**64); exact sample (i, j) depends on (seed, i, j) and y*_i alone.
            backend: "auto" or one of `fastinv.kernels.available_backends()`.
            tolerance: None for exact samples; otherwise those of tolerance ABC, ||f(x) - y*|| < tolerance,
                which any problem has. `fastinv.kernels.abc` has more options.

        Returns:
            float64 array of shape (B, n, d_x).

        Raises:
            NoPosteriorError: an observation that no x explains; the message names it.
            ValueError: observations of the wrong shape or not finite, n < 1, or an invalid tolerance.
            NotImplementedError: the problem has no exact sampler and no tolerance is given.
            ABCShortfallError: too few simulations within the tolerance; the message says what it would take.
        """
        check_count("n", n)
        if tolerance is not None:
            from fastinv.problems.abc import abc_posterior

            y = self.check_observations(y_star)
            return abc_posterior(self, y, n, tolerance=tolerance, seed=seed, backend=backend).x
        if not self.has_exact_posterior:
            raise NotImplementedError(
                f"{self.name!r} has no exact posterior sampler; pass a tolerance for tolerance ABC"
            )
        return self._sample_exact_posterior(self.check_observations(y_star), n, seed, backend)

    def _sample_exact_posterior(self, y_star: FloatArray, n: int, seed: int, backend: str) -> FloatArray:
        """Samples for checked observations; problems with `has_exact_posterior` override this."""
        raise NotImplementedError(f"problem {self.name!r} claims an exact posterior and does not sample it")


def check_count(argument: str, value: int, minimum: int = 1) -> None:
    """Raise unless `value` is an integer of at least `minimum`; the message names the argument."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{argument} must be an integer, got {type(value).__name__}")
    if value < minimum:
        raise ValueError(f"{argument} must be at least {minimum}, got {value}")


def by_array_type(
    x: Any, on_numpy: Callable[[NDArray[Any]], Any], on_torch: Callable[[torch.Tensor], Any], dim: int
) -> Any:
    """Dispatch on NumPy or torch input of shape (..., dim) without importing torch for the former."""
    if type(x).__module__.partition(".")[0] == "torch":
        if not x.is_floating_point() or x.shape[-1:] != (dim,):
            raise ValueError(
                f"x must be floating point of shape (..., {dim}), got {x.dtype} {tuple(x.shape)}"
            )
        return on_torch(x)
    array = np.asarray(x)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.shape[-1:] != (dim,):
        raise ValueError(f"x must have shape (..., {dim}), got {array.shape}")
    return on_numpy(array)


def _uniforms(seed: int, attempt: int, slots: NDArray[np.intp], dim: int) -> FloatArray:
    """One row of `dim` uniforms with 52 bits per slot; the third counter word numbers the blocks."""
    blocks = np.arange((dim + 1) // 2)
    words = philox4x32(attempt, slots[:, None], blocks[None, :], Purpose.PRIOR, key=split_seed(seed))
    pairs = np.stack([uniform53(words[0], words[1]), uniform53(words[2], words[3])], axis=-1)
    return pairs.reshape(len(slots), -1)[:, :dim]
