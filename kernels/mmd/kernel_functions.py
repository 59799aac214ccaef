"""Kernel functions of the squared distance, and the normal form that every back end evaluates."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

MAX_TERMS = 32
"""Terms of a kernel; compiled back ends keep them in arrays of this size."""

_LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class KernelSpec:
    """Normal form of a kernel, the only thing that back ends see.

    With s = scale * squared distance, the kernel is a sum over the rows (weight, rate, power) of `terms`:

    * family "gaussian": weight * 2^(-rate * s)
    * family "imq":      weight * (1 + rate * s)^(-power)

    Attributes:
        family: "gaussian" or "imq".
        terms: flat (weight, rate, power) triples; a tuple, so that a spec can be hashed and compared.
        scale: factor on squared distances, in 1 / (units of x)^2. Back ends take one scale per problem beside
            the spec, so that a bandwidth per problem (median heuristic) needs no code of its own.
    """

    family: str
    terms: tuple[float, ...]
    scale: float

    @functools.cached_property
    def at_zero(self) -> float:
        """k(0), the kernel's largest value."""
        return math.fsum(self.terms[::3])

    @functools.cached_property
    def steepest(self) -> float:
        """The largest rate."""
        return max(self.terms[1::3])

    @functools.cached_property
    def table(self) -> NDArray[np.float64]:
        """The terms as an array of shape (number of terms, 3)."""
        return np.array(self.terms, dtype=np.float64).reshape(-1, 3)


def _positive(value: object, name: str) -> float:
    if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a positive number, got {value!r}")
    number = float(value)
    if not (math.isfinite(number) and number > 0.0):
        raise ValueError(f"{name} must be positive and finite, got {value!r}")
    if not 1e-100 < number < 1e100:
        raise ValueError(f"{name} must lie between 1e-100 and 1e100, got {value!r}")
    return number


def _gaussian_spec(bandwidths: tuple[float, ...]) -> KernelSpec:
    widths = sorted(bandwidths, reverse=True)
    terms = tuple(v for h in widths for v in (1.0, (widths[0] / h) ** 2, 0.0))
    return KernelSpec("gaussian", terms, 0.5 * _LOG2_E / widths[0] ** 2)


def _multiquadric_spec(terms: tuple[tuple[float, float], ...]) -> KernelSpec:
    pairs = sorted(terms)
    flat = tuple(v for c, a in pairs for v in (a**a, pairs[0][0] / c, a))
    return KernelSpec("imq", flat, 1.0 / pairs[0][0])


_UNIT_GAUSSIAN = _gaussian_spec((1.0,))


@dataclass(frozen=True, init=False)
class Gaussian:
    """Sum of Gaussian kernels, k(d^2) = sum over h of exp(-d^2 / (2 h^2)).

    Args:
        bandwidths: one or more standard deviations h, in the units of x.

    Raises:
        ValueError: without bandwidths, or with one that is not positive and finite.
        TypeError: for a bandwidth that is not a number.

    Examples:
        >>> Gaussian(0.5, 1.0)(0.0)
        2.0
    """

    bandwidths: tuple[float, ...]
    _spec: KernelSpec = field(init=False, repr=False, compare=False)

    def __init__(self, *bandwidths: float) -> None:
        if not 0 < len(bandwidths) <= MAX_TERMS:
            raise ValueError(f"Gaussian takes 1 to {MAX_TERMS} bandwidths, for example Gaussian(1.0)")
        object.__setattr__(self, "bandwidths", tuple(_positive(h, "bandwidth") for h in bandwidths))
        object.__setattr__(self, "_spec", _gaussian_spec(self.bandwidths))

    def __call__(self, squared_distance: float) -> float:
        """k at one squared distance: the definition, for tests and plots."""
        return math.fsum(math.exp(-squared_distance / (2.0 * h * h)) for h in self.bandwidths)

    def spec(self) -> KernelSpec:
        """Normal form, with the widest bandwidth at rate 1."""
        return self._spec


