# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Random numbers of a chain's step: eight words of the stream (step, chain, observation)."""

from __future__ import annotations

import math

import numba

from fastinv.kernels.random.numba_cpu import philox, uniform
from fastinv.kernels.random.philox import Purpose

_MCMC = int(Purpose.MCMC)
# Random walks take steps of all sizes: nothing has to be tuned to an observation, and rare long steps
# cross between modes.
LARGEST_STEP, DECADES = 2.0, 2.5


@numba.njit(inline="always")
def words_of_step(step, chain, observation, k0, k1):
    """Eight words; `step` is below 2**30."""
    w0, w1, w2, w3 = philox(2 * step, chain, observation, _MCMC, k0, k1)
    w4, w5, w6, w7 = philox(2 * step + 1, chain, observation, _MCMC, k0, k1)
    return w0, w1, w2, w3, w4, w5, w6, w7


@numba.njit(inline="always")
def step_size(word):
    """Scale of a random-walk step, log-uniform."""
    return LARGEST_STEP * 10.0 ** (-DECADES * uniform(word))


@numba.njit(inline="always")
def normal_pair(first, second):
    """Two independent standard normals (Box-Muller)."""
    radius = math.sqrt(-2.0 * math.log(uniform(first)))
    angle = 2.0 * math.pi * uniform(second)
    return radius * math.cos(angle), radius * math.sin(angle)
