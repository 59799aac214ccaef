"""The random stream against the published known answers, and across languages."""

import numpy as np
import pytest

from fastinv.kernels.random import philox4x32, split_seed, uniform32, uniform53

# From the known-answer file of the Random123 library (philox4x32, 10 rounds).
KNOWN_ANSWERS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_known_answers(counter: tuple[int, ...], key: tuple[int, int], answer: tuple[int, ...]) -> None:
    assert tuple(int(w) for w in philox4x32(*counter, key=key)) == answer


def test_numba_agrees_with_the_reference() -> None:
    from fastinv.kernels.random.numba_cpu import philox

    rng = np.random.default_rng(0)
    counters = rng.integers(0, 2**32, (200, 4), dtype=np.uint32)
    expected = np.stack(philox4x32(*counters.T, key=(12, 34)), axis=1)
    actual = np.array([philox(*counter, 12, 34) for counter in counters])
    np.testing.assert_array_equal(actual, expected)


def test_uniforms_stay_inside_the_open_interval() -> None:
    ends = np.array([0, 2**32 - 1], dtype=np.uint32)
    for u in (uniform32(ends), uniform53(ends, ends)):
        assert (u > 0.0).all()
        assert (u < 1.0).all()


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match=r"seed must be in \[0, 2\*\*64\)"):
        split_seed(seed)


@pytest.mark.parametrize("seed", [1.0, "1", True, None])
def test_seed_of_another_type(seed: object) -> None:
    with pytest.raises(TypeError, match="seed must be an integer"):
        split_seed(seed)  # type: ignore[arg-type]