@dataclass(frozen=True, init=False)
class InverseMultiquadric:
    """Sum of inverse multiquadrics, k(d^2) = sum over (C, a) of C^a ((C + d^2) / a)^(-a).

    Args:
        terms: one or more pairs (C, a); C in squared units of x, a without unit.

    Raises:
        ValueError: without terms, or with a C or a that is not positive and finite.
        TypeError: for a term that is not a pair of numbers.

    Examples:
        >>> InverseMultiquadric((0.2, 0.1), (0.2, 0.5), (0.2, 2.0)) == named_kernel("paper")
        True
    """

    terms: tuple[tuple[float, float], ...]
    _spec: KernelSpec = field(init=False, repr=False, compare=False)

    def __init__(self, *terms: tuple[float, float]) -> None:
        if not 0 < len(terms) <= MAX_TERMS:
            raise ValueError(f"InverseMultiquadric takes 1 to {MAX_TERMS} pairs (C, a)")
        pairs = []
        for term in terms:
            if not isinstance(term, (tuple, list)) or len(term) != 2:
                raise TypeError(f"InverseMultiquadric takes pairs (C, a), got {term!r}")
            pairs.append((_positive(term[0], "C"), _positive(term[1], "a")))
            if pairs[-1][1] > 64.0:
                raise ValueError(f"a must be at most 64, got {term[1]!r}")
        object.__setattr__(self, "terms", tuple(pairs))
        object.__setattr__(self, "_spec", _multiquadric_spec(self.terms))

    def __call__(self, squared_distance: float) -> float:
        """k at one squared distance: the definition, for tests and plots."""
        return math.fsum(c**a * ((c + squared_distance) / a) ** -a for c, a in self.terms)

    def spec(self) -> KernelSpec:
        """Normal form: C^a ((C + d^2) / a)^(-a) = a^a (1 + d^2 / C)^(-a)."""
        return self._spec


@dataclass(frozen=True)
class MedianHeuristic:
    """One Gaussian per problem, its bandwidth the median distance over all pairs of the pooled sample.

    The median is exact (the mean of the two middle distances when their number is even) and carries no
    gradient: the bandwidth is treated as a constant.
    """

    def spec(self) -> KernelSpec:
        """Normal form at bandwidth 1; the scale of each problem is 1 / median^2 times this one's."""
        return _UNIT_GAUSSIAN


Kernel: TypeAlias = Gaussian | InverseMultiquadric | MedianHeuristic

_NAMED: dict[str, Kernel] = {
    # Kernel of the benchmark's published scores; see `docs/kernels.md`.
    "paper": InverseMultiquadric((0.2, 0.1), (0.2, 0.5), (0.2, 2.0)),
    "hint": InverseMultiquadric((0.5, 1.0), (0.2, 1.0), (0.2, 0.5)),
    # 1 / (1 + d^2 / h^2) is the inverse multiquadric with C = h^2 and a = 1.
    "multiscale": InverseMultiquadric((0.05**2, 1.0), (0.2**2, 1.0), (0.9**2, 1.0)),
    "gaussian": Gaussian(1.0),
    "median": MedianHeuristic(),
}

_GAUSSIAN_CALL = re.compile(r"gaussian\(([^()]*)\)")


def named_kernel(name: str) -> Kernel:
    """The kernel of a name: paper, hint, multiscale, median, gaussian, or gaussian(h1, h2, ...).

    Raises:
        ValueError: for an unknown name or a bandwidth that is no positive number.

    Examples:
        >>> named_kernel("gaussian(0.5, 1)")
        Gaussian(bandwidths=(0.5, 1.0))
    """
    if name in _NAMED:
        return _NAMED[name]
    call = _GAUSSIAN_CALL.fullmatch(name.strip())
    if call is not None:
        try:
            return Gaussian(*(float(h) for h in call.group(1).split(",")))
        except ValueError as error:
            raise ValueError(f"kernel {name!r}: {error}") from None
    raise ValueError(f"kernel {name!r} is unknown; accepted: {', '.join(_NAMED)}, gaussian(h1, h2, ...)")


def resolve(kernel: str | Kernel) -> Kernel:
    """A kernel object from what a caller may pass as `kernel`.

    Raises:
        TypeError: for anything but a name or a kernel object.
        ValueError: for an unknown name.
    """
    if isinstance(kernel, str):
        return named_kernel(kernel)
    if isinstance(kernel, (Gaussian, InverseMultiquadric, MedianHeuristic)):
        return kernel
    raise TypeError(
        "kernel must be a name or a Gaussian, InverseMultiquadric or MedianHeuristic object, "
        f"got {type(kernel).__name__}"
    )
