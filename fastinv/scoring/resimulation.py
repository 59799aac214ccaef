"""Err_resim: do posterior samples reproduce the observation when sent through the forward process?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.problems import Problem

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ResimulationErrors:
    """Per-observation result of `resimulation_errors`.

    Attributes:
        error: mean squared distance to y* over the samples that have an image, shape (B,); NaN if none has.
        lost: share of samples without an image (a throw that never lands), shape (B,).
    """

    error: FloatArray
    lost: FloatArray


def resimulation_errors(problem: Problem, y_star: FloatArray, samples: FloatArray) -> ResimulationErrors:
    """Mean of ||f(x) - y*||^2 over each observation's samples (equation 11).

    The forward process answers NaN for an x that it maps nowhere. Such samples are left out of the mean
    and reported as a share, so that neither hides the other.

    Args:
        problem: supplies f.
        y_star: observations, shape (B, d_y).
        samples: shape (B, n, d_x), finite.

    Returns:
        Errors in squared units of y and the share of lost samples, each of shape (B,).

    Raises:
        ValueError: shapes that do not belong together.
    """
    expected = (len(y_star), problem.dim_x)
    if samples.ndim != 3 or (samples.shape[0], samples.shape[2]) != expected:
        raise ValueError(f"samples must have shape ({expected[0]}, n, {expected[1]}), got {samples.shape}")
    images = problem.simulate(np.asarray(samples, dtype=np.float64))
    squared = ((images - y_star[:, None, :]) ** 2).sum(-1)
    landed = np.isfinite(squared)
    counts = landed.sum(axis=1)
    total = np.where(landed, squared, 0.0).sum(axis=1)
    error = np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
    return ResimulationErrors(error=error, lost=1.0 - counts / samples.shape[1])
