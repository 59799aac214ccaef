"""Summaries of per-observation scores: mean, median, quartiles and a bootstrap interval of the mean."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

LEVEL = 0.95
RESAMPLES = 2000
BOOTSTRAP_SEED = 20210303
_BLOCK = 200
# All scores of a run share their resampling weights; beyond this size keeping them takes too much memory.
_CACHED_UP_TO = 4096


@dataclass(frozen=True)
class Summary:
    """What a table shows of one score.

    Attributes:
        mean: mean over the observations that have a finite score, NaN where none has.
        median: their median.
        low: lower end of the 95% interval of the mean, NaN for fewer than two observations.
        high: upper end of that interval.
        q25: lower quartile.
        q75: upper quartile.
        count: number of observations with a finite score.
    """

    mean: float
    median: float
    low: float
    high: float
    q25: float
    q75: float
    count: int


def summarise(scores: ArrayLike) -> Summary:
    """Summarise scores of one model, one value per observation.

    Args:
        scores: shape (B,), or (S, B) for S training seeds scored on the same observations. With several seeds
            the interval covers both sources of variation: seeds and observations are resampled independently.

    Returns:
        The summary; non-finite scores are left out and show in its `count`.

    Raises:
        ValueError: not a vector or matrix.

    Examples:
        >>> s = summarise([1.0, 2.0, 3.0, 4.0])
        >>> s.mean, s.median, s.count
        (2.5, 2.5, 4)
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim not in (1, 2):
        raise ValueError(f"scores must have shape (B,) or (S, B), got {values.shape}")
    finite = values[np.isfinite(values)]
    if not len(finite):
        nan = math.nan
        return Summary(nan, nan, nan, nan, nan, nan, count=0)
    several_seeds = values.ndim == 2 and len(values) > 1
    low, high = _crossed_interval(values) if several_seeds else bca_interval(finite)
    q25, median, q75 = np.quantile(finite, [0.25, 0.5, 0.75])
    return Summary(float(finite.mean()), float(median), low, high, float(q25), float(q75), len(finite))


def bca_interval(values: ArrayLike) -> tuple[float, float]:
    """95% bootstrap interval of the mean: bias-corrected and accelerated, 2000 resamples, fixed seed.

    The correction matters here: scores over observations are skewed, and a plain percentile interval
    is then too short on the far side.

    Args:
        values: finite, shape (B,).

    Returns:
        (low, high); NaN for fewer than two values.

    Source: Efron (1987), *Better bootstrap confidence intervals*, JASA 82.
    """
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return math.nan, math.nan
    # The cubes of hopeless scores would overflow. Scaling by a power of two changes no other digit.
    scale = 2.0 ** (math.frexp(float(np.abs(sample).max()))[1] - 1)
    sample = sample / scale
    mean = sample.mean()
    deviation = sample - mean
    spread = float((deviation**2).sum())
    if spread == 0.0:
        return float(mean) * scale, float(mean) * scale
    means = np.concatenate([weights @ sample for weights in _weight_blocks(len(sample))])
    normal = NormalDist()
    below = ((means < mean).sum() + 0.5 * (means == mean).sum()) / len(means)
    bias = normal.inv_cdf(float(np.clip(below, 1 / len(means), 1 - 1 / len(means))))
    acceleration = float((deviation**3).sum()) / (6.0 * spread**1.5)
    probabilities = []
    for tail in ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0):
        z = bias + normal.inv_cdf(tail)
        probabilities.append(normal.cdf(bias + z / (1.0 - acceleration * z)))
    low, high = np.quantile(means, probabilities) * scale
    return float(low), float(high)


def clamp_outliers(scores: ArrayLike) -> FloatArray:
    """Pull scores above the upper Tukey fence, Q3 + 1.5 (Q3 - Q1), down to it.

    Args:
        scores: shape (B,) or (S, B); the fence of each row is its own. NaN stays NaN.

    Examples:
        >>> clamp_outliers([1.0, 2.0, 3.0, 4.0, 1000.0]).tolist()
        [1.0, 2.0, 3.0, 4.0, 7.0]
    """
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).any():
        return values
    q25, q75 = np.nanquantile(values, [0.25, 0.75], axis=-1, keepdims=True)
    clamped: FloatArray = np.minimum(values, q75 + 1.5 * (q75 - q25))
    return clamped


def _crossed_interval(values: FloatArray) -> tuple[float, float]:
    """Percentile interval of the mean of (S, B) scores, resampling seeds and observations independently."""
    finite = np.isfinite(values)
    filled = np.where(finite, values, 0.0)
    seeds, observations = values.shape
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    means = []
    for weights in _weight_blocks(observations):
        rows = rng.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=len(weights))
        total = np.einsum("rs,rs->r", rows, weights @ filled.T)
        count = np.einsum("rs,rs->r", rows, weights @ finite.T.astype(np.float64))
        means.append(total / np.where(count > 0, count, np.nan))
    low, high = np.nanquantile(np.concatenate(means), [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    return float(low), float(high)


def _weight_blocks(n: int) -> Iterator[FloatArray]:
    """The resampling weights (how often each of n values is drawn, over n), a block of rows at a time."""
    make = _cached_weights if n <= _CACHED_UP_TO else _weights
    for block in range(RESAMPLES // _BLOCK):
        yield make(n, block)


def _weights(n: int, block: int) -> FloatArray:
    rng = np.random.default_rng([BOOTSTRAP_SEED, n, block])
    return np.asarray(rng.multinomial(n, np.full(n, 1.0 / n), size=_BLOCK) / n, dtype=np.float64)


_cached_weights = lru_cache(maxsize=2 * RESAMPLES // _BLOCK)(_weights)
