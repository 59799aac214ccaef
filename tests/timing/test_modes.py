"""Execution modes of sampling: the same samples in each, and a reason where there are none."""

from __future__ import annotations

import copy
import gc
import weakref
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import fastinv
from fastinv.kernels.backends import BackendStatus
from fastinv.kernels.coupling import native_cpu, serving
from fastinv.models import PosteriorModel, model_names
from fastinv.timing import sampler as sampler_module
from fastinv.timing.checking import Check, check
from fastinv.timing.modes import MODES, ModeUnavailableError, available
from fastinv.timing.sampler import Sampler, piece


def build(name: str, problem: str = "kinematics") -> tuple[PosteriorModel, torch.Tensor]:
    owner = fastinv.problem(problem)
    model = fastinv.model(name, owner, preset="smoke").eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    return model, torch.from_numpy(owner.observations(1)).float()


@pytest.mark.parametrize("problem", ["kinematics", "ballistics"])
@pytest.mark.parametrize("name", model_names())
def test_quick_modes_draw_what_eager_draws(name: str, problem: str) -> None:
    model, y = build(name, problem)
    for mode in ("eager", "packed", "bf16", "bf16-packed"):
        if mode != "eager" and problem == "kinematics" and name in ("iresnet", "invauto"):
            with pytest.raises(ModeUnavailableError, match="no network in it takes part"):
                Sampler(model, y, 200, mode)
            continue
        sampler = Sampler(model, y, 200, mode)
        found = check(sampler, model)
        assert found.passed, (mode, found)
        assert sampler.prepare_s > 0
        if mode == "eager":
            assert found.largest == 0.0
        if mode == "bf16" and name == "cinn":
            assert found.largest > 1e-5, "it must really multiply in lower precision"


FUSED = ("inn", "inn-l2-mmd", "cinn")


@pytest.mark.parametrize("problem", ["kinematics", "ballistics"])
@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("mode", ["fused", "bf16-fused"])
def test_fused_flows_draw_what_eager_draws(name: str, problem: str, mode: str) -> None:
    if (reason := native_cpu.why_not(bf16=mode == "bf16-fused")) is not None:
        pytest.skip(reason)
    model, y = build(name, problem)
    for n in (1, 7, 1000):
        found = check(Sampler(model, y, n, mode), model)
        assert found.passed, found
        assert found.largest < (1e-3 if mode == "fused" else 0.1)


@pytest.mark.parametrize("problem", ["kinematics", "ballistics"])
def test_fused_mixtures_draw_what_eager_draws(problem: str) -> None:
    """One sample in a million may be of another component, where rounding decides; the seed is fixed."""
    model, y = build("mdn", problem)
    for n in (1, 7, 1000):
        found = check(Sampler(model, y, n, "fused"), model)
        assert found.passed, found
        assert found.largest < 1e-3


def test_what_cannot_be_fused_says_so() -> None:
    for name, mode in (("cvae", "fused"), ("mdn", "bf16-fused")):
        if available(mode, "cpu") is None:
            model, y = build(name)
            with pytest.raises(ModeUnavailableError, match="no part of it is fused in this mode"):
                Sampler(model, y, 10, mode)
    model, y = build("spline")
    with pytest.raises(ModeUnavailableError, match="only affine couplings"):
        Sampler(model, y, 10, "fused")


def test_a_machine_without_the_instructions_fuses_no_flows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinv.kernels.coupling.native_cpu.native_module", lambda: None)
    model, y = build("inn")
    with pytest.raises(ModeUnavailableError, match=r"C\+\+ extension"):
        Sampler(model, y, 10, "fused")
    assert "C++ extension" in str(available("bf16-fused", "cpu"))
    old = SimpleNamespace(coupling_supported=lambda bf16: not bf16)
    monkeypatch.setattr("fastinv.kernels.coupling.native_cpu.native_module", lambda: old)
    assert available("fused", "cpu") is None
    assert "bfloat16" in str(available("bf16-fused", "cpu"))


