"""What the shell offers for the value of an option: names that start as what was typed."""

from __future__ import annotations

from pathlib import Path

from fastinv.cli.targets import known_runs

WHAT = ("problems", "models", "presets", "kernels", "runs")


def problems(incomplete: str) -> list[str]:
    """Names of problems.

    Examples:
        >>> problems("k")
        ['kinematics']
    """
    from fastinv.problems import problem_names

    return _starting([*problem_names(), "all"], incomplete)


def models(incomplete: str) -> list[str]:
    """Names of models and of groups of them.

    Examples:
        >>> models("inn")
        ['inn', 'inn-l2-mmd']
    """
    from fastinv.models import model_names

    groups = ("all", "paper", "additions", "baselines")
    return _starting([*model_names(), *model_names("baselines"), *groups], incomplete)


def presets(incomplete: str) -> list[str]:
    """Names of presets."""
    from fastinv.presets import PRESETS

    return _starting(list(PRESETS), incomplete)


def lists(incomplete: str) -> list[str]:
    """What `fastinv list` lists."""
    return _starting(list(WHAT), incomplete)


def runs(incomplete: str) -> list[str]:
    """Names of the runs in the folder runs/."""
    return _starting(known_runs(Path("runs")), incomplete)


def _starting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
