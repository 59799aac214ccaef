"""The Triton samplers in Triton's interpreter: the reference's samples, errors, and torch tensors in and out.

The interpreter must be chosen before the kernels are imported, so they run in processes of their own. That
they compile for a GPU is tested here too; what one computes is checked by bench/gpu_kernels.py.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from fastinv.kernels import BackendUnavailable, available_backends, backends
from fastinv.kernels.rejection import Arm, Throw, sample_ballistics, sample_kinematics

pytest.importorskip("triton")
launch = pytest.importorskip("fastinv.kernels.rejection.triton_gpu.launch")

# A singular point and a rare target; arms whose shorter link turns right round, joints that wind around.
ARM_TARGETS = np.array([[0.0, 1.0], [0.0, 1.5]])
OTHER_ARMS = {
    "first_longer": Arm(lengths=(0.7, 0.4, 0.9), sigmas=(0.4, 2.2, 1.3, 0.7)),
    "second_longer": Arm(lengths=(0.3, 0.8, 0.5), sigmas=(0.5, 0.7, 0.4, 1.6)),
}
THROW_TARGETS = np.array([[5.0], [-0.3], [24.0]])
SEED, FIRST, SAMPLES = 2**63 + 5, 2**31 - 1, 12

# Names of cases to (sampler, observations, samples, options).
CASES = {
    "arm": (sample_kinematics, ARM_TARGETS, SAMPLES, {}),
    # More than one program for each observation, the last of them partly empty.
    "arm_programs": (sample_kinematics, ARM_TARGETS[1:], 150, {}),
    **{
        name: (sample_kinematics, np.array([[0.1, 0.4], [-0.3, 0.9]]), SAMPLES, {"arm": arm})
        for name, arm in OTHER_ARMS.items()
    },
    "throw": (sample_ballistics, THROW_TARGETS, SAMPLES, {}),
}

# One process draws and fails: importing torch and Triton takes longer than most of it.
DRAW_AND_FAIL = """
import sys, numpy as np
sys.path.insert(0, sys.argv[2])
import test_rejection_triton as t
samples = t.draw("triton")
# As in large calls: a lane draws several samples one after the other.
from fastinv.kernels.rejection import BoundViolatedError
from fastinv.kernels.rejection.triton_gpu import launch
default, launch.SAMPLES_TO_FILL_A_DEVICE = launch.SAMPLES_TO_FILL_A_DEVICE, 0
sample = t.CASES["arm_programs"][0]
x = sample(t.ARM_TARGETS[1:], 300, seed=t.SEED, first_observation=t.FIRST, backend="triton")
np.savez(sys.argv[1], arm_lanes=x, **samples)

launch.SAMPLES_TO_FILL_A_DEVICE = default
build = launch.build_tables
def build_too_low(*arguments):
    cells, *rest = build(*arguments)
    cells[:, 4] -= 1.0
    return cells, *rest
launch.build_tables = build_too_low
try:
    t.sample_kinematics([[0.0, 1.5]], 60, backend="triton")
except BoundViolatedError as error:
    print(error)
launch.build_tables = build
try:
    t.sample_ballistics([[0.0]], 5, throw=t.Throw(x2_mean=-1000.0), first_observation=3, backend="triton")
except ValueError as error:
    print(error)
"""

COMPILE = """
import re, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from fastinv.kernels.rejection.triton_gpu import ballistics, kinematics
pointers = dict(y="*fp64", arm="*fp64", throw="*fp64", log_count_prior="*fp64", seed="*i64", cells="*fp64",
                tags="*i32", last="*i32", offsets="*i64", x="*fp64", attempts="*i64")
constants = dict(BLOCK=128, PER_LANE=8, M2=1, M3=2, M4=1)
for kernel in (kinematics.draw_kernel, kinematics.finish_kernel, ballistics.draw_kernel):
    names = kernel.arg_names
    signature = {name: pointers.get(name, "constexpr" if name in constants else "i32") for name in names}
    values = {(i,): constants[name] for i, name in enumerate(names) if name in constants}
    compiled = triton.compile(ASTSource(kernel, signature, values), target=GPUTarget("cuda", 90, 32))
    ptx = compiled.asm["ptx"]
    instructions = [line.split()[0] for line in ptx.splitlines() if ".f32" in line]
    # The library's exp looks at a double's high word as if it were a float: that computes nothing.
    single = [name for name in instructions if not name.startswith(("abs.", "setp."))]
    # A constant that was rounded to float32 has zeros in its last 29 bits, but not in the bits before them.
    for text in re.findall("0d([0-9A-F]{16})", ptx):
        if int(text, 16) % 2**29 == 0 and int(text, 16) % 2**40 != 0:
            single.append(text)
    print(len(single))
