"""The parts of an MMD: what one pass over the data yields, and self terms kept for later calls."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastinv.kernels.backends import is_torch_tensor
from fastinv.kernels.mmd.kernel_functions import Kernel

Weights = tuple[float, float, float]


@dataclass(frozen=True)
class MMDTerms:
    """Mean kernel values of one pass, from which every estimate of MMD^2 follows.

    Attributes:
        k0: k(0).
        n: number of samples in x.
        m: number of samples in y.
        xx: mean of k over the pairs i != j of x, float64, shape (B,) or scalar; 0 if n = 1.
        yy: mean of k over the pairs i != j of y, likewise; 0 if m = 1.
        xy: mean of k over all pairs of x and y.
    """

    k0: float
    n: int
    m: int
    xx: Any
    yy: Any
    xy: Any

    @property
    def unbiased(self) -> Any:
        """Unbiased estimate (U-statistic) U = xx + yy - 2 xy; may be negative.

        Raises:
            ValueError: if x or y has a single sample.
        """
        check_unbiased(self.n, self.m)
        return self.xx + self.yy - 2.0 * self.xy

    @property
    def biased(self) -> Any:
        """Biased estimate (V-statistic), all pairs counted, i = j included."""
        (wx, wy, wxy), constant = estimate_weights(self.n, self.m, self.k0, unbiased=False)
        return wx * self.xx + wy * self.yy + wxy * self.xy + constant

    def biased_at(self, samples: int) -> Any:
        """Expected biased estimate at another number of samples in both x and y.

        E[V_N] = U + (k(0) - k_xx) / N + (k(0) - k_yy) / N makes scores of different sample sizes comparable.

        Args:
            samples: the number N, at least 1.

        Raises:
            ValueError: for samples < 1, or if x or y has a single sample.
        """
        if samples < 1:
            raise ValueError(f"samples must be at least 1, got {samples}")
        return self.unbiased + (self.k0 - self.xx) / samples + (self.k0 - self.yy) / samples


def check_unbiased(n: int, m: int) -> None:
    """Raise ValueError if a sample is too small for the unbiased estimate."""
    for name, size in (("x", n), ("y", m)):
        if size < 2:
            raise ValueError(f"{name} has {size} sample; the unbiased estimate needs at least 2")


def estimate_weights(n: int, m: int, k0: float, *, unbiased: bool) -> tuple[Weights, float]:
    """Weights of (xx, yy, xy) and the constant whose sum is the estimate of MMD^2."""
    if unbiased:
        return (1.0, 1.0, -2.0), 0.0
    return ((n - 1) / n, (m - 1) / m, -2.0), k0 / n + k0 / m


def _fingerprint(sample: Any) -> tuple[object, ...]:
    """What identifies the data of a sample; on CUDA its memory, since reading it would synchronise."""
    if is_torch_tensor(sample):
        if sample.device.type == "cuda":
            return (sample.data_ptr(), sample._version, str(sample.device), sample.stride())
        sample = sample.detach().numpy()
    return (hashlib.blake2b(np.ascontiguousarray(sample).data, digest_size=16).hexdigest(),)


@dataclass(frozen=True)
class SelfTerm:
    """A sample's own term, kept so that ground truth scored against many models computes it once.

    Made by `self_term`. It remembers its kernel and its data, and calls that pass it with others fail.

    Attributes:
        mean: mean of k over the pairs i != j, float64, shape (B,).
        kernel: the kernel it was computed with.
        shape: shape of the sample, (n, d) or (B, n, d).
        dtype: dtype of the sample.
        fingerprint: identity of the data.
    """

    mean: Any
    kernel: Kernel
    shape: tuple[int, ...]
    dtype: str
    fingerprint: tuple[object, ...]

    @classmethod
    def of(cls, sample: Any, mean: Any, kernel: Kernel) -> SelfTerm:
        """Self term of a validated sample."""
        return cls(mean, kernel, tuple(sample.shape), str(sample.dtype), _fingerprint(sample))

    def check(self, sample: Any, kernel: Kernel, name: str) -> None:
        """Raise ValueError unless this is the self term of the sample under the kernel."""
        argument = f"{name}_self"
        if self.kernel != kernel:
            raise ValueError(f"{argument} was computed with {self.kernel}, but this call uses {kernel}")
        if self.shape != tuple(sample.shape):
            raise ValueError(
                f"{argument} belongs to a sample of shape {self.shape}, {name} has {tuple(sample.shape)}"
            )
        if self.dtype != str(sample.dtype):
            raise ValueError(f"{argument} belongs to a {self.dtype} sample, {name} has {sample.dtype}")
        if self.fingerprint != _fingerprint(sample):
            raise ValueError(f"{argument} belongs to other data than {name}, though of the same shape")
