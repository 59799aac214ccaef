"""Problems by name: the built-in ones and those that other packages offer as entry points."""

from __future__ import annotations

from collections.abc import Callable

from fastinv.names import UnknownNameError
from fastinv.problems.base import Problem
from fastinv.problems.plugins import PluginError, load_plugin, plugin_names

ENTRY_POINT_GROUP = "fastinv.problems"


def _kinematics() -> Problem:
    from fastinv.problems.kinematics import Kinematics

    return Kinematics()


def _ballistics() -> Problem:
    from fastinv.problems.ballistics import Ballistics

    return Ballistics()


def _ballistics_2021code() -> Problem:
    from fastinv.problems.ballistics import Ballistics2021Code

    return Ballistics2021Code()


BUILT_IN: dict[str, Callable[[], Problem]] = {
    "kinematics": _kinematics,
    "ballistics": _ballistics,
    "ballistics-2021code": _ballistics_2021code,
}


def problem_names() -> tuple[str, ...]:
    """Names that `problem` accepts: built-in problems first, then those of installed plug-ins."""
    return (*BUILT_IN, *plugin_names(ENTRY_POINT_GROUP, BUILT_IN))


def problem(name: str) -> Problem:
    """The problem of that name.

    Args:
        name: one of `problem_names()`.

    Raises:
        UnknownNameError: no such problem; the message lists the close matches.
        PluginError: another package offers it, and it does not load.

    Examples:
        >>> problem("kinematics").dim_x
        4
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    if name not in problem_names():
        raise UnknownNameError("problem", name, problem_names())
    loaded: Problem = load_plugin(ENTRY_POINT_GROUP, name, Problem, call=True)
    if getattr(loaded, "name", None) != name:
        raise PluginError(
            f"plug-in {name!r} makes a problem of another name, {getattr(loaded, 'name', None)!r}"
        )
    return loaded
