"""Inference profiles: complete whatever is missing, and without a time where samples are wrong."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import fastinv
from fastinv.timing import Plan, Timing, profile
from fastinv.timing import sampler as sampler_module
from fastinv.timing.checking import Check
from fastinv.timing.modes import ModeUnavailableError
from fastinv.timing.profile import profile_model
from fastinv.timing.records import ModeProfile, Point, Profile, fastest
from fastinv.timing.resources import joules_per_call, peak_bytes, why_no_energy
from fastinv.timing.roofline import Machine, Work, measure_machine, work_of

BRISK = Plan(min_repeats=2, max_repeats=3, max_warmup=2, budget_s=0.01)
MACHINE = Machine(1e11, 2e11, 1e10)


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "_LONG", BRISK)


def run(name: str = "mdn", **how: object) -> Profile:
    model = fastinv.model(name, fastinv.problem("kinematics"), preset="smoke")
    return profile_model(model, plan=BRISK, machine=MACHINE, **how)  # type: ignore[arg-type]


def test_every_mode_gets_a_row() -> None:
    steps: list[str] = []
    found = run(
        modes=("eager", "packed", "cudagraph", "bf16"),
        batches=(1, 1000),
        on_step=lambda rows, step: steps.append(step),
    )
    assert [m.status for m in found.modes] == ["ok", "ok", "unavailable", "ok"]
    assert "CUDA" in found.modes[2].reason
    for mode in (m for m in found.modes if m.status == "ok"):
        assert mode.latency is not None
        assert mode.single is not None
        assert mode.prepare_s is not None
        assert mode.of_limit is not None
        assert mode.of_limit > 0
        assert mode.peak_bytes is not None
        assert mode.peak_bytes > 1000 * 4 * 4
        assert [p.batch for p in mode.points] == [1, 1000]
        assert all((p.per_second or 0) > 0 for p in mode.points)
    assert found.best is not None
    assert found.best.mode in ("eager", "packed")
    assert "latency of one sample" in steps


def test_no_time_where_samples_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(sampler: object, model: object, calls: int = 2) -> Check:
        wrong = getattr(sampler, "mode", "") == "packed"
        return Check(not wrong, 1.0, 1.0, "differs" if wrong else "")

    monkeypatch.setattr(profile, "check", check)
    eager, packed = run(modes=("eager", "packed"), batches=(1,)).modes
    assert eager.latency is not None
    assert (packed.status, packed.reason) == ("wrong", "differs")
    assert packed.latency is packed.single is packed.of_limit is None
    assert packed.points == ()
    assert fastest([packed]) is None


def test_what_does_not_fit_is_marked_and_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "free_bytes", lambda device: 1_000_000)
    (eager,) = run(modes=("eager",), batches=(1000, 10, 10**6, 10**5)).modes
    assert [p.batch for p in eager.points] == [10, 1000, 10**5, 10**6]
    assert [p.per_second is not None for p in eager.points] == [True, True, False, False]
    assert all("does not fit" in p.note for p in eager.points[2:])


def test_running_out_of_memory_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy(profile.Sampler):
        def __init__(self, model, y, n, mode="eager", seed=0) -> None:  # type: ignore[no-untyped-def]
            if n > 100 and n != profile.SAMPLES:
                torch.empty(10**15)
            super().__init__(model, y, n, mode, seed)

    monkeypatch.setattr(profile, "Sampler", Greedy)
    (eager,) = run(modes=("eager",), batches=(10, 200, 300)).modes
    assert [p.note[:12] for p in eager.points] == ["", "does not fit", "does not fit"]


def test_a_mode_without_room_for_1000_samples_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy(profile.Sampler):
        def __init__(self, model, y, n, mode="eager", seed=0) -> None:  # type: ignore[no-untyped-def]
            if mode == "packed":
                raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")
            super().__init__(model, y, n, mode, seed)

    monkeypatch.setattr(profile, "Sampler", Greedy)
    eager, packed = run(modes=("eager", "packed"), batches=(10,)).modes
    assert eager.points[0].per_second is not None
    assert (packed.status, packed.reason[:12]) == ("unavailable", "does not fit")


def test_what_cannot_be_captured_is_a_row_and_the_rest_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU: the mode is said to be there, and its capture fails as it would there."""
    refuse = ModeUnavailableError("not captured: operation not permitted when stream is capturing")

    def make(sampler: object, model: object, rows: int) -> object:
        raise refuse

    monkeypatch.setitem(sampler_module._MAKERS, "cudagraph", make)  # type: ignore[arg-type]
    eager, graph, packed = run(modes=("eager", "cudagraph", "packed"), batches=(10,)).modes
    assert (graph.status, graph.reason) == ("unavailable", str(refuse))
    assert all(m.latency is not None and m.points[0].per_second is not None for m in (eager, packed))


