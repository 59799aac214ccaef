"""`fastinv check-problem` and `fastinv check-model`: does a plug-in keep the promises of docs/plugins.md?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from fastinv.cli.errors import FAILED, OK, checking, command

if TYPE_CHECKING:
    from fastinv.runner.conformance import Check


@command
def check_problem(
    target: Annotated[
        str, typer.Argument(metavar="NAME", help="A problem's name, or module:object.", show_default=False)
    ],
) -> int:
    """Check that a problem keeps its promises, one line each; exit code 1 where one is broken.

    Example: fastinv check-problem my_package:MyProblem
    """
    from fastinv.runner import conformance

    with checking():
        problem = conformance.find_problem(target)
    return _report(conformance.check_problem(problem))


@command
def check_model(
    target: Annotated[
        str, typer.Argument(metavar="NAME", help="A model's name, or module:object.", show_default=False)
    ],
    problem: Annotated[
        str, typer.Option("--problem", "-p", metavar="NAME", help="On this problem; or module:object.")
    ] = "kinematics",
) -> int:
    """Check that a model keeps its promises on a problem, one line each; exit code 1 where one is broken.

    Example: fastinv check-model my_package:MY_MODEL --problem ballistics
    """
    from fastinv.runner import conformance

    with checking():
        entry, chosen = conformance.find_model(target), conformance.find_problem(problem)
    return _report(conformance.check_model(entry, chosen))


def _report(checks: Iterable[Check]) -> int:
    results = []
    for check in checks:
        typer.echo(
            f"{'pass' if check.passed else 'FAIL'}  {check.name}"
            + (f": {check.detail}" if check.detail else "")
        )
        results.append(check.passed)
    typer.echo(f"{len(results)} checks, {results.count(False)} failed", err=True)
    return OK if all(results) else FAILED
