"""Benchmark posterior models on inverse problems against exact ground truth.

    >>> import fastinv
    >>> problem = fastinv.problem("kinematics")
    >>> x = problem.sample_prior(1000, seed=0)
    >>> y = problem.simulate(x)
    >>> problem.sample_posterior(y[:2], 500).shape
    (2, 500, 4)

`fastinv.kernels` has the MMD and rejection-sampling kernels and can be used without the rest.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastinv.models import model, model_names
    from fastinv.problems import problem, problem_names
    from fastinv.training import fit

__version__ = "0.1.0"
__all__ = ["fit", "model", "model_names", "problem", "problem_names"]

# Loaded on first use: the kernels must be importable without SciPy and torch.
_HOMES = {
    "fit": "fastinv.training",
    "model": "fastinv.models",
    "model_names": "fastinv.models",
    "problem": "fastinv.problems",
    "problem_names": "fastinv.problems",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'fastinv' has no attribute {name!r}")
