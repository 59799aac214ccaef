"""What is said of a sample of times: quantiles and the confidence interval of the median."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, quantiles

NS_PER_MS = 1e6


def median_interval(ordered: Sequence[float], confidence: float) -> tuple[float, float]:
    """Confidence interval of the median that assumes nothing of the distribution.

    The ends are order statistics: the number of times below the true median is binomial with p = 1/2, here
    by its normal approximation.

    Args:
        ordered: times in rising order.
        confidence: level, between 0 and 1.

    Returns:
        Lower and upper end; infinite where there are too few times for that level.

    Examples:
        >>> median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], 0.95)
        (2.0, 9.0)
        >>> median_interval([1.0, 2.0], 0.95)
        (-inf, inf)
    """
    n = len(ordered)
    reach = NormalDist().inv_cdf(0.5 + confidence / 2) * math.sqrt(n) / 2
    rank = math.floor((n + 1) / 2 - reach)
    if rank < 1:
        return -math.inf, math.inf
    return ordered[rank - 1], ordered[n - rank]


def relative_half_width(times: Sequence[float], confidence: float) -> float:
    """Half the width of the median's confidence interval over the median; infinite for too few times."""
    ordered = sorted(times)
    low, high = median_interval(ordered, confidence)
    middle = ordered[len(ordered) // 2] if ordered else 0.0
    return (high - low) / (2 * middle) if middle > 0 else math.inf


def quartiles(times: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile."""
    low, middle, high = quantiles(times, n=4, method="inclusive")
    return low, middle, high


def percentile(times: Sequence[float], share: float) -> float:
    """The smallest time that at least `share` of all times do not exceed.

    Examples:
        >>> percentile([3.0, 1.0, 2.0], 0.99)
        3.0
    """
    ordered = sorted(times)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
