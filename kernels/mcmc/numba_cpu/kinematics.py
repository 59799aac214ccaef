# mypy: allow-untyped-defs, allow-untyped-decorators, allow-untyped-calls
"""Chains on the surface l1 cos a + l2 cos b + l3 cos c = y2 of the planar arm's absolute angles.

Dropping angle k and moving the other two, the posterior has the density p(x) / (l_k |sin k|) per area of the
two. It is unbounded where sin k = 0; steps that drop another angle are not aware of that, so mixing the three
keeps a chain from getting stuck. The prior is wrapped onto the circle, and the number of full turns of each
joint is drawn when a state is kept.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from fastinv.kernels.mcmc.numba_cpu.stream import normal_pair, step_size, words_of_step
from fastinv.kernels.numba_arrays import copy_into
from fastinv.kernels.random.numba_cpu import philox, uniform
from fastinv.kernels.random.philox import Purpose
from fastinv.kernels.rejection.numba_cpu.envelope import wrap
from fastinv.kernels.rejection.numba_cpu.kinematics import turns
from fastinv.kernels.rejection.numba_cpu.kinematics_envelope import Target, log_prior

_MCMC = int(Purpose.MCMC)
TWO_PI = 2.0 * math.pi
# Shares of the steps: mirror images, and solved angles that change sign.
MIRROR_SHARE, OTHER_SIGN_SHARE = 0.25, 0.25
# Above every step's counter.
KEPT = 1 << 31


@numba.njit(inline="always")
def log_density(a, b, c, target):
    """Log prior of the pose, the rail solved for y1, up to a constant."""
    x1 = target.y1 - target.l1 * math.sin(a) - target.l2 * math.sin(b) - target.l3 * math.sin(c)
    return log_prior(x1, wrap(a), wrap(b - a), wrap(c - b), target)


@numba.njit(inline="always")
def _log_sine(angle):
    return math.log(max(abs(math.sin(angle)), 1e-300))


@numba.njit
def _walk(angles, target, words):
    """Move two angles and solve the third; returns the log of the charts' ratio, -inf if infeasible."""
    dropped = int(uniform(words[0]) * 3.0)
    lengths = (target.l1, target.l2, target.l3)
    first, second = normal_pair(words[1], words[2])
    scale = step_size(words[3])
    i, j = (dropped + 1) % 3, (dropped + 2) % 3
    before = _log_sine(angles[dropped])
    sign = math.copysign(1.0, angles[dropped])
    angles[i] = wrap(angles[i] + scale * first)
    angles[j] = wrap(angles[j] + scale * second)
    rest = target.y2 - lengths[i] * math.cos(angles[i]) - lengths[j] * math.cos(angles[j])
    cosine = rest / lengths[dropped]
    if abs(cosine) > 1.0:
        return -np.inf
    if uniform(words[4]) < OTHER_SIGN_SHARE:
        sign = -sign
    angles[dropped] = sign * math.acos(cosine)
    return before - _log_sine(angles[dropped])


@numba.njit
def _mirror(angles, target, word):
    """Change the signs of some angles, and swap the inner links if they are equally long: y2 stays."""
    choice = int(uniform(word) * 16.0)
    for k in range(3):
        if (choice >> k) & 1:
            angles[k] = -angles[k]
    if choice & 8 and target.l1 == target.l2:
        angles[0], angles[1] = angles[1], angles[0]


@numba.njit
def _keep(angles, target, draw, chain, observation, k0, k1, out):
    """Write the pose as parameters, with full turns drawn from the prior and the rail solved last."""
    w0, w1, w2, _ = philox(KEPT + draw, chain, observation, _MCMC, k0, k1)
    x2, x3, x4 = wrap(angles[0]), wrap(angles[1] - angles[0]), wrap(angles[2] - angles[1])
    out[1] = x2 + TWO_PI * turns(x2, target.s2, w0)
    out[2] = x3 + TWO_PI * turns(x3, target.s3, w1)
    out[3] = x4 + TWO_PI * turns(x4, target.s4, w2)
    a, b, c = out[1], out[1] + out[2], out[1] + out[2] + out[3]
    out[0] = target.y1 - target.l1 * math.sin(a) - target.l2 * math.sin(b) - target.l3 * math.sin(c)


@numba.njit
def _chain(target, chain, observation, k0, k1, warmup, thin, out):
    """One chain, kept draws into out (m, 4); returns the share of accepted steps."""
    reach = target.l1 + target.l2 + target.l3
    straight = math.acos(min(max(target.y2 / reach, -1.0), 1.0))
    angles, proposed = np.empty(3), np.empty(3)
    # All links parallel is a pose for any y2 within reach; chains differ in the signs.
    for k in range(3):
        angles[k] = straight if (chain >> k) & 1 else -straight
    log_p = log_density(angles[0], angles[1], angles[2], target)
    accepted = 0
    steps = warmup + thin * len(out)
    for step in range(steps):
        words = words_of_step(step, chain, observation, k0, k1)
        copy_into(proposed, angles)
        log_chart = 0.0
        if uniform(words[5]) < MIRROR_SHARE:
            _mirror(proposed, target, words[0])
        else:
            log_chart = _walk(proposed, target, words)
        if log_chart > -np.inf:
            log_q = log_density(proposed[0], proposed[1], proposed[2], target)
            if math.log(uniform(words[6])) < log_q - log_p + log_chart:
                copy_into(angles, proposed)
                log_p = log_q
                accepted += 1
        if step >= warmup and (step - warmup + 1) % thin == 0:
            draw = (step - warmup) // thin
            _keep(angles, target, draw, chain, observation, k0, k1, out[draw])
    return accepted / steps


@numba.njit(parallel=True, cache=True)
def run_chains(y, arm, first_observation, k0, k1, warmup, thin, draws, accepted):
    """All chains of all observations.

    Args:
        y: shape (B, 2).
        arm: three lengths and four sigmas.
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
        target = Target(y[i, 0], y[i, 1], arm[0], arm[1], arm[2], arm[3], arm[4], arm[5], arm[6])
        accepted[i, chain] = _chain(
            target, chain, first_observation + i, k0, k1, warmup, thin, draws[i, chain]
        )
