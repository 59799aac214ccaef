"""What of bench/gpu_training.py needs no GPU."""

from __future__ import annotations

import sys

import gpu_kernels
import gpu_training
import pytest
import torch


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_training.py"])
    assert gpu_training.main() == 2
    assert "sees no CUDA device" in capsys.readouterr().err


def test_page_shows_medians_gains_and_what_is_wrong() -> None:
    times = {"eager": [9.0, 10.0, 12.0], "captured": [2.0, 2.5, 3.0], "captured-tf32": [1.0, 1.0, 2.0]}
    mdn = {"parameters": 2_999_000, "error": {}, "wrong": {}, "ms": times}
    iaf = {
        **mdn,
        "wrong": {"captured": "not captured", "captured-tf32": "losses differ from eager's by 1.0e+00"},
        "ms": {"eager": [5.0]},
    }
    page = gpu_training.markdown(
        {
            "machine": {"cpu": "C", "cores": 1, "system": "Linux", "native": "-", "versions": {}},
            "settings": {"device": "GPU", "preset": "paper", "problem": "kinematics"},
            "models": {"mdn": mdn, "iaf": iaf},
        }
    ).splitlines()
    eager, captured = "10.000 (9.000 to 12.000)", "2.500 (2.000 to 3.000)"
    assert f"| mdn | 2,999,000 | {eager} | {captured} | 1.000 (1.000 to 2.000) | 4.0 | 125 |" in page
    assert "| iaf | 2,999,000 | 5.000 (5.000 to 5.000) | – | – | – | – |" in page
    assert page[-2:] == [
        "iaf, captured: not captured.",
        "iaf, captured-tf32: losses differ from eager's by 1.0e+00.",
    ]


def test_kernels_are_compiled_in_processes_of_their_own() -> None:
    cases = [{"n": 1}, {}, {"n": 1, "m": 2}]
    for device in ("cpu", "cuda"):
        assert gpu_kernels.in_processes(len, cases, device) == [1, 0, 2]
