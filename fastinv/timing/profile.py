"""A model's inference profile: latency, throughput, memory, distance to the machine's limit, by mode."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from fastinv.models.compiling import one_line
from fastinv.timing.checking import check, check_first
from fastinv.timing.measure import Plan, measure, measure_all
from fastinv.timing.modes import MODES, ModeUnavailableError, available
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
NO_ROOM = "does not fit"


def default_modes(device: str) -> tuple[str, ...]:
    """Every mode that the device has."""
    return tuple(name for name in MODES if available(name, device) is None)


OnStep = Callable[[Sequence[ModeProfile], str], None]
OnPart = Callable[[Profile], None]


def profile_model(
    model: PosteriorModel,
    *,
    modes: Sequence[str] = (),
    batches: Sequence[int] = BATCHES,
    plan: Plan | None = None,
    machine: Machine | None = None,
    trained: bool = False,
    known: Profile | None = None,
    on_step: OnStep = lambda so_far, step: None,
    on_part: OnPart = lambda so_far: None,
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
        trained: whether the weights are trained ones, which is noted.
        known: what an interrupted call with the same modes handed to `on_part`; the rest is measured.
        on_step: called with what is known so far and what comes next.
        on_part: called with the profile so far: after the latencies, then after each batch size.

    Raises:
        ModeUnavailableError: the model has no network that could be run in modes.
    """
    profiler = _Profiler(model, plan or Plan(budget_s=2.0), on_step)
    started = known or profiler.latencies(modes, machine, trained)
    return profiler.throughputs(started, batches, on_part)


class _Profiler:
    def __init__(self, model: PosteriorModel, plan: Plan, on_step: OnStep) -> None:
        self.model, self.plan, self.on_step = model.eval(), plan, on_step
        self.device = model.device.type
        observation = model.problem.observations(1)
        self.y = torch.as_tensor(observation, dtype=torch.float32, device=model.device)
        self.rows: dict[str, ModeProfile] = {}

    def latencies(self, modes: Sequence[str], machine: Machine | None, trained: bool) -> Profile:
        """The profile without throughputs: all modes prepared, compared and timed against each other."""
        chosen = tuple(dict.fromkeys(modes)) or default_modes(self.device)
        Sampler(self.model, self.y, 1)  # raises at once where the model has no network
        if machine is None:
            self._step("limits of the machine")
            machine = measure_machine(self.device)
        work = work_of(self.model, self.y, SAMPLES)
        samplers: dict[str, tuple[Sampler, Sampler]] = {}
        for mode in chosen:
            self._step(f"preparing {mode}")
            if (made := self._prepare(mode)) is not None:
                samplers[mode] = made
        self._latencies(samplers)
        for mode, (sampler, _) in samplers.items():
            self._resources(
                mode, sampler, work.shortest_ms(machine, bf16="bf16" in mode, tf32=mode == "tf32")
            )
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
            trained,
        )

    def throughputs(self, profile: Profile, batches: Sequence[int], on_part: OnPart) -> Profile:
        """The profile with those batch sizes that its timed modes still lack."""
        self.rows = {row.mode: row for row in profile.modes}
        on_part(profile)
        for row in profile.modes:
            there = {point.batch for point in row.points}
            for batch in sorted(set(batches) - there) if row.latency is not None else ():
                self._throughput(row.mode, batch)
                profile = replace(profile, modes=tuple(self.rows.values()))
                on_part(profile)
        return profile

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
        except (MemoryError, RuntimeError) as error:
            if not _is_memory(error):
                raise
            self.rows[mode] = ModeProfile(mode, "unavailable", f"{NO_ROOM}: {one_line(error)}")
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

    def _resources(self, mode: str, sampler: Sampler, shortest_ms: float) -> None:
        row = self.rows[mode]
        assert row.latency is not None
        energy = joules_per_call(sampler, self.device)
        self.rows[mode] = replace(
            row,
            of_limit=shortest_ms / row.latency.median_ms,
            peak_bytes=peak_bytes(sampler, self.device),
            joules_per_million=None if energy is None else energy * 1e6 / SAMPLES,
        )

    @property
    def _cuda(self) -> bool:
        return self.device == "cuda"

    def _throughput(self, mode: str, batch: int) -> None:
        self._step(f"{mode}: {batch:,} samples per call")
        row = self.rows[mode]
        full = next((p.note for p in row.points if p.note.startswith(NO_ROOM)), "")
        point = Point(batch, None, full) if full else self._expected(mode, batch)
        self.rows[mode] = replace(row, points=(*row.points, point))

    def _expected(self, mode: str, batch: int) -> Point:
        """The point, unless smaller batches or the latency say that a call would take too long."""
        row = self.rows[mode]
        rates = [rate for p in row.points if (rate := p.per_second) is not None]
        if row.latency is not None:
            # A single sample costs nearly as much: alone it would rule out all that is large.
            rates.append(SAMPLES / (1e-3 * row.latency.median_ms))
        seconds = batch / max(rates) if rates else 0.0
        if seconds > _LONGEST_S:
            return Point(batch, None, f"left out: a call would take about {seconds:.0f} s")
        return self._point(mode, batch)

    def _point(self, mode: str, batch: int) -> Point:
        needed = batch * (self.model.noise_width + self.model.problem.dim_x) * 4 * _COPIES
        free = free_bytes(self.device)
        if free is not None and needed > free:
            return Point(batch, None, f"{NO_ROOM}: needs {needed / 2**30:.1f} GiB")
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
            return Point(batch, None, f"{NO_ROOM}: {one_line(error)}")
        finally:
            if self._cuda:
                torch.cuda.empty_cache()


def _is_memory(error: BaseException) -> bool:
    # torch's allocator of CPU memory says one or the other, by operating system, in a plain RuntimeError.
    said = any(words in str(error) for words in ("not enough memory", "can't allocate memory"))
    return said or isinstance(error, MemoryError | torch.OutOfMemoryError)
