"""Err_post: the MMD between a model's samples and the true posterior's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels import mmd2_terms, self_term
from fastinv.kernels.mmd.terms import SelfTerm

FloatArray = NDArray[np.float64]

# The number of samples behind the published figures.
REFERENCE_SAMPLES = 4000

# Single precision changes a score by 1e-8, a thousandth of what one more sample does, in a quarter of the
# time. Beyond this magnitude its squared distances would overflow, and float64 takes over.
SINGLE_PRECISION_LIMIT = 1e15


@dataclass(frozen=True)
class PosteriorErrors:
    """Per-observation squared MMD between samples and ground truth, each of shape (B,).

    Attributes:
        biased: V-statistic; its floor depends on the number of samples.
        unbiased: U-statistic; its floor is 0 and single values may be negative.
        at_4000: expected V-statistic with 4000 samples on both sides, the figure to set beside the paper's.
    """

    biased: FloatArray
    unbiased: FloatArray
    at_4000: FloatArray


def posterior_errors(
    samples: FloatArray,
    truth: FloatArray,
    *,
    kernel: str = "paper",
    truth_self: SelfTerm | None = None,
    backend: str = "auto",
) -> PosteriorErrors:
    """Err_post of each observation (equation 10).

    Args:
        samples: the model's samples, shape (B, n, d_x), n >= 2, finite.
        truth: ground-truth samples, shape (B, m, d_x), m >= 2, finite.
        kernel: as in `fastinv.kernels.mmd2`.
        truth_self: `truth_self_term` of the truth, shared by all models.
        backend: as in `fastinv.kernels.mmd2`.

    Returns:
        The errors, float64.

    Raises:
        ValueError: NaN or infinity, shapes that do not belong together, fewer than two samples.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> truth, same, shifted = rng.normal(size=(3, 5, 200, 4))
        >>> far = posterior_errors(shifted + 1.0, truth).biased
        >>> bool(posterior_errors(same, truth).biased.max() < far.min())
        True
    """
    if np.abs(samples).max(initial=0.0) > SINGLE_PRECISION_LIMIT:
        terms = mmd2_terms(samples.astype(np.float64), truth, kernel=kernel, backend=backend)
    else:
        single, other = samples.astype(np.float32), truth.astype(np.float32)
        terms = mmd2_terms(single, other, kernel=kernel, y_self=truth_self, backend=backend)
    return PosteriorErrors(
        biased=np.asarray(terms.biased, dtype=np.float64),
        unbiased=np.asarray(terms.unbiased, dtype=np.float64),
        at_4000=np.asarray(terms.biased_at(REFERENCE_SAMPLES), dtype=np.float64),
    )


def truth_self_term(truth: FloatArray, kernel: str = "paper", backend: str = "auto") -> SelfTerm | None:
    """The ground truth's own term, or None for a kernel whose bandwidth depends on both samples.

    Args:
        truth: ground-truth samples, shape (B, m, d_x).
        kernel: as in `fastinv.kernels.mmd2`.
        backend: as in `fastinv.kernels.mmd2`.
    """
    return None if kernel == "median" else self_term(truth.astype(np.float32), kernel, backend=backend)
