"""Philox 4x32-10 in NumPy: the reference for the Numba, C++ and Triton versions.

Source: Salmon, Moraes, Dror, Shaw, *Parallel random numbers: as easy as 1, 2, 3* (SC 2011).

A draw is a pure function of (seed, counter). The project's counters are
``(attempt, slot, observation, purpose)``: every output sample owns a stream, so results depend neither on
threads nor on how a batch is split, and the first n of N samples are the n samples of a smaller call.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
_LOW32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)


class Purpose(IntEnum):
    """Last word of the counter: keeps streams that serve different ends apart under one seed."""

    PRIOR = 0
    POSTERIOR = 1
    POSTERIOR_TURNS = 2
    TOLERANCE_ABC = 3
    MCMC = 4


def split_seed(seed: int) -> tuple[int, int]:
    """The two 32-bit key words of a seed.

    Args:
        seed: an integer in [0, 2**64).

    Returns:
        (low, high), each in [0, 2**32).

    Raises:
        TypeError: the seed is not an integer.
        ValueError: the seed is outside [0, 2**64).
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed must be an integer in [0, 2**64), got {type(seed).__name__}")
    if not 0 <= int(seed) < 2**64:
        raise ValueError(f"seed must be in [0, 2**64), got {seed}")
    return int(seed) & 0xFFFFFFFF, int(seed) >> 32


def philox4x32(
    c0: ArrayLike, c1: ArrayLike, c2: ArrayLike, c3: ArrayLike, *, key: tuple[int, int]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32], NDArray[np.uint32]]:
    """Four random 32-bit words for each counter.

    Args:
        c0: first counter word, any integer array; the four words broadcast against each other.
        c1: second counter word.
        c2: third counter word.
        c3: fourth counter word.
        key: the two words of `split_seed`.

    Returns:
        Four uint32 arrays of the broadcast shape.

    Examples:
        >>> words = philox4x32(0, 0, 0, 0, key=(0, 0))
        >>> [f"{int(w):08x}" for w in words]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    broadcast = np.broadcast_arrays(c0, c1, c2, c3)
    w0, w1, w2, w3 = (np.asarray(word).astype(np.uint64) & _LOW32 for word in broadcast)
    m0, m1 = (np.uint64(m) for m in MULTIPLIERS)
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = m0 * w0, m1 * w2
        w0, w1 = (p1 >> _SHIFT32) ^ w1 ^ np.uint64(k0), p1 & _LOW32
        w2, w3 = (p0 >> _SHIFT32) ^ w3 ^ np.uint64(k1), p0 & _LOW32
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    r0, r1, r2, r3 = (np.asarray(word, dtype=np.uint32) for word in (w0, w1, w2, w3))
    return r0, r1, r2, r3


def uniform32(word: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Uniform float64 in the open interval (0, 1) from one word: (word + 1/2) / 2**32."""
    return (word.astype(np.float64) + 0.5) * 2.0**-32


def uniform53(high: NDArray[np.uint32], low: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Uniform float64 in the open interval (0, 1) from two words, with 52 random bits."""
    bits = (high.astype(np.uint64) << np.uint64(20)) | (low.astype(np.uint64) >> np.uint64(12))
    return (bits.astype(np.float64) + 0.5) * 2.0**-52
