"""A piecewise constant envelope over cells, drawn from with 32-bit integer weights.

Both exact samplers reduce a posterior to a density g on a two-dimensional domain (times a finite set), cut
the domain into cells and bound g on each. Proposals pick a cell, then a point uniform in it, and are
accepted with probability g / bound.

Selecting cells with one 32-bit word would be wrong by 2**-32 for cells of tiny mass. So the weights are
integers that sum to 2**32, rounded UP from the cells' masses, and each cell's bound is raised to match its
weight: proposals then have exactly the probabilities that the acceptance step divides by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.random import Purpose, philox4x32, split_seed, uniform32

FloatArray = NDArray[np.float64]

TOTAL_WEIGHT = 2**32
# A cell heavier than this share of all the mass is split. Finer envelopes accept more and cost more to
# build; the share must not depend on the number of samples, or a shorter call would not be a prefix.
MAX_SHARE = 1.0 / 256.0
MAX_PASSES = 24
# Relative slack for rounding in the masses, far above float64 and far below anything measurable.
ROUNDING_SLACK = 1e-12
# An acceptance probability may exceed one by rounding; by more than this it is a wrong bound.
BOUND_TOLERANCE = 1e-6
MAX_ATTEMPTS = 100_000
# Code in place of a number of attempts, see `NoMassError`; -1 stands for BoundViolatedError, -2 for
# BudgetExceededError.
NO_MASS = -3

# (cell index, position along each axis in (0, 1)) -> (log-density, x)
Proposal = Callable[[NDArray[np.intp], FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
# (cells, tags) -> upper bounds of the log-density
LogBound = Callable[[FloatArray, NDArray[np.int64]], FloatArray]


class BudgetExceededError(RuntimeError):
    """A sampler used up its attempts; the message names the observation and what was accepted."""


class NoMassError(ValueError):
    """An observation whose posterior has no mass that float64 could tell from zero; the message names it."""

    def __init__(self, observation: int) -> None:
        super().__init__(
            f"y: no posterior for observation {observation}: its density is zero to float64 everywhere"
        )


class BoundViolatedError(RuntimeError):
    """A density exceeded its certified bound: the samples would be wrong, so none are returned."""


@dataclass(frozen=True)
class Envelope:
    """Cells ready to draw from.

    Attributes:
        cells: shape (k, 4): origin and signed width along the first axis, then along the second.
        tags: int64, shape (k,): what the cell means to its sampler.
        last: uint32, shape (k,): the largest selecting word that picks this cell; ascending, up to 2**32 - 1.
        log_bound: shape (k,): logarithm of the bound that acceptance divides by, after weights were rounded.
    """

    cells: FloatArray
    tags: NDArray[np.int64]
    last: NDArray[np.uint32]
    log_bound: FloatArray

    def pick(self, word: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Index of the cell that each 32-bit word selects."""
        return np.searchsorted(self.last, word, side="left")


def masses(cells: FloatArray, log_bound: FloatArray) -> tuple[FloatArray, float]:
    """Mass of each cell relative to exp(top), and top, the largest log-bound."""
    top = float(np.max(log_bound, initial=-np.inf))
    with np.errstate(invalid="ignore"):  # no bound above zero: masses are NaN, and nothing is heavy
        return np.exp(log_bound - top) * area(cells), top


def area(cells: FloatArray) -> FloatArray:
    """Area of each cell; a width of zero (a domain that shrank to a point) counts as one."""
    widths = np.abs(cells[:, [1, 3]])
    return np.asarray(np.prod(np.where(widths == 0.0, 1.0, widths), axis=1))


def build_envelope(cells: FloatArray, tags: NDArray[np.int64], log_bound: FloatArray) -> Envelope:
    """Turn cells and the logarithms of their bounds into integer weights; empty cells are dropped.

    Where the bounds have no mass the envelope has no cells.
    """
    kept = np.isfinite(log_bound)
    cells, tags, log_bound = cells[kept], tags[kept], log_bound[kept]
    mass, top = masses(cells, log_bound)
    total = mass.sum()
    if not 0.0 < total < np.inf:
        return Envelope(cells[:0], tags[:0], np.empty(0, dtype=np.uint32), log_bound[:0])
    available = TOTAL_WEIGHT - len(mass)
    weight = np.maximum(np.ceil(mass / total * available), 1.0)
    weight[-1] += TOTAL_WEIGHT - weight.sum()
    log_scale = top + np.log(total / available) + ROUNDING_SLACK
    last = np.cumsum(weight).astype(np.uint64) - np.uint64(1)
    return Envelope(cells, tags, last.astype(np.uint32), log_scale + np.log(weight) - np.log(area(cells)))


def split_cells(cells: FloatArray) -> FloatArray:
    """The four quarters of each cell, shape (4k, 4); the first k hold the cells' origins."""
    half = cells.copy()
    half[:, [1, 3]] *= 0.5
    children = np.tile(half, (4, 1))
    k = len(cells)
    children[k : 2 * k, 2] += half[:, 3]
    children[2 * k :, 0] += np.tile(half[:, 1], 2)
    children[3 * k :, 2] += half[:, 3]
    return children


def refined_envelope(
    cells: FloatArray, tags: NDArray[np.int64], log_bound: LogBound, singular_bit: int = 0
) -> Envelope:
    """Quarter heavy cells until there are none; only the quarter at the origin keeps the singular bit."""
    bound = log_bound(cells, tags)
    for _ in range(MAX_PASSES):
        mass, _top = masses(cells, bound)
        heavy = mass > MAX_SHARE * mass.sum()
        if not heavy.any():
            break
        children = split_cells(cells[heavy])
        child_tags = np.concatenate([tags[heavy], np.tile(tags[heavy] & ~singular_bit, 3)])
        cells = np.concatenate([cells[~heavy], children])
        tags = np.concatenate([tags[~heavy], child_tags])
        bound = np.concatenate([bound[~heavy], log_bound(children, child_tags)])
    return build_envelope(cells, tags, bound)


def reject(
    envelope: Envelope, propose: Proposal, n: int, dim: int, seed: int, observation: int
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Draw n points by rejection; slot j uses the stream (attempt, j, observation, POSTERIOR) alone.

    Returns:
        Points, shape (n, dim), and the number of attempts per slot, shape (n,).

    Raises:
        NoMassError: an envelope without cells.
        BoundViolatedError: a density above its bound.
        BudgetExceededError: a slot without a sample after MAX_ATTEMPTS attempts.
    """
    if not len(envelope.last):
        raise NoMassError(observation)
    x, attempts = np.empty((n, dim)), np.zeros(n, dtype=np.int64)
    pending = np.arange(n)
    for attempt in range(MAX_ATTEMPTS):
        w = philox4x32(attempt, pending, observation, Purpose.POSTERIOR, key=split_seed(seed))
        index = envelope.pick(w[0])
        log_g, drawn = propose(index, uniform32(w[1]), uniform32(w[2]))
        log_ratio = log_g - envelope.log_bound[index]
        if (log_ratio > BOUND_TOLERANCE).any():
            raise BoundViolatedError(f"observation {observation}: a density is above its bound")
        accepted = np.log(uniform32(w[3])) < log_ratio
        x[pending[accepted]] = drawn[accepted]
        attempts[pending] += 1
        pending = pending[~accepted]
        if not len(pending):
            return x, attempts
    raise BudgetExceededError(
        f"observation {observation}: {n - len(pending)} of {n} samples after {MAX_ATTEMPTS} attempts each"
    )
