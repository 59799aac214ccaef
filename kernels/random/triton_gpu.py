# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators, allow-untyped-calls
"""Philox 4x32-10 for Triton kernels; the definition is in `fastinv.kernels.random.philox`."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def philox_words(attempt, slot, observation, purpose: tl.constexpr, seed):
    """Four uint32 words of the counter (attempt, slot, observation, purpose), in the shape of `slot`.

    Args:
        attempt: first word, any integers below 2**32 in the shape of `slot`.
        slot: second word, likewise.
        observation: third word, a scalar below 2**32.
        purpose: fourth word.
        seed: the whole seed, a 64-bit scalar.
    """
    slot = slot.to(tl.uint32)
    zero = slot * 0
    return tl.philox(seed, attempt.to(tl.uint32), slot, zero + observation.to(tl.uint32), zero + purpose)


@triton.jit
def uniform(word):
    """Uniform float64 in (0, 1) from one word."""
    return (word.to(tl.float64) + 0.5) * 2.3283064365386963e-10
