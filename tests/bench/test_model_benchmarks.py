"""bench/gpu_models.py and bench/cpu_models.py on the CPU, with the smallest models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, timeout=240, cwd=cwd
    )


SMALL = """
import sys
sys.path.insert(0, {bench!r})
sys.argv = {arguments!r}
import fastinv.timing.roofline as roofline
from fastinv.timing import Plan
import gpu_models, model_modes
roofline._SIZE, roofline._BYTES = {{"cpu": 256}}, {{"cpu": 8 << 20}}
brisk = Plan(min_repeats=2, max_repeats=3, max_warmup=2, budget_s=0.01)
gpu_models.Plan, gpu_models.BATCHES = lambda **how: brisk, (1, 10)
{more}
sys.exit(gpu_models.main())
"""


def gpu_models(*arguments: str, more: str = "") -> subprocess.CompletedProcess[str]:
    command = ["gpu_models.py", "--preset", "smoke", "--model", "mdn", *arguments]
    return run("-c", SMALL.format(bench=str(BENCH), arguments=command, more=more))


def test_models_are_measured_in_pieces(tmp_path: Path) -> None:
    output = ("--output", str(tmp_path / "result"))
    first = gpu_models(*output)
    assert first.returncode == 0, first.stderr
    one = json.loads((tmp_path / "result.json").read_text())
    assert list(one["models"]) == ["mdn"]
    assert "## mdn" in (tmp_path / "result.md").read_text()
    late = gpu_models("--model", "cvae", *output, "--seconds", "-1")
    assert late.returncode == 3, late.stderr
    assert "run again for cvae" in late.stderr
    second = gpu_models("--model", "cvae", *output)
    assert second.returncode == 0, second.stderr
    assert "mdn: preparing" not in second.stderr
    both = json.loads((tmp_path / "result.json").read_text())
    assert both["models"]["mdn"] == one["models"]["mdn"]
    assert set(both["models"]["cvae"]["figures"]["ms"]) == {"eager", "packed", "bf16", "bf16-packed"}
    other = gpu_models(*output, "--problem", "ballistics")
    assert other.returncode == 1
    assert "has other settings" in other.stderr


def test_a_mode_that_draws_something_else_is_found_out() -> None:
    fine = gpu_models("--check-only")
    assert fine.returncode == 0, fine.stderr
    assert fine.stdout.splitlines() == [f"mdn, {m}: ok" for m in ("eager", "packed", "bf16", "bf16-packed")]
    spoil = """
class Spoilt(model_modes.Sampler):
    def __call__(self):
        return super().__call__() + (self.mode == "packed")
model_modes.Sampler = Spoilt
"""
    spoilt = gpu_models("--check-only", more=spoil)
    assert spoilt.returncode == 1
    assert "mdn, packed: wrong: 100.0% of its samples" in spoilt.stdout


def test_cpu_models_writes_its_page(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(BENCH)!r})
sys.argv = ["cpu_models.py", "--output", {str(tmp_path / "result")!r}, "--part", "products"]
import cpu_models
from fastinv.presets import Preset
from fastinv.timing import Plan
cpu_models.SMALL = cpu_models.LARGE = Preset("tiny", 5000, 2000, 100, 1, 8, 50)
cpu_models.PLAN = Plan(min_repeats=2, max_repeats=3, max_warmup=2, budget_s=0.01)
sys.exit(cpu_models.main())
"""
    done = run("-c", code)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "result.md").read_text()
    assert "products alone" in page
    assert page.strip() in done.stdout
