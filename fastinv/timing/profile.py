"""A model's inference profile: latency, throughput, memory, distance to the machine's limit, by mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from fastinv.timing.checking import check, check_first
from fastinv.timing.measure import Plan, measure, measure_all
from fastinv.timing.modes import MODES, ModeUnavailableError, available, one_line
from fastinv.timing.records import ModeProfile, Point, Profile
from fastinv.timing.resources import free_bytes, joules_per_call, peak_bytes
from fastinv.timing.roofline import Machine, measure_machine, work_of
from fastinv.timing.sampler import Sampler

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel

SAMPLES = 1000
BATCHES = tuple(10**k for k in range(7))
# Throughput: the call that prepared the sampler has warmed it up, and long calls need few repeats.
_LONG = Plan(relative=0.05, min_repeats=2, min_warmup=0, max_warmup=3, budget_s=0.4)
# Calls that are expected to take longer than this are left out.
_LONGEST_S = 10.0
# Working memory per sample that a batch is refused for before it is tried: noise, samples and layers' copies.
_COPIES = 8


def default_modes(device: str) -> tuple[str, ...]:
    """Every mode that the device has."""
    return tuple(name for name in MODES if available(name, device) is None)


OnStep = Callable[[Sequence[ModeProfile], str], None]


def profile_model(
    model: PosteriorModel,
    *,
    modes: Sequence[str] = (),
    batches: Sequence[int] = BATCHES,
    plan: Plan | None = None,
    machine: Machine | None = None,
    on_step: OnStep = lambda so_far, step: None,
) -> Profile:
    """Measure a model's sampling in several modes.

    Latencies of all modes are taken interleaved, against each other; throughput then mode by mode. A mode
    that the machine or the model lacks, and one whose samples are not eager's, becomes a row with its reason.

    Args:
        model: any but a baseline; what it does in eval mode is measured.
        modes: keys of `fastinv.timing.modes.MODES`; all that the device has if empty.
        batches: batch sizes of the throughput; empty for none.
        plan: how exactly latencies are measured.
        machine: measured limits; measured anew if None.
        on_step: called with what is known so far and what comes next.

    Raises:
        ModeUnavailableError: the model has no network that could be run in modes.
    """
    return _Profiler(model, plan or Plan(budget_s=2.0), on_step).run(modes, batches, machine)


class _Profiler:
    def __init__(self, model: PosteriorModel, plan: Plan, on_step: OnStep) -> None:
        self.model, self.plan, self.on_step = model.eval(), plan, on_step
        self.device = model.device.type
        observation = model.problem.observations(1)
        self.y = torch.as_tensor(observation, dtype=torch.float32, device=model.device)
        self.rows: dict[str, ModeProfile] = {}

    def run(self, modes: Sequence[str], batches: Sequence[int], machine: Machine | None) -> Profile:
        chosen = tuple(dict.fromkeys(modes)) or default_modes(self.device)
        Sampler(self.model, self.y, 1)  # raises at once where the model has no network
        self._step("limits of the machine")
        machine = machine or measure_machine(self.device)
        work = work_of(self.model, self.y, SAMPLES)
        samplers: dict[str, tuple[Sampler, Sampler]] = {}
        for mode in chosen:
            self._step(f"preparing {mode}")
            if (made := self._prepare(mode)) is not None:
                samplers[mode] = made
        self._latencies(samplers)
        for mode, (sampler, _) in samplers.items():
            row = self.rows[mode]
            assert row.latency is not None
            shortest = work.shortest_ms(machine, bf16="bf16" in mode)
            energy = joules_per_call(sampler, self.device)
            self.rows[mode] = replace(
                row,
                of_limit=shortest / row.latency.median_ms,
                peak_bytes=peak_bytes(sampler, self.device),
                joules_per_million=None if energy is None else energy * 1e6 / SAMPLES,
            )
        for mode in samplers:
            self._throughput(mode, batches)
        spec = self.model.spec
        return Profile(
            spec.model,
            spec.problem,
            self.model.parameter_count,
            self.device,
            torch.get_num_threads(),
            machine,
            work.flops,
            tuple(self.rows[mode] for mode in chosen),
        )

    def _step(self, what: str) -> None:
        self.on_step(tuple(self.rows.values()), what)

    def _prepare(self, mode: str) -> tuple[Sampler, Sampler] | None:
        """Samplers of 1000 and of one sample; None where there is a reason against it."""
        self.rows[mode] = ModeProfile(mode, "unavailable", "not prepared")
        try:
            many = Sampler(self.model, self.y, SAMPLES, mode)
            single = Sampler(self.model, self.y, 1, mode)
        except ModeUnavailableError as error:
            self.rows[mode] = ModeProfile(mode, "unavailable", str(error))
            return None
        found = check(many, self.model)
        one = check(single, self.model, calls=8) if found.passed else found
        if not one.passed:
            self.rows[mode] = ModeProfile(mode, "wrong", one.reason, many.prepare_s, one)
            return None
        self.rows[mode] = ModeProfile(mode, prepare_s=many.prepare_s, check=found)
        return many, single

    def _latencies(self, samplers: dict[str, tuple[Sampler, Sampler]]) -> None:
        self._step("latency of 1000 samples")
        many = {mode: pair[0] for mode, pair in samplers.items()}
        latency = measure_all(many, device=self.device, plan=self.plan)
        cold = measure_all(many, device=self.device, plan=self.plan, cold=True) if self._cuda else {}
        self._step("latency of one sample")
        single = measure_all({m: p[1] for m, p in samplers.items()}, device=self.device, plan=self.plan)
        for mode in samplers:
            self.rows[mode] = replace(
                self.rows[mode], latency=latency[mode], cold=cold.get(mode), single=single[mode]
            )

    @property
    def _cuda(self) -> bool:
        return self.device == "cuda"

    def _throughput(self, mode: str, batches: Sequence[int]) -> None:
        full = ""
        for batch in sorted(batches):
            self._step(f"{mode}: {batch:,} samples per call")
            point = Point(batch, None, full) if full else self._expected(mode, batch)
            full = point.note if point.note.startswith("does not fit") else ""
            row = self.rows[mode]
            self.rows[mode] = replace(row, points=(*row.points, point))

    def _expected(self, mode: str, batch: int) -> Point:
        """The point, unless smaller batches say that a call would take too long."""
        rates = [rate for p in self.rows[mode].points if (rate := p.per_second) is not None]
        seconds = batch / max(rates) if rates else 0.0
        if seconds > _LONGEST_S:
            return Point(batch, None, f"left out: a call would take about {seconds:.0f} s")
        return self._point(mode, batch)

    def _point(self, mode: str, batch: int) -> Point:
        needed = batch * (self.model.noise_width + self.model.problem.dim_x) * 4 * _COPIES
        free = free_bytes(self.device)
        if free is not None and needed > free:
            return Point(batch, None, f"does not fit: needs {needed / 2**30:.1f} GiB")
        try:
            sampler = Sampler(self.model, self.y, batch, mode)
            found = check_first(sampler, self.model)
            if not found.passed:
                return Point(batch, None, found.reason)
            return Point(batch, measure(sampler, device=self.device, plan=_LONG))
        except ModeUnavailableError as error:
            return Point(batch, None, str(error))
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            return Point(batch, None, f"does not fit: {one_line(error)}")
        finally:
            if self._cuda:
                torch.cuda.empty_cache()


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)
