"""A trained model's sampling as a file that runs without its Python code: torch.export and AOTInductor."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from fastinv.models.base import PosteriorModel
from fastinv.names import UnknownNameError
from fastinv.replacing import replacing

Form = Literal["program", "aot"]
# Largest difference from eager on the same noise, in prior standard deviations.
TOLERANCE = 1e-3


class ExportError(ValueError):
    """A model that cannot be exported, or whose package does not draw what the model draws."""


class Drawing(nn.Module):
    """`PosteriorModel.draw` as a module: (y, noise) -> samples, all in physical units.

    Args:
        model: what to draw from.
    """

    def __init__(self, model: PosteriorModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, y: Tensor, noise: Tensor) -> Tensor:
        return self.model.draw(y, noise)


def export_model(model: PosteriorModel, path: str | Path, *, n: int = 1000, form: Form = "program") -> float:
    """Write a package, load it again and compare it with the model on the same noise.

    A package takes y of shape (1, d_y) and noise of shape (1, n, noise_width), standard normals in float32,
    and gives samples of shape (1, n, d_x). It is loaded by `load_exported`, or without fastinv by
    `torch.export.load(path).module()` and `torch._inductor.aoti_load_package(path)`.

    Args:
        model: any that draws by a fixed sequence of operations; iResNet's iteration does not.
        path: file to write, .pt2.
        n: samples per call; fixed in the package.
        form: "program" for a `torch.export` program, which any machine with torch runs; "aot" for machine
            code of this kind of machine by AOTInductor, which needs a C++ compiler.

    Returns:
        The largest difference from the model, in prior standard deviations.

    Raises:
        ExportError: the model cannot be exported, or the package draws something else; nothing is written.
        UnknownNameError: an unknown form.
    """
    if form not in get_args(Form):
        raise UnknownNameError("form of package", form, get_args(Form))
    if not hasattr(model, "family"):
        raise ExportError(f"model {model.info.name!r} has no network to export")
    y = torch.as_tensor(model.problem.observations(2)[:1], dtype=torch.float32, device=model.device)
    noise = torch.randn(1, n, model.noise_width, generator=torch.Generator().manual_seed(0)).to(model.device)
    with replacing(Path(path), suffix=".pt2") as temporary:
        _write(Drawing(model.eval()), (y, noise), temporary, form, model.info.name)
        difference = _difference(model, load_exported(temporary, form), n)
        if not difference <= TOLERANCE:
            raise ExportError(
                f"the package of model {model.info.name!r} is off by {difference:.2g} standard deviations"
            )
    return difference


def load_exported(path: str | Path, form: Form = "program") -> Callable[[Tensor, Tensor], Tensor]:
    """Read a package that `export_model` wrote.

    A package is code: load only those that you trust.

    Args:
        path: the file.
        form: as it was written.

    Returns:
        A function (y, noise) -> samples.

    Raises:
        FileNotFoundError: no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file: {path}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch on its own inner workings
        if form == "aot":
            from torch import _inductor

            package: Any = _inductor.aoti_load_package(str(path))
            return lambda y, noise: package(y, noise)
        program: Any = torch.export.load(str(path)).module()
    return lambda y, noise: program(y, noise)


def _write(drawing: nn.Module, example: tuple[Tensor, Tensor], path: Path, form: Form, name: str) -> None:
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            program = torch.export.export(drawing, example)
            if form == "aot":
                from torch import _inductor

                _inductor.aoti_compile_and_package(program, package_path=str(path))
            else:
                torch.export.save(program, str(path))
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            cause = lines[0][:160] if lines else type(error).__name__
            raise ExportError(f"model {name!r} cannot be exported: {cause}") from error


@torch.no_grad()
def _difference(model: PosteriorModel, package: Callable[[Tensor, Tensor], Tensor], n: int) -> float:
    """Against eager, on another observation and other noise than the package was traced with."""
    y = torch.as_tensor(model.problem.observations(2)[1:], dtype=torch.float32, device=model.device)
    noise = torch.randn(1, n, model.noise_width, generator=torch.Generator().manual_seed(1)).to(model.device)
    apart = (package(y, noise) - model.draw(y, noise)).abs() / model.chart.x_moments[1]
    # A mixture's component or a count that rounding decides otherwise may move one sample in a thousand.
    return float(apart.amax(-1).flatten().sort().values[-1 - n // 1000])
