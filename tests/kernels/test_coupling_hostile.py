"""Odd flows and odd rows given to the C++ inverse of coupling flows: what NumPy computes, or a clear error.

`make sanitize` runs this file against an extension built with AddressSanitizer and UBSan and with many more
examples (FASTINV_FUZZ_EXAMPLES); see sanitize.py.
"""

from __future__ import annotations

import os
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastinv.kernels.coupling.block import Block
from fastinv.kernels.coupling.native_cpu import CouplingInverse, why_not

EXAMPLES = int(os.environ.get("FASTINV_FUZZ_EXAMPLES", "100"))
PRECISIONS = [
    pytest.param(bf16, id=name, marks=pytest.mark.skipif(why_not(bf16=bf16) is not None, reason="not served"))
    for name, bf16 in (("native", False), ("native-bf16", True))
]  # fmt: skip
FAR = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
Wide = NDArray[np.float64]
Net = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def net(rng: np.random.Generator, sizes: list[int]) -> Net:
    """Random layers of these widths, their outputs of order one."""
    return [
        (
            (rng.normal(size=(m, k)) / max(1, k) ** 0.5).astype(np.float32),
            (0.3 * rng.normal(size=m)).astype(np.float32),
        )
        for k, m in pairwise(sizes)
    ]


def rounded(x: Wide) -> Wide:
    """To the nearest bfloat16."""
    bits = x.astype(np.float32).view(np.uint32)
    even = (bits >> 16) & 1
    return ((bits + 0x7FFF + even) & 0xFFFF0000).astype(np.uint32).view(np.float32).astype(np.float64)


def applied(net: Net, x: Wide, activation: str, bf16: bool) -> Wide:
    """The network in float64, with inner layers' weights and inputs rounded where the C++ rounds them."""
    kept = rounded if bf16 else np.float64
    for i, (weights, bias) in enumerate(net):
        if i:
            x = np.maximum(x, 0.0) if activation == "relu" else x / (1.0 + np.exp(np.minimum(-x, 700.0)))
            x, weights = kept(x), kept(weights.astype(np.float64))
        x = x @ weights.T.astype(np.float64) + bias
    return x


def inverse(blocks: list[Block], z: Wide, c: Wide, clamp: float, activation: str, bf16: bool) -> Wide:
    """The definition: each half undone, given the other, then the mixing."""
    x, a = z.copy(), z.shape[1] // 2
    for block in reversed(blocks):
        for net, given_half, half in (
            (block.net_b, slice(0, a), slice(a, None)),
            (block.net_a, slice(a, None), slice(0, a)),
        ):
            out = applied(list(net), np.hstack((x[:, given_half], c)), activation, bf16)
            scale, shift = np.split(out, 2, axis=1)
            scale = 2.0 * clamp / np.pi * np.arctan(scale * np.pi / (2.0 * clamp))
            x[:, half] = (x[:, half] - shift) * np.exp(-scale)
        x = x @ block.mixing.astype(np.float64)
    return x


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """Sizes that do and do not fill vectors, panels and tiles."""
    dim = draw(st.sampled_from([2, 3, 4, 5, 7, 16, 17, 33, 63, 64]))
    widths = st.sampled_from([1, 2, 15, 16, 17, 31, 33, 64, 65, 79, 80, 81, 130])
    return {
        "dim": dim,
        "dim_c": draw(st.sampled_from([0, 1, 2, 5, 16, 31, 256 - (dim + 1) // 2])),
        "hidden": draw(st.lists(widths, min_size=1, max_size=3)),
        "blocks": draw(st.integers(0, 3)),
        "rows": draw(st.sampled_from([0, 1, 5, 6, 7, 11, 12, 13, 100, 333])),
        "threads": draw(st.sampled_from([0, 1, 2, 3, 64])),
        "activation": draw(st.sampled_from(["silu", "relu"])),
        "clamp": draw(st.sampled_from([0.5, 2.0])),
        "seed": draw(st.integers(0, 2**32)),
        "odd": draw(st.sampled_from([None, None, None, np.nan, np.inf, -np.inf, 1e30, -3e38])),
    }


@pytest.mark.parametrize("bf16", PRECISIONS)
@FAR
@given(flow=flows())
def test_odd_flows(bf16: bool, flow: dict[str, Any]) -> None:
    rng = np.random.default_rng(flow["seed"])
    dim, dim_c, rows = flow["dim"], flow["dim_c"], flow["rows"]
    a = dim // 2
    b = dim - a
    blocks = []
    for _ in range(flow["blocks"]):
        mixing = np.linalg.qr(rng.normal(size=(dim, dim)))[0].astype(np.float32)
        nets = (
            net(rng, [given_half + dim_c, *flow["hidden"], 2 * half]) for given_half, half in ((b, a), (a, b))
        )
        blocks.append(Block(*nets, mixing))
    how = {"clamp": flow["clamp"], "activation": flow["activation"]}
    served = CouplingInverse(blocks, dim=dim, dim_c=dim_c, bf16=bf16, **how)
    z, c = rng.normal(size=(rows, dim)).astype(np.float32), rng.normal(size=(rows, dim_c)).astype(np.float32)
    if flow["odd"] is not None and rows:
        z[rows // 2, dim // 3] = flow["odd"]
    found = served(z, c, threads=flow["threads"])
    assert found.shape == (rows, dim)
    fine = np.ones(rows, bool)
    if flow["odd"] is not None and rows:
        fine[rows // 2] = False
    wanted = inverse(blocks, z[fine].astype(np.float64), c[fine].astype(np.float64), bf16=bf16, **how)
    # In bfloat16 a sum that differs in its last bit may be rounded the other way, by 2^-8 of an activation.
    limit = (0.1 if bf16 else 2e-3) * (1.0 + np.abs(wanted).max(axis=1, keepdims=True))
    assert (np.abs(found[fine] - wanted) <= limit).all()


@pytest.mark.parametrize("bf16", PRECISIONS)
def test_sizes_beyond_the_limits_are_refused(bf16: bool) -> None:
    how = {"clamp": 1.0, "activation": "relu", "bf16": bf16}
    for dim in (0, 1, 65, 2**64 - 1):
        with pytest.raises(ValueError, match="2 to 64 coordinates"):
            CouplingInverse([], dim=dim, dim_c=0, **how)  # type: ignore[arg-type]
    for dim_c in (255, 2**64 - 1):
        with pytest.raises(ValueError, match="at most 256 inputs"):
            CouplingInverse([], dim=4, dim_c=dim_c, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("bf16", PRECISIONS)
def test_arrays_of_another_kind_are_refused(bf16: bool) -> None:
    served = CouplingInverse([], dim=4, dim_c=1, clamp=1.0, activation="relu", bf16=bf16)
    z, c = np.zeros((6, 4), np.float32), np.zeros((6, 1), np.float32)
    assert np.array_equal(served(z, c, threads=1), z)
    odd = [
        z.astype(np.float64),
        np.asfortranarray(z),
        z[::2],
        z[0],
        np.zeros((6, 8), np.float32)[:, ::2],
        None,
    ]
    for other in odd:
        with pytest.raises((TypeError, ValueError)):
            served(other, c, threads=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        served(z, c, threads=-1)
