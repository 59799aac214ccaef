"""Settings are checked before any work, and every one of them counts for the hash."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastinv.names import UnknownNameError
from fastinv.presets import preset
from fastinv.runner import BenchSettings, resolve_models, resolve_settings
from fastinv.runner.memory import check_memory
from fastinv.runner.truth import block_seed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem": "kinematic"}, "did you mean 'kinematics'"),
        ({"problem": "xyzzy"}, "known: all, ballistics, ballistics-2021code, kinematics"),
        ({"preset_name": "quik"}, "did you mean 'quick'"),
        ({"counts": "round"}, "did you mean 'rounded'"),
        ({"kernel": "hnt"}, "did you mean 'hint'"),
        ({"kernel": "gaussian(0)"}, "bandwidth"),
        ({"kernel": "gaussian(a)"}, "gaussian"),
        ({"device": "gpu"}, "did you mean 'cpu'"),
        ({"observations": 0}, "observations must be at least 1, got 0"),
        ({"samples": 1}, "samples must be at least 2, got 1"),
        ({"seeds": []}, "seeds must be 1 to 1000"),
        ({"seeds": [-1]}, "seed must be between 0"),
        ({"seeds": [2**63]}, "seed must be between 0"),
        ({"seeds": [1, 2, 1]}, "seeds must differ"),
    ],
)
def test_bad_settings_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        resolve_settings(**{"device": "cpu", **arguments})


def test_samples_beyond_memory_are_refused() -> None:
    with pytest.raises(
        MemoryError, match=r"1000 observations x 4000 samples need about 0.4 GiB.*at most 1041 "
    ):
        check_memory(preset("standard"), available=100_000_000)
    check_memory(preset("standard"), available=10**9)
    with pytest.raises(MemoryError, match="samples"):
        resolve_settings(samples=10**12, device="cpu")


def test_every_setting_changes_the_hash() -> None:
    base = resolve_settings(device="cpu")
    others = [
        replace(base, problems=("ballistics",)),
        replace(base, preset=preset("smoke")),
        replace(base, preset=replace(base.preset, samples=5)),
        replace(base, seeds=(1,)),
        replace(base, counts="rounded"),
        replace(base, kernel="hint"),
        replace(base, device="cuda"),
    ]
    assert len({s.hash for s in [base, *others]}) == 1 + len(others)
    assert resolve_settings(device="cpu").hash == base.hash


def test_names_of_runs() -> None:
    both = resolve_settings(problem="all", preset_name="smoke", seeds=[0, 1], device="cpu")
    assert both.problems == ("kinematics", "ballistics")
    assert both.run_name == f"all-smoke-seed0-1-{both.hash[:8]}"
    many = BenchSettings(("kinematics",), preset("quick"), tuple(range(9)), "rounded", "paper", "cpu")
    assert many.run_name.startswith("kinematics-quick-seed0-1-2-3-etc-")


def test_models_and_groups() -> None:
    everything = resolve_models([])
    assert set(resolve_models(["paper"])) <= set(everything)
    assert resolve_models(["mdn", "cinn", "mdn"]) == tuple(n for n in everything if n in ("mdn", "cinn"))
    assert "cinn" in resolve_models(["paper", "cinn"])
    with pytest.raises(UnknownNameError, match="did you mean 'cinn'"):
        resolve_models(["cin"])


def test_seeds_of_blocks_differ() -> None:
    seeds = {
        block_seed(seed, model, slice(start, start + 20))
        for seed in (0, 1)
        for model in ("cinn", "inn")
        for start in (0, 20, 40)
    }
    assert len(seeds) == 12
    assert all(0 <= s < 2**63 for s in seeds)
