"""Scripts about scaling: every piece runs at tiny sizes, exponents and shares are what they claim."""

from __future__ import annotations

import machine
import mmd_scaling
import pytest
import sampling_scaling as script

from fastinv.kernels import available_backends

LIMITS = {"multiply_adds": 1e11, "bytes": 1e10}


def test_every_piece_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    if not available_backends()["native"].available:
        pytest.skip("limiting threads needs the C++ back end")
    tiny = {"OBSERVATIONS": (1, 2), "SAMPLES": (5, 10), "SIMULATIONS": (2000, 4000), "ROWS": (10, 20)}
    tiny |= {"NETWORKS": ("mdn",), "DRAWN": (5, 10), "BATCHES": (5, 10), "PRESET": "smoke"}
    for name, value in tiny.items():
        monkeypatch.setattr(script, name, value)
    result = {piece: {"rows": run(1)} for piece, run in script.PIECES.items()}
    page = script.markdown({"machine": machine.describe(["numpy"]), "limits": LIMITS, **result})
    for title in script.TITLES.values():
        assert f"## {title}" in page
    for work in ("ballistics", "nearest", "mdn, training step"):
        assert f"| {work} |" in page


def test_exponents_and_shares_are_right() -> None:
    rows = [
        {"work": "w", "observations": b, "samples": n, "threads": 1, "seconds": [1e-3 * b * n**0.5] * 3}
        for b in (1, 10, 100)
        for n in (10, 100, 1000)
        if b * n <= 10_000
    ]
    told = list(script.fits(rows))
    assert told == [
        "w, threads 1, observations 1, in samples: 0.50",
        "w, threads 1, observations 100, in samples: 0.50",
        "w, threads 1, samples 100, in observations: 1.00",
    ]
    row = {"threads": machine.cores(), "multiply_adds": 5e9, "seconds": [0.1]}
    assert script.limit_share(row, LIMITS) == "50%"


def test_gaussians_are_compared_with_the_multiply_adds() -> None:
    rows = [{"d": 4, "seconds": [0.03]}]
    page = mmd_scaling.limits_page(LIMITS, {"dimensions": {"gaussian": rows}})
    # 1.5e11 / 9 pairs/s at most, 1e10 reached.
    assert "| 4 | 16.67 | 10.00 | 60% |" in page
    assert "100 G multiply-adds/s" in page


def test_limits_are_rates() -> None:
    """Between a hundredth of a core and a thousand of the widest."""
    try:
        found = machine.limits(1)
    except RuntimeError as problem:
        pytest.skip(str(problem))
    assert 1e8 < found["multiply_adds"] < 1e15
    assert 1e7 < found["bytes"] < 1e14
