"""Single checks and how they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

# A name and what to do: it returns a remark or nothing, and raises where the promise is broken.
Step = tuple[str, Callable[[], str | None]]


@dataclass(frozen=True)
class Check:
    """One promise looked at.

    Attributes:
        name: the promise, in a few words.
        passed: whether it is kept.
        detail: what was found, in one line.
    """

    name: str
    passed: bool
    detail: str = ""


class BrokenPromiseError(AssertionError):
    """A check failed; the message says what was found."""


def carry_out(steps: Iterable[Step]) -> Iterator[Check]:
    """Carry checks out, one at a time; whatever one raises is its failure and leaves the others alone."""
    for name, body in steps:
        try:
            detail = body() or ""
        except BrokenPromiseError as error:
            yield Check(name, False, _line(str(error)))
        except (Exception, SystemExit) as error:
            yield Check(name, False, _line(f"{type(error).__name__}: {error}"))
        else:
            yield Check(name, True, detail)


def require(fine: object, found: str) -> None:
    """Raise BrokenPromiseError unless `fine`."""
    if not fine:
        raise BrokenPromiseError(found)


def require_array(
    what: str, array: object, shape: tuple[int, ...], dtype: type[np.generic] | None = None
) -> None:
    """Raise BrokenPromiseError unless this is a finite NumPy array of the shape and dtype."""
    if not isinstance(array, np.ndarray):
        raise BrokenPromiseError(f"{what} is a {type(array).__name__}, not a NumPy array")
    require(array.shape == shape, f"{what} has shape {array.shape}, expected {shape}")
    if dtype is not None:
        require(array.dtype == dtype, f"{what} has dtype {array.dtype}, expected {np.dtype(dtype)}")
    bad = np.argwhere(~np.isfinite(array))
    require(not len(bad), f"{what} is not finite at index {tuple(bad[0].tolist()) if len(bad) else ()}")


def require_equal(what: str, a: ArrayLike, b: ArrayLike) -> None:
    """Raise BrokenPromiseError unless both are the same to the bit."""
    require(np.array_equal(a, b), f"{what}: they differ")


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
