"""What an inference profile holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastinv.timing.checking import Check
from fastinv.timing.measure import Timing
from fastinv.timing.modes import MODES
from fastinv.timing.roofline import Machine


@dataclass(frozen=True)
class Point:
    """Throughput at one batch size.

    Attributes:
        batch: samples per call.
        timing: of a call, None where it was not measured.
        note: why it was not, empty where it was.
    """

    batch: int
    timing: Timing | None
    note: str = ""

    @property
    def per_second(self) -> float | None:
        """Samples per second."""
        return None if self.timing is None else self.batch / (1e-3 * self.timing.median_ms)


@dataclass(frozen=True)
class Effect:
    """What a mode does to a score, on the same observations and noise as eager.

    Attributes:
        eager: the mean score of eager.
        mode: that of the mode.
        low: lower end of the 95% interval of the paired difference.
        high: its upper end.
    """

    eager: float
    mode: float
    low: float
    high: float


@dataclass(frozen=True)
class ModeProfile:
    """A mode's figures; those that were not taken are None.

    Attributes:
        mode: its name.
        status: "ok", "unavailable" or "wrong" (its samples are not eager's; no time is given).
        reason: why it is not "ok".
        prepare_s: seconds to prepare it for a call of 1000 samples: copying, compiling or capturing.
        check: its samples against eager's.
        latency: of 1000 samples for one y*.
        cold: the same with a cold L2 cache (CUDA).
        single: of one sample.
        peak_bytes: memory needed for 1000 samples beyond the model itself.
        of_limit: the shortest time that the machine's limits allow over the latency, 0 to 1.
        joules_per_million: energy of a million samples, drawn 1000 at a time.
        points: throughput by batch size.
        err_post: what the mode does to Err_post; of modes in lower precision.
        err_resim: what it does to Err_resim.
    """

    mode: str
    status: str = "ok"
    reason: str = ""
    prepare_s: float | None = None
    check: Check | None = None
    latency: Timing | None = None
    cold: Timing | None = None
    single: Timing | None = None
    peak_bytes: int | None = None
    of_limit: float | None = None
    joules_per_million: float | None = None
    points: tuple[Point, ...] = ()
    err_post: Effect | None = None
    err_resim: Effect | None = None


@dataclass(frozen=True)
class Profile:
    """A model's inference profile on one device.

    Attributes:
        model: its name.
        problem: its problem's.
        parameters: trainable parameters.
        device: "cpu" or "cuda".
        threads: of torch.
        machine: measured limits of the device.
        flops: of the products of matrices for 1000 samples.
        modes: one entry per mode, in the order asked for.
        trained: whether the weights are trained ones, which scores need and times hardly do.
    """

    model: str
    problem: str
    parameters: int
    device: str
    threads: int
    machine: Machine
    flops: float
    modes: tuple[ModeProfile, ...]
    trained: bool = False

    @property
    def best(self) -> ModeProfile | None:
        """The fastest mode for 1000 samples among those that keep float32."""
        return fastest([m for m in self.modes if MODES[m.mode].exact])


def fastest(modes: Sequence[ModeProfile]) -> ModeProfile | None:
    """The mode with the shortest latency, None where none was timed."""
    timed = [(m.latency.median_ms, i) for i, m in enumerate(modes) if m.latency is not None]
    return modes[min(timed)[1]] if timed else None
