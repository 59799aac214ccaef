"""Evaluation plans: the same kernel with fewer operations, for the back ends that are written for speed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fastinv.kernels.mmd.kernel_functions import KernelSpec

Float64 = NDArray[np.float64]

MAX_POWER = 8
"""Highest power of 1/sqrt(u) that a plan evaluates by multiplication."""

_MAX_SQUARINGS = 4
"""Each squaring doubles the relative error of an exponential; then a fresh one is computed."""


@dataclass(frozen=True, eq=False)
class Plan:
    """A kernel as steps over s, the scaled squared distance.

    Attributes:
        family: "gaussian" or "imq".
        heads: gaussian, shape (steps, 3): (rate, squarings, weight). A positive rate starts a new exponential
            e = 2^(-rate * s); then e is squared `squarings` times and weight * e is added.
            imq, shape (groups, 2 + MAX_POWER): (rate, number of general terms, c_1 ... c_MAX_POWER). With
            u = 1 + rate * s the group adds c_1 u^(-1/2) + c_2 u^(-1) + ... and its general terms.
        tails: imq, shape (general terms, 2): (weight, power), adding weight * u^(-power); else empty.
    """

    family: str
    heads: Float64
    tails: Float64


@lru_cache(maxsize=64)
def plan(spec: KernelSpec) -> Plan:
    """The plan of a kernel."""
    return _plan_gaussian(spec) if spec.family == "gaussian" else _plan_imq(spec)


def _plan_gaussian(spec: KernelSpec) -> Plan:
    """Chain the rates that are powers of two apart: squaring 2^(-rate s) doubles its rate."""
    weights: dict[float, float] = {}
    for weight, rate, _ in spec.table:
        weights[rate] = weights.get(rate, 0.0) + weight
    steps: list[tuple[float, float, float]] = []
    pending = sorted(weights)
    while pending:
        base = pending[0]
        previous = 0
        chained: list[float] = []
        for rate in pending:
            squarings = round(np.log2(rate / base))
            if squarings <= _MAX_SQUARINGS and abs(rate / (base * 2.0**squarings) - 1.0) < 1e-15:
                steps.append((0.0 if chained else rate, squarings - previous, weights[rate]))
                previous = squarings
                chained.append(rate)
        pending = [rate for rate in pending if rate not in chained]
    return Plan("gaussian", np.array(steps), np.zeros((0, 2)))


def _plan_imq(spec: KernelSpec) -> Plan:
    """Terms of equal rate share u; half-integer powers become a polynomial in 1/sqrt(u)."""
    heads: dict[float, list[float]] = {}
    tails: dict[float, list[tuple[float, float]]] = {}
    for weight, rate, power in spec.table:
        coefficients = heads.setdefault(rate, [0.0] * MAX_POWER)
        general = tails.setdefault(rate, [])
        doubled = 2.0 * power
        if doubled.is_integer() and doubled <= MAX_POWER:
            coefficients[int(doubled) - 1] += weight
        else:
            general.append((weight, power))
    rows = [[rate, float(len(tails[rate])), *heads[rate]] for rate in heads]
    flat = [term for rate in heads for term in tails[rate]]
    return Plan("imq", np.array(rows), np.array(flat, dtype=np.float64).reshape(-1, 2))
