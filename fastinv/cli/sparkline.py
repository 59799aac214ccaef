"""A curve in one line of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

UNICODE, ASCII = "▁▂▃▄▅▆▇█", "_.-=+*#"


def sparkline(values: Sequence[float], width: int, levels: str = UNICODE) -> str:
    """Values as a line of signs, the latest at the right, each sign the mean of its share of them.

    Args:
        values: not finite ones are left out.
        width: signs at most.
        levels: signs from low to high.

    Examples:
        >>> sparkline([8.0, 4.0, 2.0, 1.0], 4, ASCII)
        '#=._'
    """
    finite = [v for v in values if math.isfinite(v)]
    n = min(width, len(finite))
    if n < 2:
        return ""
    edges = [i * len(finite) // n for i in range(n + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in pairwise(edges)]
    # The first losses may be so high that all others would look alike.
    low, high = min(means), sorted(means)[-1 if n <= 8 else -2]
    span = high - low
    if span <= 0.0:
        return levels[0] * n
    top = len(levels) - 1
    return "".join(levels[min(top, round((v - low) / span * top))] for v in means)
