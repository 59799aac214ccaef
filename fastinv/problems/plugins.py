"""What other packages offer as entry points, and whose fault it is where that does not load."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any

# Names of groups and of the floor, which a plug-in must not take.
RESERVED = frozenset({"all", "paper", "additions", "baselines", "floor"})
# Names become parts of file names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class PluginError(ValueError):
    """A plug-in that cannot be used; the message names it, its package and the cause."""


def plugin_names(group: str, built_in: Collection[str]) -> list[str]:
    """Names that installed packages offer in a group, in order; nothing is imported.

    Args:
        group: of entry points.
        built_in: names that are taken.
    """
    offered = {point.name for point in entry_points(group=group)}
    return sorted(n for n in offered - set(built_in) - RESERVED if is_name(n))


def is_name(name: str) -> bool:
    """Whether a problem or model may be called this: letters, digits, ".", "_" and "-", 64 at most."""
    return _NAME.fullmatch(name) is not None and name not in RESERVED


def load_plugin(group: str, name: str, kind: type, *, call: bool) -> Any:
    """Import what a package offers.

    Args:
        group: of entry points.
        name: one of `plugin_names(group, ...)`.
        kind: what it must be.
        call: whether the entry point is called, without arguments, to make it.

    Raises:
        PluginError: it raises, is something else, has another name, or two packages offer it.
    """
    points = list(entry_points(group=group, name=name))
    packages = " and ".join(sorted(_package(point) for point in points))
    if len(points) != 1:
        raise PluginError(f"plug-in {name!r} ({group}) is offered by {packages}; keep one of them")
    where = f"plug-in {name!r} ({packages}, {points[0].value})"
    try:
        found = points[0].load()
        if call:
            found = found()
    except (Exception, SystemExit) as error:
        cause = " ".join(str(error).split())
        raise PluginError(f"{where} cannot be loaded: {type(error).__name__}: {cause}") from error
    if not isinstance(found, kind):
        raise PluginError(f"{where} is of type {type(found).__name__}, not {kind.__name__}")
    return found


def _package(point: EntryPoint) -> str:
    return "an unknown package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
