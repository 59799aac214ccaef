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


# One process for several calls: starting torch takes longer than they do.
SMALL = """
import contextlib, io, json, sys
sys.path.insert(0, {bench!r})
import fastinv.timing.roofline as roofline
from fastinv.timing import Plan
import gpu_models, model_modes
roofline._SIZE, roofline._BYTES = {{"cpu": 256}}, {{"cpu": 8 << 20}}
brisk = Plan(min_repeats=2, max_repeats=3, max_warmup=2, budget_s=0.01)
gpu_models.Plan, gpu_models.BATCHES = lambda **how: brisk, (1, 10)
def call(*arguments):
    sys.argv = ["gpu_models.py", "--preset", "smoke", "--model", "mdn", *arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = gpu_models.main()
        except SystemExit as stop:
            code, text = 1, str(stop)
            err.write(text)
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
{calls}
"""


def gpu_models(calls: str) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each call."""
    done = run("-c", SMALL.format(bench=str(BENCH), calls=calls))
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def test_models_are_measured_in_pieces(tmp_path: Path) -> None:
    result = str(tmp_path / "result")
    page, file = tmp_path / "result.md", tmp_path / "result.json"
    calls = f"""
import pathlib
def copy(name):
    for end in (".json", ".md"):
        pathlib.Path({result!r} + end).with_stem(name).write_text(pathlib.Path({result!r} + end).read_text())
output = ("--output", {result!r})
call(*output)
copy("first")
call("--model", "cvae", *output, "--seconds", "-1")
call("--model", "cvae", *output)
call(*output, "--problem", "ballistics")
"""
    first, late, second, other = gpu_models(calls)
    assert first[0] == 0, first[2]
    one = json.loads(file.with_stem("first").read_text())
    assert list(one["models"]) == ["mdn"]
    assert "## mdn" in page.with_stem("first").read_text()
    assert late[0] == 3, late[2]
    assert "run again for cvae" in late[2]
    assert second[0] == 0, second[2]
    assert "mdn: preparing" not in second[2]
    both = json.loads(file.read_text())
    assert both["models"]["mdn"] == one["models"]["mdn"]
    assert set(both["models"]["cvae"]["figures"]["ms"]) == {"eager", "packed", "bf16", "bf16-packed"}
    assert other[0] == 1
    assert "has other settings" in other[2]


def test_a_mode_that_draws_something_else_is_found_out() -> None:
    calls = """
call("--check-only")
class Spoilt(model_modes.Sampler):
    def __call__(self):
        return super().__call__() + (self.mode == "packed")
model_modes.Sampler = Spoilt
call("--check-only")
"""
    fine, spoilt = gpu_models(calls)
    assert fine[0] == 0, fine[2]
    assert fine[1].splitlines() == [f"mdn, {m}: ok" for m in ("eager", "packed", "bf16", "bf16-packed")]
    assert spoilt[0] == 1
    assert "mdn, packed: wrong: 100.0% of its samples" in spoilt[1]


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
