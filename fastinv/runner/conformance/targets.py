"""What a conformance check is asked to look at: a name in the registry, or module:object."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from fastinv.models import Entry
from fastinv.models.registry import entry
from fastinv.problems import Problem
from fastinv.problems import problem as problem_by_name


def find_problem(target: str) -> Problem:
    """The problem that `target` names.

    Args:
        target: a name of `fastinv list problems`, or "module:object", the object being a problem or something
            that makes one when it is called without arguments.

    Raises:
        ValueError: there is none.
    """
    if ":" not in target:
        return problem_by_name(target)
    found = _import(target)
    if not isinstance(found, Problem) and callable(found):
        try:
            found = found()
        except Exception as error:
            raise ValueError(f"{target}() raises {type(error).__name__}: {error}") from error
    if not isinstance(found, Problem):
        raise ValueError(f"{target} is a {type(found).__name__}, not a fastinv.problems.Problem")
    return found


def find_model(target: str) -> Entry:
    """The registry's entry that `target` names.

    Args:
        target: a name of `fastinv list models`, or "module:object", the object being an `Entry`.

    Raises:
        ValueError: there is none.
    """
    if ":" not in target:
        return entry(target)
    found = _import(target)
    if not isinstance(found, Entry):
        raise ValueError(f"{target} is a {type(found).__name__}, not a fastinv.models.Entry")
    return found


def _import(target: str) -> Any:
    module, _, attribute = target.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the user, as `python -m` would find it
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ValueError(f"cannot import {target}: {type(error).__name__}: {error}") from error
    return found
