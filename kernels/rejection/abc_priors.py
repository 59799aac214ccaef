"""Independent prior coordinates, for simulators that bring no prior function of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(f"prior: {message}")


@dataclass(frozen=True)
class Normal:
    """A Gaussian coordinate."""

    mean: float
    sigma: float

    def __post_init__(self) -> None:
        _require(math.isfinite(self.mean), f"Normal's mean must be finite, got {self.mean}")
        _require(0.0 < self.sigma < math.inf, f"Normal's sigma must be positive, got {self.sigma}")

    def quantile(self, u: FloatArray) -> FloatArray:
        """Inverse of the distribution function."""
        from scipy.special import ndtri

        return np.asarray(self.mean + self.sigma * ndtri(u))


@dataclass(frozen=True)
class Uniform:
    """A coordinate uniform on (low, high)."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.low) and self.low < self.high < math.inf,
            f"Uniform needs finite low < high, got ({self.low}, {self.high})",
        )

    def quantile(self, u: FloatArray) -> FloatArray:
        """Inverse of the distribution function."""
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class Poisson:
    """A count with the given mean."""

    rate: float

    def __post_init__(self) -> None:
        _require(0.0 < self.rate <= 1e6, f"Poisson's rate must be in (0, 1e6], got {self.rate}")

    def quantile(self, u: FloatArray) -> FloatArray:
        """Smallest count whose distribution function reaches u."""
        return np.searchsorted(self.cumulative(), u).astype(np.float64)

    def cumulative(self) -> FloatArray:
        """Distribution function at 0, 1, ..., up to where float64 calls it 1."""
        from scipy.special import pdtr

        top = int(self.rate + 12.0 * math.sqrt(self.rate) + 40.0)
        table = np.asarray(pdtr(np.arange(top, dtype=np.float64), self.rate))
        table[-1] = 1.0
        return table


Coordinates = Sequence[Normal | Uniform | Poisson]
