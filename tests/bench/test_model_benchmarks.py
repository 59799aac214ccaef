"""bench/gpu_models.py and bench/cpu_models.py on the CPU, with the smallest models."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import warm

BENCH = Path(__file__).parents[2] / "bench"


def output_of(code: str, interpret: str = "0") -> str:
    """What code prints in a process of its own."""
    own = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TRITON_INTERPRET": interpret}
    # Triton reads the variable when it is imported.
    begin = warm.fork if interpret == "0" else warm.plain
    return warm.output_of(begin(code, (), BENCH, {**os.environ, **own}), timeout=240.0)


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
            code = stop.code if isinstance(stop.code, int) else 1
            err.write(str(stop))
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
{calls}
"""


def gpu_models(calls: str, interpret: str = "0") -> list[tuple[int, str, str]]:
    """Exit code, output and errors of each call."""
    said = output_of(SMALL.format(bench=str(BENCH), calls=calls), interpret)
    return [tuple(json.loads(line)) for line in said.splitlines()]


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
call(*output, "--mode", "eager")
"""
    first, late, second, *others = gpu_models(calls)
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
    for other in others:
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
call("--check-only", "--mode", "eager")
"""
    fine, spoilt, eager = gpu_models(calls)
    assert fine[0] == 0, fine[2]
    assert fine[1].splitlines() == [f"mdn, {m}: ok" for m in ("eager", "packed", "bf16", "bf16-packed")]
    assert spoilt[0] == 1
    assert "mdn, packed: wrong: 100.0% of its samples" in spoilt[1]
    assert (eager[0], eager[1]) == (0, "mdn, eager: ok\n")


@pytest.mark.usefixtures("triton_interpreter")
def test_fused_kernel_is_checked_in_the_interpreter() -> None:
    pytest.importorskip("triton")
    calls = """
from fastinv.kernels.coupling.triton_gpu import CouplingInverse
import torch
invert = CouplingInverse.__call__
CouplingInverse.__call__ = lambda self, z, c: invert(self, z, c) + (self._inner.dtype == torch.bfloat16)
call("--model", "cinn", "--check-only")
call("--output", "never")
"""
    checked, timed = gpu_models(calls, interpret="1")
    assert "cinn, fused in Triton's interpreter: ok" in checked[1].splitlines(), checked[2]
    assert "cinn, bf16-fused in Triton's interpreter: wrong: 100.0% of its samples" in checked[1]
    assert checked[0] == 1
    assert timed[0] == 2
    assert "give --check-only" in timed[2]


def test_verdicts_take_the_pessimistic_end_of_intervals() -> None:
    code = f"""
import sys
sys.path.insert(0, {str(BENCH)!r})
import gpu_models
from fastinv.timing import Timing
from fastinv.timing.records import ModeProfile, Profile
from fastinv.timing.roofline import Machine

def mode(name, ms, single):
    timings = (Timing(t, t, t, 9, low_ms=0.9 * t, high_ms=1.1 * t) for t in (ms, single))
    return ModeProfile(name, latency=next(timings), single=next(timings))

def profile(name, *modes):
    return Profile(name, "kinematics", 1, "cuda", 1, Machine(1.0, 1.0, 1.0), 1.0, modes)

eager, graph = mode("eager", 2.0, 1.0), mode("cudagraph", 0.25, 0.25)
for fused in (mode("fused", 0.1, 0.1), mode("fused", 0.15, 0.1), ModeProfile("fused", "unavailable")):
    print(*gpu_models.verdicts(profile("cinn", eager, graph, fused)), sep="\\n")
print(gpu_models.verdicts(profile("iresnet", eager, ModeProfile("cudagraph", "unavailable"))))
"""
    said = output_of(code)
    common = [
        "1000 samples captured: 0.25 ms (to reach: 0.3 ms), reached",
        "one sample, eager over captured: 4x (to reach: 5x), not reached",
    ]
    gain = "1000 samples, captured over fused at least: {}x (to reach: 1.5x), {}reached"
    wanted = [*common, gain.format("2.05", ""), *common, gain.format("1.36", "not "), *common, "[]"]
    assert said.splitlines() == wanted


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
    said = output_of(code)
    page = (tmp_path / "result.md").read_text()
    assert "products alone" in page
    assert page.strip() in said
