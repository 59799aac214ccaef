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
# Fewer sizes than the script has, which tests/kernels cover: every launch in the interpreter is slow. Both
# calls are in one process, for starting torch and Triton takes longer than either. The second call gets means
# of other points, and samples with another seed.
CALLS = f"""
import contextlib, io, json, sys
sys.path.insert(0, {str(SCRIPT.parent)!r})
sys.argv = ["gpu_kernels.py", "--check-only"]
import gpu_kernels, gpu_mmd, gpu_samplers, torch

def call():
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = gpu_kernels.main()
    print(json.dumps([code, out.getvalue(), err.getvalue()]))

gpu_mmd.SHAPES["cpu"] = [(1, 12, 3)]
gpu_samplers.SIZES["cpu"] = [(1, 10)]
call()

gpu_mmd.KERNELS.clear()
del gpu_mmd.LIMITS[torch.float64]
terms, sample = gpu_mmd.mmd2_terms, gpu_samplers.SAMPLERS["kinematics"]
gpu_mmd.mmd2_terms = lambda x, y, backend, **rest: terms(
    x if backend == "reference" else x * 1.001, y, backend=backend, **rest
)
gpu_samplers.SAMPLERS = {{
    "kinematics": lambda y, n, seed, **rest: sample(y, n, seed=seed + isinstance(y, torch.Tensor), **rest)
}}
call()
"""


@pytest.mark.usefixtures("triton_interpreter")
def test_right_results_pass_in_the_interpreter_and_wrong_ones_are_noticed() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CALLS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    right, wrong = (json.loads(line) for line in done.stdout.splitlines())
    assert right[0] == 0, right[2]
    result = json.loads(right[1])
    assert {row["kernel"] for row in result["mmd"]["checks"]} >= {"gaussian", "octaves", "paper", "hint"}
    assert {row["problem"] for row in result["samplers"]["checks"]} == {"kinematics", "ballistics"}
    assert result["mmd"]["timings"] == result["samplers"]["timings"] == []
    assert wrong[0] == 1, wrong[2]
    assert "mmd: 0 of 1 checks passed" in wrong[2]
    assert "samplers: 0 of 1 checks passed" in wrong[2]
    flips = json.loads(wrong[1])["samplers"]["checks"][0]
    assert flips["flips"] > 0.9 * 10
    assert flips["residual"] < 1e-14


def test_the_result_goes_into_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gpu_kernels

    row = {"passed": True}
    for module in (gpu_kernels.gpu_mmd, gpu_kernels.gpu_samplers):
        monkeypatch.setattr(module, "cases", lambda device: [row])
        monkeypatch.setattr(module, "check", lambda case: case)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    out = tmp_path / "gpu.json"
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--check-only", "--output", str(out)])
    assert gpu_kernels.main() == 0
    assert json.loads(out.read_text())["mmd"]["checks"] == [row]
    assert capsys.readouterr().out == ""


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
