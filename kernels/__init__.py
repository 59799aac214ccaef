"""The hot loops of fastinv, usable on their own: MMD today on CPU and GPU, importable without torch or Numba.

Example:
    >>> import numpy as np
    >>> from fastinv.kernels import Gaussian, mmd2
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(8, 100, 2)), rng.normal(size=(8, 100, 2))
    >>> mmd2(x, y, kernel=Gaussian(0.5, 1.0), unbiased=True).shape
    (8,)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastinv.kernels.backends import BackendStatus, BackendUnavailable, available_backends
from fastinv.kernels.mmd.kernel_functions import Gaussian, InverseMultiquadric, MedianHeuristic
from fastinv.kernels.mmd.op import mmd2, mmd2_terms, self_term
from fastinv.kernels.mmd.terms import MMDTerms, SelfTerm
from fastinv.kernels.mmd.two_sample import PermutationTest, permutation_test, witness

if TYPE_CHECKING:
    from fastinv.kernels.rejection.abc_batches import SimulatorError
    from fastinv.kernels.rejection.abc_op import abc
    from fastinv.kernels.rejection.abc_priors import Normal, Poisson, Uniform
    from fastinv.kernels.rejection.abc_report import ABCProgress, ABCResult, ABCShortfallError

__all__ = [
    "ABCProgress",
    "ABCResult",
    "ABCShortfallError",
    "BackendStatus",
    "BackendUnavailable",
    "Gaussian",
    "InverseMultiquadric",
    "MMDTerms",
    "MedianHeuristic",
    "Normal",
    "PermutationTest",
    "Poisson",
    "SelfTerm",
    "SimulatorError",
    "Uniform",
    "abc",
    "available_backends",
    "mmd2",
    "mmd2_terms",
    "permutation_test",
    "self_term",
    "witness",
]

# Loaded on first use: the samplers need SciPy, which the MMD does not.
_HOMES = {
    "ABCProgress": "abc_report",
    "ABCResult": "abc_report",
    "ABCShortfallError": "abc_report",
    "Normal": "abc_priors",
    "Poisson": "abc_priors",
    "SimulatorError": "abc_batches",
    "Uniform": "abc_priors",
    "abc": "abc_op",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"fastinv.kernels.rejection.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'fastinv.kernels' has no attribute {name!r}")