"""


def draw(backend: str) -> dict[str, np.ndarray]:
    results = {}
    for name, (sample, y, n, options) in CASES.items():
        attempts = np.empty((len(y), n), dtype=np.int64)
        common = {"seed": SEED, "first_observation": FIRST, "backend": backend, "attempts_out": attempts}
        results[name] = sample(y, n, **common, **options)
        results[f"{name}_attempts"] = attempts
    return results


def run(code: str, *arguments: str, interpret: str = "1") -> str:
    process = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "TRITON_INTERPRET": interpret, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return process.stdout


@dataclasses.dataclass(frozen=True)
class Interpreted:
    samples: dict[str, np.ndarray]
    errors: list[str]


@pytest.fixture(scope="module")
def interpreted(tmp_path_factory: pytest.TempPathFactory, triton_interpreter: None) -> Interpreted:
    out = tmp_path_factory.mktemp("triton") / "samples.npz"
    errors = run(DRAW_AND_FAIL, str(out), str(Path(__file__).parent)).splitlines()
    with np.load(out) as file:
        return Interpreted(dict(file), errors)


@pytest.mark.parametrize("case", CASES)
def test_samples_are_those_of_the_reference(case: str, interpreted: Interpreted) -> None:
    expected = draw_reference(case)
    # Everything is float64: a decision flips where a margin is below 1e-12, with probability 1e-9 here.
    np.testing.assert_array_equal(interpreted.samples[f"{case}_attempts"], expected[1])
    np.testing.assert_allclose(interpreted.samples[case], expected[0], rtol=0.0, atol=1e-9)


def draw_reference(case: str) -> tuple[np.ndarray, np.ndarray]:
    sample, y, n, options = CASES[case]
    attempts = np.empty((len(y), n), dtype=np.int64)
    common = {"seed": SEED, "first_observation": FIRST, "backend": "reference", "attempts_out": attempts}
    return sample(y, n, **common, **options), attempts


def test_lanes_go_on_to_their_next_slots(interpreted: Interpreted) -> None:
    x = sample_kinematics(ARM_TARGETS[1:], 300, seed=SEED, first_observation=FIRST, backend="reference")
    np.testing.assert_allclose(interpreted.samples["arm_lanes"], x, rtol=0.0, atol=1e-9)


def test_kernels_compile_for_a_gpu_without_single_precision() -> None:
    assert run(COMPILE, interpret="0").split() == ["0", "0", "0"]


def test_residuals_are_rounding_errors(interpreted: Interpreted) -> None:
    x = interpreted.samples["arm_programs"]
    absolute = np.cumsum(x[..., 1:], axis=-1)
    lengths = np.array(Arm().lengths)
    y = np.stack([x[..., 0] + np.sin(absolute) @ lengths, np.cos(absolute) @ lengths], axis=-1)
    assert np.abs(y - ARM_TARGETS[1:, None]).max() <= 2e-15


@pytest.mark.parametrize("name", ["arm", "throw"])
def test_tables_can_be_built_without_the_extension(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if backends.native_module() is None:
        pytest.skip("the C++ extension, with which to compare, is not here")
    y = ARM_TARGETS if name == "arm" else THROW_TARGETS
    settings = Arm() if name == "arm" else Throw()
    parameters = np.concatenate([np.atleast_1d(value) for value in dataclasses.astuple(settings)])
    native = launch.build_tables(y, settings, parameters)
    monkeypatch.setattr(backends, "native_module", lambda: None)
    for got, want in zip(launch.build_tables(y, settings, parameters), native, strict=True):
        assert got.dtype == want.dtype
        # Relative: a weight is a mass rounded up to an integer, and rounding may fall on either side.
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_wrong_bound_and_a_posterior_without_mass_raise(interpreted: Interpreted) -> None:
    wrong, empty = interpreted.errors
    assert "observation 0: a density is above its bound" in wrong
    assert "no posterior for observation 3" in empty


def test_tensors_on_the_cpu_come_back_as_tensors() -> None:
    y = torch.tensor(ARM_TARGETS, dtype=torch.float32)
    x = sample_kinematics(y, 5, seed=1)
    assert isinstance(x, torch.Tensor)
    np.testing.assert_array_equal(x.numpy(), sample_kinematics(ARM_TARGETS, 5, seed=1))


@pytest.mark.skipif(available_backends()["triton"].available, reason="there is a GPU")
def test_without_a_gpu_the_error_says_so() -> None:
    with pytest.raises(BackendUnavailable, match="no CUDA device"):
        sample_ballistics([[5.0]], 3, backend="triton")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_on_a_gpu_stay_there() -> None:
    y = torch.tensor(THROW_TARGETS, device="cuda")
    x = sample_ballistics(y, 500, seed=1)
    assert x.device == y.device
    np.testing.assert_allclose(
        x.cpu().numpy(), sample_ballistics(THROW_TARGETS, 500, seed=1, backend="reference"), atol=1e-9
    )