def test_a_gpu_fuses_flows_in_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which machines can, without one at hand; the kernel itself is tested in the interpreter."""
    none, old = (
        BackendStatus("triton", False, "no CUDA device is visible"),
        BackendStatus("triton", True, "CUDA"),
    )
    monkeypatch.setattr(serving, "available_backends", lambda: {"triton": none})
    assert available("fused", "cuda") == available("bf16-fused", "cuda") == none.detail
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(serving, "available_backends", lambda: {"triton": old})
    for capability, reason in (((7, 5), "needs a GPU of compute capability 8.0 or newer"), ((9, 0), None)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda found=capability: found)
        assert available("fused", "cuda") == reason


def test_on_a_gpu_what_is_fused_is_captured_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """The choice alone, with a sampler that says what it was asked for."""
    monkeypatch.setattr(sampler_module, "available", lambda mode, device: None)
    monkeypatch.setattr(sampler_module, "fused", lambda model, bf16: SimpleNamespace(draw=f"fused, {bf16}"))
    for device, way in (("cuda", "captured"), ("cpu", "eagerly")):
        noise = SimpleNamespace(device=SimpleNamespace(type=device))
        asked: Any = SimpleNamespace(
            mode="fused",
            noise=noise,
            captured=lambda draw: ("captured", draw),
            eagerly=lambda draw: ("eagerly", draw),
        )
        for mode, drawing in (("fused", "fused, False"), ("bf16-fused", "fused, True")):
            made: Any = sampler_module._MAKERS[mode](asked, asked, 1)
            assert made == (way, drawing)


def test_a_large_batch_is_drawn_in_pieces() -> None:
    model, y = build("mdn")
    assert piece(100_000, 16_384) == 12_500
    sampler = Sampler(model, y, 100_000, "packed")
    samples = sampler()
    assert samples.shape == (1, 100_000, 4)
    with torch.no_grad():
        torch.testing.assert_close(samples, model.draw(y, sampler.noise), rtol=1e-4, atol=1e-4)


def test_compiled_draws_what_eager_draws() -> None:
    if (reason := available("compiled", "cpu")) is not None:
        pytest.skip(reason)
    model, y = build("autoencoder")
    found = check(Sampler(model, y, 64, "compiled"), model)
    assert found.passed, found


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["compiled", "compiled-max"])
@pytest.mark.parametrize("name", [n for n in model_names() if n != "iresnet"])
def test_compiled_modes_of_every_model(name: str, mode: str) -> None:
    model, y = build(name, "ballistics")
    found = check(Sampler(model, y, 1000, mode), model)
    assert found.passed, found


def test_what_cannot_be_compiled_says_so() -> None:
    model, y = build("iresnet")
    with pytest.raises(ModeUnavailableError, match=r"^not compiled: "):
        Sampler(model, y, 10, "compiled")


def test_what_the_machine_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model, y = build("mdn")
    for mode in ("cudagraph", "tf32", "bf16-cudagraph"):
        with pytest.raises(ModeUnavailableError, match="CUDA"):
            Sampler(model, y, 10, mode)
    with pytest.raises(ModeUnavailableError, match="no mode 'egaer'"):
        Sampler(model, y, 10, "egaer")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert "apt install g++" in str(available("compiled", "cpu"))
    assert available("packed", "cuda") == "for CPUs only"
    assert all(available(name, "cpu") is None or MODES[name] for name in MODES)


def test_a_baseline_has_no_modes() -> None:
    model = fastinv.model("mcmc", fastinv.problem("kinematics"))
    with pytest.raises(ModeUnavailableError, match="no network"):
        Sampler(model, torch.zeros(1, 2), 10)


class Broken(Sampler):
    """Spoils what the sampler draws."""

    how = "shift"

    def __call__(self) -> torch.Tensor:
        samples = super().__call__().clone()
        if self.how == "nan":
            samples[0, 3, 1] = torch.nan
        elif self.how == "shift":
            samples[0, :10] += 1.0
        return samples


@pytest.mark.parametrize(("how", "reason"), [("nan", "NaN"), ("shift", "off by more than")])
def test_a_mode_that_errs_is_found_out(how: str, reason: str) -> None:
    model, y = build("mdn")
    sampler = Broken(model, y, 100)
    sampler.how = how
    found = check(sampler, model)
    assert not found.passed
    assert reason in found.reason


def test_a_graph_that_replays_old_noise_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model, y = build("mdn")
    sampler = Sampler(model, y, 50)
    monkeypatch.setattr(sampler, "fill", lambda: None)
    assert check(sampler, model) == Check(False, float("inf"), 1.0, "it drew the same noise twice")


class Graph:
    """Stands in for a CUDA graph where there is no GPU."""

    def register_generator_state(self, generator: torch.Generator) -> None:
        pass

    def replay(self) -> None:
        pass


def test_a_failing_capture_is_a_reason_not_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU, capture itself is replaced by something that fails as it would."""

    def refuse() -> None:
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    fake = SimpleNamespace(CUDAGraph=Graph, Stream=refuse, synchronize=lambda: None)
    model, y = build("mdn")
    sampler = Sampler(model, y, 10)
    pool: list[Any] = [object()]
    monkeypatch.setattr(sampler_module, "_POOL", pool)
    monkeypatch.setattr(sampler_module.torch, "cuda", fake)
    with pytest.raises(ModeUnavailableError, match=r"^not captured: operation not permitted when stream"):
        sampler.captured(model.draw)
    assert not pool  # CUDA still counts it as being recorded to


def test_a_graph_keeps_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mode's own copies of weights live as long as its sampler: a graph only knows where they lie."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    fake = SimpleNamespace(
        CUDAGraph=Graph,
        Stream=lambda: stream,
        current_stream=lambda: stream,
        stream=lambda chosen: nullcontext(),
        graph=lambda graph, pool: nullcontext(),
        graph_pool_handle=object,
    )
    model, y = build("mdn")
    sampler = Sampler(model, y, 10)
    copied = copy.deepcopy(model)
    weights = weakref.ref(next(copied.parameters()))
    monkeypatch.setattr(sampler_module, "_POOL", [])
    with monkeypatch.context() as patched, torch.no_grad():
        patched.setattr(sampler_module.torch, "cuda", fake)
        replay = sampler.captured(copied.draw)
    del copied
    gc.collect()
    assert weights() is not None
    assert replay().shape == (1, 10, 4)
