"""From the numbers of kept simulations to samples: drawn in float64, in blocks of observations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.rejection.abc_search import Targets
from fastinv.kernels.rejection.abc_sources import Source

FloatArray = NDArray[np.float64]
Numbers = NDArray[np.int64]

# Simulations drawn by one task: a few megabytes, and milliseconds of a built-in problem.
DRAWS_PER_TASK = 1 << 15


class Settled(NamedTuple):
    """What was accepted, NaN (numbers: 0) from row `accepted` on.

    Attributes:
        x: shape (B, n, d_x).
        number: shape (B, n).
        distance: shape (B, n).
        accepted: shape (B,).
    """

    x: FloatArray
    number: Numbers
    distance: FloatArray
    accepted: Numbers


def settle(
    source: Source,
    targets: Targets,
    number: Numbers,
    distance: FloatArray,
    found: Numbers,
    n: int,
    *,
    nearest: bool,
    pool: ThreadPoolExecutor | None,
) -> Settled:
    """Draw the kept simulations and take n of each observation.

    Args:
        source: of simulations.
        targets: the observations.
        number: of the kept simulations, in proposal order, shape (B, capacity >= n).
        distance: as searched, shape (B, capacity).
        found: how many are kept, shape (B,).
        n: how many are wanted.
        nearest: take the nearest by exact distance, ties in proposal order; else the first.
        pool: of threads, None to stay in this one.
    """
    batch, capacity = number.shape
    result = Settled(
        np.full((batch, n, source.dim_x), np.nan),
        np.zeros((batch, n), dtype=np.int64),
        np.full((batch, n), np.nan),
        np.minimum(found, n),
    )
    step = max(1, DRAWS_PER_TASK // capacity)

    def one_block(start: int) -> None:
        rows = slice(start, start + step)
        kept = np.arange(capacity) < found[rows, None]
        near, place = np.full(kept.shape, np.inf), np.zeros(kept.shape, dtype=np.int64)
        x, near[kept] = _drawn(source, targets, number[rows][kept], distance[rows][kept], start, kept)
        place[kept] = np.arange(len(x))
        if nearest:
            # Stable: numbers ascend, so that ties go to the earliest.
            order = np.argsort(near, axis=1, kind="stable")[:, :n]
        else:
            order = np.broadcast_to(np.arange(n), (len(kept), n))
        taken = np.take_along_axis(kept, order, axis=1)
        result.x[rows][taken] = x[np.take_along_axis(place, order, axis=1)[taken]]
        result.number[rows][taken] = np.take_along_axis(number[rows], order, axis=1)[taken]
        result.distance[rows][taken] = np.take_along_axis(near, order, axis=1)[taken]

    for _ in in_order(pool, one_block, range(0, batch, step)):
        pass
    return result


def _drawn(
    source: Source,
    targets: Targets,
    number: Numbers,
    distance: FloatArray,
    start: int,
    kept: NDArray[np.bool_],
) -> tuple[FloatArray, FloatArray]:
    """Parameters, and distances from observations in float64 where the source has them."""
    x, y = source.draw(number)
    if y is not None:
        distance = targets.distance(y, start + np.nonzero(kept)[0])
    return x, distance


def in_order(
    pool: ThreadPoolExecutor | None, work: Callable[[Any], Any], items: Iterable[Any]
) -> Iterator[Any]:
    """Results in the order of the items; on an interrupt what has not begun is dropped."""
    if pool is None:
        yield from map(work, items)
        return
    futures = [pool.submit(work, item) for item in items]
    try:
        for future in futures:
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
