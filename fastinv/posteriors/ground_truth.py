"""Samples of the true posterior for a benchmark's observations."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import fastinv
from fastinv.posteriors import cache
from fastinv.posteriors.abc import PRIOR_DRAWS, nearest_neighbour_abc
from fastinv.problems import Problem

FloatArray = NDArray[np.float64]
OnProgress = Callable[[int, int], None]

# Small enough for a calm progress bar and a prompt answer to Ctrl-C, large enough to keep all cores busy.
CHUNK = 50
# ABC keeps one draw in 2000, within bounds that matter for very few and very many samples.
DRAWS_PER_SAMPLE, MIN_PRIOR_DRAWS = 2000, 100_000
# A cached file is believed if this corner of it, drawn again, comes out the same.
_PROBE = 4


def ground_truth(
    problem: Problem,
    y_star: FloatArray,
    n: int,
    seed: int,
    *,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> FloatArray:
    """Samples of p(x | y*) that a model's samples are scored against, from the cache where it has them.

    Observations are drawn in blocks of 50, block b with seed + b * 2**32. The cache file is named after all
    that the samples depend on and carries a checksum. Exact samples in it are compared with a few fresh ones,
    so that a changed sampler is noticed.

    Args:
        problem: an exact sampler is used where it has one, nearest-neighbour ABC otherwise.
        y_star: observations, shape (B, d_y).
        n: samples per observation.
        seed: integer in [0, 2**32).
        folder: cache folder; None draws afresh and keeps nothing.
        on_progress: called with (done, in all), in observations or in simulations.

    Returns:
        float64 array of shape (B, n, d_x).

    Raises:
        NoPosteriorError: an observation that no x explains.
        ValueError: invalid observations.
    """
    y_star = problem.check_observations(y_star)
    shape = (len(y_star), n, problem.dim_x)
    path = None
    if folder is not None:
        path = folder / "truth" / f"{problem.name}-{_key(y_star, n, seed)}.safetensors"
        cached = cache.load(path, shape)
        if cached is not None and _agrees(problem, y_star, n, seed, cached):
            return cached
    if problem.has_exact_posterior:
        samples = _draw_exactly(problem, y_star, n, seed, on_progress)
    else:
        draws = min(PRIOR_DRAWS, max(MIN_PRIOR_DRAWS, DRAWS_PER_SAMPLE * n))
        samples = nearest_neighbour_abc(problem, y_star, n, seed, prior_draws=draws, on_progress=on_progress)
    if path is not None:
        cache.save(path, samples)
    return samples


def _draw_exactly(
    problem: Problem, y_star: FloatArray, n: int, seed: int, on_progress: OnProgress | None
) -> FloatArray:
    samples = np.empty((len(y_star), n, problem.dim_x))
    for start in range(0, len(y_star), CHUNK):
        block = y_star[start : start + CHUNK]
        samples[start : start + CHUNK] = problem.sample_posterior(block, n, seed=block_seed(seed, start))
        if on_progress is not None:
            on_progress(min(start + CHUNK, len(y_star)), len(y_star))
    return samples


def block_seed(seed: int, start: int) -> int:
    """Seed of the block of observations that begins at index `start`."""
    return seed + ((start // CHUNK) << 32)


def _key(y_star: FloatArray, n: int, seed: int) -> str:
    digest = hashlib.sha256(repr((y_star.shape, n, seed, CHUNK, fastinv.__version__)).encode())
    digest.update(np.ascontiguousarray(y_star, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]


def _agrees(problem: Problem, y_star: FloatArray, n: int, seed: int, cached: FloatArray) -> bool:
    if not problem.has_exact_posterior:
        return True  # nothing cheap reproduces a part of it; the version in the file's name must do
    probe = problem.sample_posterior(y_star[:_PROBE], min(n, _PROBE), seed=seed)
    return bool(np.array_equal(probe, cached[:_PROBE, :_PROBE]))
