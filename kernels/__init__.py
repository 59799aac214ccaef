"""The hot loops of fastinv, usable on their own: MMD today on CPU and GPU, importable without torch or Numba.

Example:
    >>> import numpy as np
    >>> from fastinv.kernels import Gaussian, mmd2
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(8, 100, 2)), rng.normal(size=(8, 100, 2))
    >>> mmd2(x, y, kernel=Gaussian(0.5, 1.0), unbiased=True).shape
    (8,)
"""

from fastinv.kernels.backends import BackendStatus, BackendUnavailable, available_backends
from fastinv.kernels.mmd.kernel_functions import Gaussian, InverseMultiquadric, MedianHeuristic
from fastinv.kernels.mmd.op import mmd2, mmd2_terms, self_term
from fastinv.kernels.mmd.terms import MMDTerms, SelfTerm

__all__ = [
    "BackendStatus",
    "BackendUnavailable",
    "Gaussian",
    "InverseMultiquadric",
    "MMDTerms",
    "MedianHeuristic",
    "SelfTerm",
    "available_backends",
    "mmd2",
    "mmd2_terms",
    "self_term",
]
