"""`fastinv observations`: the published y* as a file, for samplers made elsewhere."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Annotated

import typer

from fastinv.cli.errors import checking, command
from fastinv.cli.targets import STDOUT, check_targets, write_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("csv", "json", "npy", "npz")


@command
def observations(
    problem: Annotated[
        str, typer.Option("--problem", "-p", metavar="NAME", help="A problem's name.")
    ] = "kinematics",
    n: Annotated[int, typer.Option("--n", metavar="N", help="How many; the first n of one list.")] = 1000,
    export: Annotated[
        str,
        typer.Option(
            metavar="FILE", help="FILE with extension .csv, .json, .npy or .npz; - for CSV on stdout."
        ),
    ] = STDOUT,
) -> None:
    """Write the benchmark's published observations y*.

    Example: fastinv observations --problem kinematics --export y_star.npz
    """
    from pathlib import Path

    with checking():
        from fastinv.problems import problem as problem_by_name
        from fastinv.problems.base import check_count

        (target,) = check_targets([export], FORMATS)
        chosen = problem_by_name(problem)
        check_count("n", n)
    from fastinv.scoring import observations_checksum

    y_star = chosen.observations(n)
    names = [coordinate.name for coordinate in chosen.observed]
    content = _encode(y_star, names, problem, observations_checksum(y_star), target.form)
    if export == STDOUT:
        typer.echo(content.decode(), nl=False)
    else:
        write_file(Path(export), content)


def _encode(y_star: NDArray[np.float64], names: list[str], problem: str, checksum: str, form: str) -> bytes:
    import numpy as np

    if form == "csv":
        lines = [",".join(names), *(",".join(map(repr, row)) for row in y_star.tolist())]
        return ("\n".join(lines) + "\n").encode()
    if form == "json":
        content = {"problem": problem, "checksum": checksum, "names": names, "y_star": y_star.tolist()}
        return (json.dumps(content) + "\n").encode()
    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, y_star, allow_pickle=False)
    else:
        np.savez(buffer, y_star=y_star, problem=np.array(problem), checksum=np.array(checksum))
    return buffer.getvalue()
