"""One optimiser step as tensor operations alone: run as it is on a CPU, replayed as a graph on a GPU."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from fastinv.models.base import PosteriorModel
from fastinv.models.compiling import one_line
from fastinv.training.compiling import loss_program
from fastinv.training.data import TrainingSet

# Steps that run as they are before a graph is captured: allocations and choices of kernels settle in them.
WARM_UP = 3


class NotCapturedWarning(RuntimeWarning):
    """A training on a GPU could not be captured as a graph and runs operator by operator, more slowly."""


class Step:
    """Loss, gradient, clipping, AdamW and the moving average, for one batch after another.

    Nothing in it waits for a value. A step whose loss or gradient is not finite changes nothing, and neither
    does any step after it: the weights stay the last good ones, whenever the caller looks.

    Args:
        model: in training mode; trained in place.
        data: training set, on the model's device.
        batch_size: pairs per batch.
        pairs: that a step sees, those of earlier batches included, see `BatchOrder`.
        batches: steps of the whole training; a long one may be compiled.

    Attributes:
        parameters: what is trained.
        averaged: their moving averages.
        state: AdamW's of each parameter, its running means by name.
        captures: whether all steps but the first few are a CUDA graph's; may be switched off at the start.
    """

    def __init__(
        self, model: PosteriorModel, data: TrainingSet, batch_size: int, pairs: int, batches: int
    ) -> None:
        settings, device = model.settings, model.device
        on_gpu = device.type == "cuda"
        self.data, self.settings = data, settings
        self.loss = loss_program(model, batches)
        self.parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
        self.averaged = [p.detach().clone() for p in self.parameters]
        # AdamW as a class imports torch's compiler, which takes seconds in every process; as a function not.
        self.state = [
            {
                "step": torch.zeros((), device=device),
                "exp_avg": torch.zeros_like(p, requires_grad=False),
                "exp_avg_sq": torch.zeros_like(p, requires_grad=False),
            }
            for p in self.parameters
        ]
        self.bad = torch.zeros((), device=device)
        # A graph replays fixed addresses: there, what changes from step to step lives in tensors.
        self._rate: Tensor | float = torch.zeros((), device=device) if on_gpu else 0.0
        self._weight: Tensor | float = torch.zeros((), device=device) if on_gpu else 0.0
        self._rows = torch.zeros(pairs, dtype=torch.long, device=device)
        self._noise = model.draw_loss_noise(batch_size, torch.Generator()).to(device)
        self._seen = torch.zeros(2, device=device)
        self.captures, self._runs = on_gpu, 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, rows: Tensor, noise: Tensor, rate: float, weight: float) -> Tensor:
        """Do one step.

        Args:
            rows: indices of the pairs, the batch's first, on the device, shape (pairs,).
            noise: the loss's standard normals, shape (batch_size, width), on the device.
            rate: learning rate.
            weight: of the new weights in the moving average.

        Returns:
            Loss and norm of its gradient, shape (2,); overwritten by the next step.
        """
        self._rows.copy_(rows)
        self._noise.copy_(noise)
        self._rate, self._weight = _put(self._rate, rate), _put(self._weight, weight)
        if self.captures and self._runs == WARM_UP:
            self._capture()
        self._runs += 1
        if self._graph is not None:
            self._graph.replay()
        elif self.captures:
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._body()
            torch.cuda.current_stream().wait_stream(side)
        else:
            self._body()
        return self._seen

    def _capture(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None  # so that gradients are allocated in the graph's own memory
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._body()
        except Exception as error:
            torch.cuda.synchronize()
            self.captures = False
            warnings.warn(
                f"training is not captured as a CUDA graph: {one_line(error)}",
                NotCapturedWarning,
                stacklevel=2,
            )
            return
        self._graph = graph

    def _body(self) -> None:
        x, y = self.data.x.index_select(0, self._rows), self.data.y.index_select(0, self._rows)
        loss = self.loss(x, y, self._noise)
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        with torch.no_grad():
            torch.stack((loss.detach(), norm), out=self._seen)
            self.bad.copy_(torch.maximum(self.bad, 1.0 - torch.isfinite(self._seen).all().to(self.bad.dtype)))
            self._adamw()
            self._average()

    def _adamw(self) -> None:
        used = [
            (p, p.grad, s) for p, s in zip(self.parameters, self.state, strict=True) if p.grad is not None
        ]
        adamw(
            [p for p, _, _ in used],
            [g for _, g, _ in used],
            [s["exp_avg"] for _, _, s in used],
            [s["exp_avg_sq"] for _, _, s in used],
            [],
            [s["step"] for _, _, s in used],
            lr=self._rate,
            beta1=0.9,
            beta2=self.settings.beta2,
            eps=1e-8,
            weight_decay=self.settings.weight_decay,
            amsgrad=False,
            maximize=False,
            fused=True,
            capturable=isinstance(self._rate, Tensor),
            found_inf=self.bad,  # where it is 1, nothing is done
        )

    def _average(self) -> None:
        if isinstance(self._weight, Tensor):
            change = torch._foreach_sub(self.parameters, self.averaged)
            torch._foreach_mul_(change, self._weight)
            torch._foreach_add_(self.averaged, change)
        else:
            torch._foreach_lerp_(self.averaged, self.parameters, self._weight)


def _put(place: Tensor | float, value: float) -> Tensor | float:
    """A number where a graph looks for it, or as it is."""
    return place.fill_(value) if isinstance(place, Tensor) else value