def test_work_is_counted() -> None:
    model = fastinv.model("cvae", fastinv.problem("kinematics"), preset="smoke").eval()
    work = work_of(model, torch.zeros(1, 2), 1000)
    weights = sum(p.numel() for p in model.family.decoder.parameters() if p.ndim == 2)
    assert work.flops == 2 * 1000 * weights
    assert Work(1e9, 1.0).shortest_ms(MACHINE) == pytest.approx(10.0)
    assert Work(1e9, 1.0).shortest_ms(MACHINE, bf16=True) == pytest.approx(5.0)
    assert Work(1e9, 1.0).shortest_ms(MACHINE, tf32=True) == pytest.approx(10.0)
    assert Work(1e9, 1.0).shortest_ms(replace(MACHINE, tf32_flops=4e11), tf32=True) == pytest.approx(2.5)
    assert Work(1.0, 1e9).shortest_ms(MACHINE) == pytest.approx(100.0)


def test_limits_of_this_machine_are_plausible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinv.timing.roofline._SIZE", {"cpu": 256})
    monkeypatch.setattr("fastinv.timing.roofline._BYTES", {"cpu": 8 << 20})
    machine = measure_machine("cpu")
    assert 1e8 < machine.fp32_flops < 1e14
    assert 1e8 < machine.bandwidth < 1e13


def test_peak_memory_is_what_is_held_at_once() -> None:
    def call() -> torch.Tensor:
        a = torch.ones(1000, 100)
        b = a + 1.0
        del a
        return b + 1.0

    assert 800_000 <= peak_bytes(call, "cpu") <= 810_000


def test_a_cpu_tells_no_energy() -> None:
    assert joules_per_call(lambda: None, "cpu") is None


class Nvml:
    """NVML's bindings with a counter that advances by 500 J per reading, or a call that fails."""

    class NVMLError(Exception):
        pass

    def __init__(self, failing: str = "") -> None:
        self.failing, self.millijoules, self.open = failing, 0, 0

    def _called(self, name: str) -> None:
        if name == self.failing:
            raise self.NVMLError(name)

    def nvmlInit(self) -> None:
        self._called("init")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        self._called("handle")
        assert uuid == "GPU-12ab"
        return uuid

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        self.millijoules += 500_000
        self._called("second reading" if self.millijoules > 500_000 else "reading")
        return self.millijoules


@pytest.mark.parametrize("failing", ["", "init", "handle", "reading", "second reading"])
def test_energy_is_the_counters_or_none(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nvml, calls = Nvml(failing), []
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    properties = SimpleNamespace(uuid="12ab")
    fake = SimpleNamespace(get_device_properties=lambda: properties, synchronize=lambda: None)
    monkeypatch.setattr("fastinv.timing.resources.torch.cuda", fake)
    monkeypatch.setattr("fastinv.timing.resources.ENERGY_S", 0.001)
    found = joules_per_call(lambda: calls.append(1), "cuda")
    assert found == (None if failing else 500.0 / len(calls))
    assert nvml.open == 0


def test_without_bindings_there_is_no_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert joules_per_call(lambda: None, "cuda") is None


def test_a_batch_is_left_out_by_the_best_rate_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sample alone takes 10 ms here, and so do 1000: 10^4 are worth a try, 10^9 are not."""
    ten_ms = Timing(10.0, 10.0, 10.0, 9)
    model = fastinv.model("mdn", fastinv.problem("kinematics"), preset="smoke")
    profiler = profile._Profiler(model, BRISK, lambda rows, step: None)
    profiler.rows["eager"] = ModeProfile("eager", latency=ten_ms, points=(Point(1, ten_ms),))
    monkeypatch.setattr(profiler, "_point", lambda mode, batch: Point(batch, ten_ms))
    assert profiler._expected("eager", 10_000).note == ""
    assert profiler._expected("eager", 10**9).note == "left out: a call would take about 10000 s"


def test_a_missing_energy_figure_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "fastinv[energy]" in why_no_energy()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert "no energy counter" in why_no_energy()
