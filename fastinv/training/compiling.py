"""Which losses torch.compile makes faster on a CPU, and the falling back where it cannot."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from torch import Tensor

from fastinv.models.base import PosteriorModel
from fastinv.models.compiling import hushed, one_line, why_no_compiler

LossProgram = Callable[[Tensor, Tensor, Tensor], Tensor]

# Families of many small operations; for the others a product takes nearly all of a step's time, and compiled
# code is slower. `python bench/training_steps.py` measures it.
WORTH_COMPILING = frozenset({"inn", "inn-l2-mmd", "cinn", "iaf", "maf", "spline"})
# Compiling takes 20 to 80 seconds; at 10 to 30 ms that a step saves, shorter trainings would lose.
COMPILED_FROM = 5000


class NotCompiledWarning(RuntimeWarning):
    """A loss that would be faster compiled could not be; training goes on without."""


def loss_program(model: PosteriorModel, batches: int) -> LossProgram:
    """The model's loss as a function of (x, y, noise), compiled where a training is long enough to gain.

    Args:
        model: on a CPU, or on a GPU, where the whole step is captured instead.
        batches: steps of the training.
    """
    worth = model.info.name in WORTH_COMPILING and batches >= COMPILED_FROM
    if not worth or model.device.type != "cpu" or why_no_compiler("cpu") is not None:
        return model.loss_of
    return CompiledLoss(model)


class CompiledLoss:
    """A model's loss through torch.compile; plain from then on if that fails at its first call."""

    def __init__(self, model: PosteriorModel) -> None:
        self._plain = model.loss_of
        self._program: LossProgram | None = None

    def __call__(self, x: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """The loss."""
        if self._program is not None:
            return self._program(x, y, noise)
        import torch

        try:
            with hushed():
                program: LossProgram = torch.compile(self._plain, dynamic=False)
                loss = program(x, y, noise)
        except Exception as error:
            self._program = self._plain
            warnings.warn(f"the loss is not compiled: {one_line(error)}", NotCompiledWarning, stacklevel=2)
            return self._plain(x, y, noise)
        self._program = program
        return loss
