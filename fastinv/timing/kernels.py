"""The same profile for the kernels: the MMD and the exact samplers over their back ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels import BackendUnavailable, available_backends, mmd2
from fastinv.problems import Problem
from fastinv.timing.measure import Plan, Timing, measure_all

FloatArray = NDArray[np.float64]

# Scores must agree with the definition's, and samples must hit their observation, before a time is shown.
MMD_TOLERANCE, HIT_TOLERANCE = 1e-5, 1e-6
OBSERVATIONS, SAMPLES = 5, 1000


@dataclass(frozen=True)
class KernelRow:
    """One operation on one back end.

    Attributes:
        operation: what is done.
        backend: by which back end.
        unit: what the rate counts per second.
        units: how many of them a call does.
        timing: of a call, None where it was not timed.
        reason: why it was not, empty where it was.
    """

    operation: str
    backend: str
    unit: str
    units: float
    timing: Timing | None
    reason: str = ""

    @property
    def per_second(self) -> float | None:
        """Units per second."""
        return None if self.timing is None else self.units / (1e-3 * self.timing.median_ms)


def profile_kernels(
    problem: Problem,
    *,
    budget_s: float = 1.0,
    on_step: Callable[[str], None] = lambda step: None,
) -> tuple[KernelRow, ...]:
    """Time the MMD and the problem's exact sampler on every back end of this machine.

    Args:
        problem: whose posterior samples are compared and drawn.
        budget_s: seconds per back end and operation; a call takes from microseconds to seconds.
        on_step: called with what comes next.
    """
    plan = Plan(min_repeats=5, max_warmup=10, budget_s=budget_s)
    on_step("MMD")
    rows = _mmd(problem, plan)
    if problem.has_exact_posterior:
        on_step("exact sampler")
        rows += _sampler(problem, plan)
    return tuple(rows)


def _mmd(problem: Problem, plan: Plan) -> list[KernelRow]:
    x = problem.sample_prior(OBSERVATIONS * SAMPLES, seed=1).reshape(OBSERVATIONS, SAMPLES, -1)
    y = problem.sample_prior(OBSERVATIONS * SAMPLES, seed=2).reshape(OBSERVATIONS, SAMPLES, -1)
    wanted = mmd2(x, y, backend="reference")

    def call(backend: str) -> FloatArray:
        if backend == "triton":
            import torch

            if not torch.cuda.is_available():
                raise BackendUnavailable("no CUDA device is visible to torch")
            found = mmd2(torch.from_numpy(x).cuda(), torch.from_numpy(y).cuda(), backend=backend)
            return np.asarray(found.cpu().numpy(), dtype=np.float64)
        return np.asarray(mmd2(x, y, backend=backend), dtype=np.float64)

    def wrong(found: FloatArray) -> str:
        error = float(np.abs(found - wanted).max())
        return "" if error <= MMD_TOLERANCE else f"off from the reference by {error:.1e}"

    pairs = 3.0 * OBSERVATIONS * SAMPLES**2
    title = f"MMD, {OBSERVATIONS} x {SAMPLES} samples"
    return _contest(title, "pairs", pairs, call, wrong, plan)


def _sampler(problem: Problem, plan: Plan) -> list[KernelRow]:
    y = problem.observations(OBSERVATIONS)

    def call(backend: str) -> FloatArray:
        return problem.sample_posterior(y, SAMPLES, backend=backend)

    def wrong(found: FloatArray) -> str:
        miss = float(np.abs(problem.simulate(found) - y[:, None, :]).max())
        return "" if miss <= HIT_TOLERANCE else f"samples miss their observation by {miss:.1e}"

    title = f"exact {problem.name}, {OBSERVATIONS} x {SAMPLES} samples"
    return _contest(title, "samples", float(OBSERVATIONS * SAMPLES), call, wrong, plan)


def _contest(
    title: str,
    unit: str,
    units: float,
    call: Callable[[str], FloatArray],
    wrong: Callable[[FloatArray], str],
    plan: Plan,
) -> list[KernelRow]:
    reasons: dict[str, str] = {}
    for name, status in available_backends().items():
        try:
            reasons[name] = wrong(call(name)) if status.available else status.detail
        except (BackendUnavailable, ValueError) as error:
            reasons[name] = str(error)
    fine = [name for name, reason in reasons.items() if not reason]
    timings = measure_all({name: (lambda name=name: call(name)) for name in fine}, plan=plan)  # type: ignore[misc]
    return [KernelRow(title, name, unit, units, timings.get(name), reasons[name]) for name in reasons]
