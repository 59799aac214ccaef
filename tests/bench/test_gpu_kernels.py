"""The checks of bench/gpu_kernels.py in Triton's interpreter, so that they work where a GPU is at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu_kernels.py"
# Fewer sizes than the script has, which tests/kernels cover: every launch in the interpreter is slow.
SMALL = f"""
import sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
sys.argv = ["gpu_kernels.py", "--check-only", *sys.argv[1:]]
import gpu_kernels, gpu_mmd, gpu_samplers, torch
gpu_mmd.SHAPES["cpu"] = [(1, 1, 1), (5, 18, 3)]
gpu_samplers.SIZES["cpu"] = [(7, 10)]
"""
# Means of other points, and samples with another seed.
SABOTAGE = """
gpu_mmd.SHAPES["cpu"] = [(5, 18, 3)]
gpu_mmd.KERNELS.clear()
terms, sample = gpu_mmd.mmd2_terms, gpu_samplers.SAMPLERS["kinematics"]
gpu_mmd.mmd2_terms = lambda x, y, backend, **rest: terms(
    x if backend == "reference" else x * 1.001, y, backend=backend, **rest
)
gpu_samplers.SAMPLERS = {
    "kinematics": lambda y, n, seed, **rest: sample(y, n, seed=seed + isinstance(y, torch.Tensor), **rest)
}
"""
END = "sys.exit(gpu_kernels.main())"


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def test_all_checks_pass_in_the_interpreter(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    done = run(SMALL + END, "--output", str(out))
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert {row["kernel"] for row in result["mmd"]["checks"]} >= {"gaussian", "octaves", "paper", "hint"}
    assert {row["problem"] for row in result["samplers"]["checks"]} == {"kinematics", "ballistics"}
    assert result["mmd"]["timings"] == result["samplers"]["timings"] == []


def test_wrong_results_are_noticed() -> None:
    done = run(SMALL + SABOTAGE + END)
    assert done.returncode == 1, done.stderr
    assert "mmd: 0 of 4 checks passed" in done.stderr
    assert "samplers: 0 of 1 checks passed" in done.stderr
    flips = json.loads(done.stdout)["samplers"]["checks"][0]
    assert flips["flips"] > 0.9 * 7 * 10
    assert flips["residual"] < 1e-14


@pytest.mark.parametrize(("interpret", "words"), [("0", "sees no CUDA device"), ("1", "give --check-only")])
def test_without_a_gpu_it_says_what_would_do(
    interpret: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gpu_kernels
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("TRITON_INTERPRET", interpret)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT)])
    assert gpu_kernels.main() == 2
    assert words in capsys.readouterr().err
