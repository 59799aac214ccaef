# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Chains over height and angle of the throw; the start is solved and the count is summed out.

With x1 = y - h(x2, x3, x4) the posterior of (x2, x3) has the density p(x2, x3) L(x2, x3), where
L = sum over x4 of p(x4) p(x1). When a state is kept, its count is drawn from the terms of that sum (Gibbs).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from fastinv.kernels.mcmc.numba_cpu.stream import normal_pair, step_size, words_of_step
from fastinv.kernels.random.numba_cpu import philox, uniform
from fastinv.kernels.random.philox import Purpose
from fastinv.kernels.rejection.ballistics_reference import COUNTS_PER_METRE, FEWEST_COUNTS
from fastinv.kernels.rejection.numba_cpu.ballistics import Target, log_prior, reach

_MCMC = int(Purpose.MCMC)
# Steps that draw height and angle afresh from the prior; the others walk.
FRESH_SHARE = 0.4
# Counts whose term is this far below the largest, as a logarithm, have no share of 1e-12.
NEGLIGIBLE = 30.0
# Above every step's counter.
KEPT = 1 << 31


@numba.njit
def count_limit(y):
    """Counts from here on have no measurable posterior mass."""
    return FEWEST_COUNTS + int(COUNTS_PER_METRE * abs(y)) + 1


@numba.njit
def _log_term(x2, x3, count, target):
    """log p(x4) + log p(x1) at a count, up to a constant; -inf where no throw lands."""
    distance = reach(x2, x3, float(count), target)
    if math.isnan(distance):
        return -np.inf
    return log_prior((target.y - distance) / target.x1_sigma, 0.0, float(count), target)


@numba.njit
def count_terms(x2, x3, guess, target, terms):
    """Log of the terms that matter into `terms`, -inf elsewhere; returns (first, last + 1, largest).

    A throw goes the farther the faster it is, so that the terms rise to one peak and fall: from `guess`, both
    directions are followed as long as terms matter.
    """
    limit = len(terms)
    largest = _log_term(x2, x3, guess, target)
    # Slow throws from below the ground never land.
    while largest == -np.inf and guess + 1 < limit:
        guess += 1
        largest = _log_term(x2, x3, guess, target)
    terms[guess] = largest
    first, last = guess, guess + 1
    while last < limit:
        terms[last] = _log_term(x2, x3, last, target)
        largest = max(largest, terms[last])
        last += 1
        if not terms[last - 1] > largest - NEGLIGIBLE:
            break
    while first > 0:
        first -= 1
        terms[first] = _log_term(x2, x3, first, target)
        largest = max(largest, terms[first])
        if not terms[first] > largest - NEGLIGIBLE:
            break
    return first, last, largest


@numba.njit
def _log_sum(terms, first, last, largest):
    if largest == -np.inf:
        return largest
    total = 0.0
    for count in range(first, last):
        total += math.exp(terms[count] - largest)
    return largest + math.log(total)


@numba.njit
def _pick(terms, first, last, largest, u):
    """A count with probability proportional to its term."""
    remaining = u * math.exp(_log_sum(terms, first, last, largest) - largest)
    for count in range(first, last):
        remaining -= math.exp(terms[count] - largest)
        if remaining < 0.0:
            return count
    return last - 1


@numba.njit
def _propose(x2, x3, target, words):
    """Height and angle: fresh from the prior or a symmetric walk; then the log of what their prior adds."""
    first, second = normal_pair(words[0], words[1])
    span = target.angle_max - target.angle_min
    if uniform(words[3]) < FRESH_SHARE:
        return target.x2_mean + target.x2_sigma * first, target.angle_min + span * uniform(words[4]), 0.0
    scale = step_size(words[2])
    new2, new3 = x2 + scale * target.x2_sigma * first, x3 + scale * span * second
    if new3 < target.angle_min or new3 > target.angle_max:
        return new2, new3, -np.inf
    before, after = (x2 - target.x2_mean) / target.x2_sigma, (new2 - target.x2_mean) / target.x2_sigma
    return new2, new3, 0.5 * (before * before - after * after)


@numba.njit
def _chain(target, chain, chains, observation, k0, k1, warmup, thin, out):
    """One chain, kept draws into out (m, 4); returns the share of accepted steps."""
    terms = np.empty(count_limit(target.y))
    x2 = target.x2_mean
    # Every chain starts at an angle of its own.
    x3 = target.angle_min + (target.angle_max - target.angle_min) * (chain + 0.5) / chains
    first, last, largest = count_terms(x2, x3, 0, target, terms)
    log_p = _log_sum(terms, first, last, largest)
    guess = _pick(terms, first, last, largest, 0.5)
    accepted = 0
    steps = warmup + thin * len(out)
    for step in range(steps):
        words = words_of_step(step, chain, observation, k0, k1)
        new2, new3, log_ratio = _propose(x2, x3, target, words)
        if log_ratio > -np.inf:
            first, last, largest = count_terms(new2, new3, guess, target, terms)
            log_q = _log_sum(terms, first, last, largest)
            if math.log(uniform(words[7])) < log_q - log_p + log_ratio:
                x2, x3, log_p = new2, new3, log_q
                guess = _pick(terms, first, last, largest, 0.5)
                accepted += 1
        if step >= warmup and (step - warmup + 1) % thin == 0:
            kept = (step - warmup) // thin
            w0, _, _, _ = philox(KEPT + kept, chain, observation, _MCMC, k0, k1)
            first, last, largest = count_terms(x2, x3, guess, target, terms)
            x4 = float(_pick(terms, first, last, largest, uniform(w0)))
            out[kept, 0] = target.y - reach(x2, x3, x4, target)
            out[kept, 1], out[kept, 2], out[kept, 3] = x2, x3, x4
    return accepted / steps


@numba.njit(parallel=True, cache=True)
def run_chains(y, throw, first_observation, k0, k1, warmup, thin, draws, accepted):
    """All chains of all observations.

    Args:
        y: shape (B, 1).
        throw: the nine constants of the reference's Throw.
        first_observation: index of y[0] in the random stream.
        k0: low word of the seed.
        k1: high word of the seed.
        warmup: steps dropped.
        thin: steps per draw.
        draws: output, shape (B, chains, m, 4).
        accepted: output, share of accepted steps, shape (B, chains).
    """
    batch, chains = accepted.shape
    for pair in numba.prange(batch * chains):
        i, chain = pair // chains, pair % chains
        target = Target(
            y[i, 0],
            throw[0] * throw[2],
            throw[1],
            throw[2] / throw[1],
            throw[3],
            throw[4],
            throw[5],
            throw[6],
            throw[7],
            throw[8],
        )
        accepted[i, chain] = _chain(
            target, chain, chains, first_observation + i, k0, k1, warmup, thin, draws[i, chain]
        )
