"""Convergence of Markov chains: split R-hat and effective sample size.

Source: Gelman et al., *Bayesian Data Analysis*, 3rd edition, section 11.4-11.5; Geyer's initial monotone
sequence ends the sum over autocorrelations.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

# Halves of chains shorter than this say nothing.
MIN_HALF = 4


def r_hat_and_ess(draws: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Split R-hat and effective sample size of scalar quantities.

    Args:
        draws: shape (..., chains, m); each chain counts as two of length m // 2.

    Returns:
        R-hat and effective sample size, shape (...). A quantity that never moves anywhere has R-hat 1 and as
        many effective samples as draws; chains of fewer than 8 draws give NaN.
    """
    half = draws.shape[-1] // 2
    if half < MIN_HALF:
        nothing = np.full(draws.shape[:-2], np.nan)
        return nothing, nothing.copy()
    sequences = np.concatenate([draws[..., :half], draws[..., -half:]], axis=-2)
    within = sequences.var(axis=-1, ddof=1).mean(axis=-1)
    between = half * sequences.mean(axis=-1).var(axis=-1, ddof=1)
    pooled = (half - 1) / half * within + between / half
    # Differences of rounding are no movement.
    still = pooled <= 1e-24 * np.square(sequences).mean(axis=(-1, -2))
    total = float(sequences.shape[-2] * half)
    with np.errstate(divide="ignore", invalid="ignore"):
        r_hat = np.where(still, 1.0, np.sqrt(pooled / within))
        correlation = 1.0 - (within[..., None] - _autocovariance(sequences)) / pooled[..., None]
    ess = total / _integrated(np.where(still[..., None], 0.0, correlation))
    return r_hat, np.where(still, total, np.minimum(ess, total * np.log10(total)))


def _autocovariance(sequences: FloatArray) -> FloatArray:
    """Autocovariance per lag, averaged over the sequences: (..., s, m) -> (..., m)."""
    m = sequences.shape[-1]
    centred = sequences - sequences.mean(axis=-1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(centred, n=2 * m, axis=-1)) ** 2
    covariance = np.fft.irfft(spectrum.mean(axis=-2), n=2 * m, axis=-1)[..., :m]
    # The lag-0 value is the unbiased variance, as in the R-hat.
    return np.asarray(covariance / (m - 1))


def _integrated(correlation: FloatArray) -> FloatArray:
    """1 + 2 sum of autocorrelations, by the initial monotone sequence: (..., m) -> (...)."""
    m = correlation.shape[-1] // 2 * 2
    correlation = correlation.copy()
    correlation[..., 0] = 1.0
    pairs = correlation[..., 0:m:2] + correlation[..., 1:m:2]
    positive = np.minimum.accumulate((pairs > 0.0).astype(np.float64), axis=-1)
    monotone = np.minimum.accumulate(np.maximum(pairs, 0.0), axis=-1)
    return np.asarray(np.maximum(2.0 * (monotone * positive).sum(axis=-1) - 1.0, 1e-3))
