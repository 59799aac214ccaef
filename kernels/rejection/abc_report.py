"""What tolerance ABC returns, and what it says when it comes up short."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ABCProgress:
    """Where a call stands.

    Attributes:
        simulations: made so far.
        max_simulations: the budget.
        finished: observations that have all their samples (0 in `nearest` mode until the end).
        observations: how many there are.
        seconds: since the call began.
    """

    simulations: int
    max_simulations: int
    finished: int
    observations: int
    seconds: float


@dataclass(frozen=True)
class ABCResult:
    """Accepted parameters and a report per observation.

    Attributes:
        x: float64 (B, n, d_x), in proposal order (`tolerance` mode) or nearest first (`nearest` mode); NaN
            from row `accepted` on.
        distance: float64 (B, n), scaled distance of each sample's observation to y*; NaN likewise.
        accepted: int64 (B,), samples per observation.
        simulations: int64 (B,), those up to an observation's last sample, all where it fell short.
        tolerance: float64 (B,), the tolerance; in `nearest` mode the distance of the farthest sample.
        total_simulations: made in all.
        not_finite: how many of these gave NaN or infinity, those that raised included.
        raised: how many raised.
        seconds: what the call took.
    """

    x: FloatArray
    distance: FloatArray
    accepted: NDArray[np.int64]
    simulations: NDArray[np.int64]
    tolerance: FloatArray
    total_simulations: int
    not_finite: int
    raised: int
    seconds: float

    @property
    def acceptance_rate(self) -> FloatArray:
        """Accepted samples per simulation, (B,)."""
        return np.asarray(self.accepted / self.simulations)

    @property
    def short(self) -> NDArray[np.int64]:
        """Indices of the observations that have fewer samples than asked for."""
        return np.flatnonzero(self.accepted < self.x.shape[1])

    @property
    def expected_simulations(self) -> FloatArray:
        """Simulations that n samples take at each observation's rate, (B,); infinite at rate 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.x.shape[1] / self.acceptance_rate)

    @property
    def expected_seconds(self) -> FloatArray:
        """`expected_simulations` at this call's pace, (B,)."""
        return self.expected_simulations * (self.seconds / self.total_simulations)

    def __str__(self) -> str:
        n, short = self.x.shape[1], self.short
        batch = len(self.accepted)
        done = f"{batch - len(short)} of {batch} observations have {n} samples"
        lines = [f"{done} after {self.total_simulations:,} simulations in {self.seconds:.3g} s"]
        if self.not_finite:
            lines.append(
                f"{self.not_finite:,} simulations were not finite and were rejected ({self.raised:,} raised)"
            )
        if len(short):
            lines.append(self._shortfall(int(short[np.argmin(self.accepted[short])])))
        return "; ".join(lines)

    def _shortfall(self, i: int) -> str:
        found = f"observation {i} has {self.accepted[i]} within {self.tolerance[i]:g}"
        if not self.accepted[i]:
            rate = 1.0 / self.total_simulations
            return f"{found}: its acceptance rate is likely below {3.0 * rate:.2g} per simulation"
        return (
            f"{found} (rate {self.acceptance_rate[i]:.2g}): all would take about "
            f"{self.expected_simulations[i]:.2g} simulations, {_duration(self.expected_seconds[i])}"
        )


class ABCShortfallError(RuntimeError):
    """Some observations have fewer samples than asked for; `result` has what was accepted."""

    def __init__(self, result: ABCResult) -> None:
        self.result = result
        super().__init__(
            f"{result}. Raise max_simulations or tolerance, or take what there is with on_shortfall='return'"
        )


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2.0 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.2g} s"
