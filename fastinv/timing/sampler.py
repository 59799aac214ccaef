"""Draws samples again and again, in one execution mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastinv.models.base import CHUNK
from fastinv.models.compiling import hushed, one_line
from fastinv.models.layers.fused import fused
from fastinv.models.layers.packed import prepared
from fastinv.timing.modes import MODES, ModeUnavailableError, available
from fastinv.timing.precision import tf32_products

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel

Draw = Callable[[Tensor, Tensor], Tensor]


class Sampler:
    """Draws n samples for one observation, again and again, in one mode.

    Noise is drawn anew in every call, on the model's device, and stays readable until the next one: so the
    samples of any mode can be compared with those of eager on the same noise.

    Args:
        model: in eval mode.
        y: one observation, shape (1, d_y), on the model's device.
        n: samples per call.
        mode: a key of `MODES`.
        seed: of the noise.

    Attributes:
        observation: y, as it was given.
        noise: what the last call drew, shape (1, n, noise_width).
        first: samples of the first call, whose noise is in `noise` until the second.
        prepare_s: seconds that copying, compiling or capturing took, the first call included.

    Raises:
        ModeUnavailableError: this machine or this model has no such mode.
    """

    def __init__(self, model: PosteriorModel, y: Tensor, n: int, mode: str = "eager", seed: int = 0) -> None:
        if mode not in MODES:
            raise ModeUnavailableError(f"there is no mode {mode!r}; there are {', '.join(MODES)}")
        if not hasattr(model, "family"):
            raise ModeUnavailableError(f"{model.info.name} has no network that could be run in modes")
        self.n, self.mode, self.observation = n, mode, y
        device = y.device
        self._generator = torch.Generator(device).manual_seed(seed)
        started = perf_counter()
        with torch.no_grad():
            self.noise = torch.empty(1, n, model.noise_width, device=device)
            rows = piece(n, CHUNK.get(device.type, CHUNK["cpu"]))
            self._pieces = [slice(i, i + rows) for i in range(0, n, rows)]
            self._call = _MAKERS[mode](self, model, rows)
            self.first = self._call()
            if device.type == "cuda":
                torch.cuda.synchronize()
        self.prepare_s = perf_counter() - started

    def __call__(self) -> Tensor:
        """Samples, shape (1, n, d_x), in physical units; overwritten by the next call in captured modes."""
        with torch.no_grad():
            return self._call()

    def fill(self) -> None:
        """Draw the noise of the next call."""
        self.noise.normal_(generator=self._generator)

    def eagerly(self, draw: Draw) -> Callable[[], Tensor]:
        """Noise, then `draw` piece by piece."""

        def call() -> Tensor:
            self.fill()
            parts = [draw(self.observation, self.noise[:, piece]) for piece in self._pieces]
            return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

        return call

    def captured(self, draw: Draw) -> Callable[[], Tensor]:
        """The same as a CUDA graph, its memory taken from one pool for all sizes."""
        call = self.eagerly(draw)
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._generator)
        # A graph reads weights where they lay, and keeps none of them alive.
        self._captured = draw
        try:
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    call()
            torch.cuda.current_stream().wait_stream(side)
            with torch.cuda.graph(graph, pool=_pool()):
                samples = call()
        except Exception as error:
            _POOL.clear()  # a pool whose recording was broken off takes no other
            torch.cuda.synchronize()
            raise ModeUnavailableError(f"not captured: {one_line(error)}") from error

        def replay() -> Tensor:
            graph.replay()
            return samples

        return replay


@contextmanager
def in_lower_precision(model: PosteriorModel, mode: str) -> Iterator[PosteriorModel]:
    """The model as a mode of lower precision computes it, for drawing samples through `sample`."""
    if mode == "tf32":
        with tf32_products():
            yield model
        return
    if mode == "bf16-fused":
        ready: Any = fused(model, bf16=True)
    else:
        ready = prepared(model, bf16=True, packed=mode == "bf16-packed")
    yield ready


def piece(n: int, most: int) -> int:
    """The largest divisor of n that is at most `most`: pieces of one size need one graph.

    Examples:
        >>> piece(1000, 16384), piece(10**6, 16384)
        (1000, 15625)
    """
    return next(d for d in range(min(n, most), 0, -1) if n % d == 0)


def _require(sampler: Sampler) -> None:
    if (reason := available(sampler.mode, sampler.noise.device.type)) is not None:
        raise ModeUnavailableError(reason)


def _eager(sampler: Sampler, model: PosteriorModel, rows: int) -> Callable[[], Tensor]:
    return sampler.eagerly(model.draw)


def _ready(*, bf16: bool, packed: bool) -> Callable[[Sampler, PosteriorModel, int], Callable[[], Tensor]]:
    def make(sampler: Sampler, model: PosteriorModel, rows: int) -> Callable[[], Tensor]:
        _require(sampler)
        ready: Any = prepared(model, bf16=bf16, packed=packed, rows=rows)
        if not ready.networks_prepared:
            raise ModeUnavailableError("no network in it takes part (its weights are used in other ways)")
        return sampler.eagerly(ready.draw)

    return make


def _fused(bf16: bool) -> Callable[[Sampler, PosteriorModel, int], Callable[[], Tensor]]:
    def make(sampler: Sampler, model: PosteriorModel, rows: int) -> Callable[[], Tensor]:
        _require(sampler)
        try:
            ready: Any = fused(model, bf16=bf16)
        except ValueError as error:
            raise ModeUnavailableError(str(error)) from error
        if ready is None:
            raise ModeUnavailableError("no part of it is fused in this mode")
        # One kernel in place of dozens leaves the few around it to the graph.
        captured = sampler.noise.device.type == "cuda"
        return sampler.captured(ready.draw) if captured else sampler.eagerly(ready.draw)

    return make


def _compiled(maximal: bool) -> Callable[[Sampler, PosteriorModel, int], Callable[[], Tensor]]:
    def make(sampler: Sampler, model: PosteriorModel, rows: int) -> Callable[[], Tensor]:
        _require(sampler)
        import torch._dynamo
        import torch._inductor.config as inductor

        frozen = maximal and sampler.noise.device.type == "cpu"
        torch._dynamo.reset()
        call = sampler.eagerly(torch.compile(model.draw, fullgraph=True, dynamic=False))
        try:
            with inductor.patch(max_autotune=maximal, freezing=frozen), hushed():
                call()
        except Exception as error:
            raise ModeUnavailableError(f"not compiled: {one_line(error)}") from error
        return call

    return make


def _cudagraph(bf16: bool) -> Callable[[Sampler, PosteriorModel, int], Callable[[], Tensor]]:
    def make(sampler: Sampler, model: PosteriorModel, rows: int) -> Callable[[], Tensor]:
        _require(sampler)
        chosen: Any = prepared(model, bf16=True) if bf16 else model
        return sampler.captured(chosen.draw)

    return make


def _tf32(sampler: Sampler, model: PosteriorModel, rows: int) -> Callable[[], Tensor]:
    _require(sampler)
    call = sampler.eagerly(model.draw)

    def rounded() -> Tensor:
        with tf32_products():
            return call()

    return rounded


_MAKERS: dict[str, Callable[[Sampler, PosteriorModel, int], Callable[[], Tensor]]] = {
    "eager": _eager,
    "packed": _ready(bf16=False, packed=True),
    "fused": _fused(bf16=False),
    "compiled": _compiled(maximal=False),
    "compiled-max": _compiled(maximal=True),
    "cudagraph": _cudagraph(bf16=False),
    "tf32": _tf32,
    "bf16": _ready(bf16=True, packed=False),
    "bf16-packed": _ready(bf16=True, packed=True),
    "bf16-fused": _fused(bf16=True),
    "bf16-cudagraph": _cudagraph(bf16=True),
}
_POOL: list[Any] = []


def _pool() -> Any:
    if not _POOL:
        _POOL.append(torch.cuda.graph_pool_handle())
    return _POOL[0]
