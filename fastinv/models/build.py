"""Building a model: its settings, its treatment of counts and the width that meets the budget."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from fastinv.models.base import ModelSpec, PosteriorModel
from fastinv.models.chart import Chart, statistics
from fastinv.models.counts import CountHead, check_counts, head_width
from fastinv.models.family import Dims, Family
from fastinv.models.info import ModelInfo
from fastinv.models.settings import Settings, with_overrides
from fastinv.presets import Preset
from fastinv.problems import Problem

TOLERANCE = 0.03
# Steps in which widths are tried: what vector units and tensor cores like first, then ever finer ones.
STEPS = (16.0, 8.0, 4.0, 1.0, 0.25)
MIN_WIDTH, MAX_WIDTH = 4.0, 8192.0
# Widths that are searched for the budget, nearer to each other than the finest step.
CELLS = 2**15
GRID = (MAX_WIDTH - MIN_WIDTH) / CELLS
GUESSES = 8

Maker = Callable[[Dims, float, Any], Family]
# Solved widths: some eight networks are made on the way to one.
_SOLVED: dict[tuple[Maker, Dims, str, int, int], float] = {}


class BudgetError(ValueError):
    """No width of a family's networks comes near the budget of parameters."""


def build(
    info: ModelInfo,
    maker: Maker,
    defaults: Settings,
    problem: Problem,
    preset: Preset,
    *,
    counts: str,
    seed: int,
    device: str | torch.device,
    settings: Mapping[str, Any] | None,
) -> PosteriorModel:
    """Solve the width for the preset's budget and build the model; see `fastinv.model`."""
    chosen = with_overrides(defaults, settings)
    spec = ModelSpec(
        info.name,
        problem.name,
        preset.name,
        preset.parameters,
        0.0,
        check_counts(counts),
        seed,
        chosen.as_dict(),
    )
    return from_spec(info, maker, chosen, problem, spec).to(device)


def from_spec(
    info: ModelInfo, maker: Maker, settings: Settings, problem: Problem, spec: ModelSpec
) -> PosteriorModel:
    """Build the model that `spec` describes; a width of 0 is solved for."""
    if not info.trained:
        untrained: Any = maker
        baseline: PosteriorModel = untrained(info, spec, settings, problem)
        return baseline
    counts = check_counts(spec.counts)
    moments = statistics(problem)
    chart = Chart(problem, counts, moments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        head = None
        if chart.factorised:
            # Even where only shapes are wanted: a logarithm on the meta device imports torch's compiler.
            frequencies = torch.tensor(moments.frequencies, dtype=torch.float32, device="cpu")
            width = head_width(spec.budget, problem.dim_y, len(frequencies))
            head = CountHead(problem.dim_y, frequencies, moments.lowest, width)
        if not spec.width:
            rest = spec.budget - (count_parameters(head) if head else 0)
            # By its words, as settings of plug-ins may hold what has no hash.
            case = maker, chart.dims, repr(settings), rest, spec.budget
            if case not in _SOLVED:
                _SOLVED[case] = solve_width(lambda w: maker(chart.dims, w, settings), rest, spec)
            spec = ModelSpec(**{**spec.as_dict(), "width": _SOLVED[case]})
        family = maker(chart.dims, spec.width, settings)
    return PosteriorModel(info, spec, settings, problem, family, chart, head, counts)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Modules made here have shapes and take no memory: on the meta device, nothing drawn."""
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Without torch.randn and the commonest initialisers, whose values nobody asks for.

    On the meta device others take their time, and the first of them imports torch's compiler.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            return torch.empty(*args, **{k: v for k, v in kwargs.items() if k != "generator"})
        return func(*args, **kwargs)


def solve_width(make: Callable[[float], Family], parameters: int, spec: ModelSpec) -> float:
    """The width at which the family has `parameters` parameters, to 3% of the whole budget.

    Raises:
        BudgetError: the smallest network is too large, or no width is near enough.
    """

    @functools.cache
    def size(width: float) -> int:
        with shapes_only():
            return count_parameters(make(width))

    smallest = size(MIN_WIDTH)
    if smallest > parameters + TOLERANCE * spec.budget:
        raise BudgetError(
            f"a budget of {spec.budget:,} parameters is too small for model {spec.model!r} on "
            f"{spec.problem!r}: its smallest network has {smallest + spec.budget - parameters:,}"
        )
    low = _widest(size, parameters)
    nearby = [max(MIN_WIDTH, round(low / step) * step) for step in STEPS]
    for width in (*nearby, nearby[-1] + STEPS[-1], max(MIN_WIDTH, nearby[-1] - STEPS[-1])):
        if abs(size(width) - parameters) <= TOLERANCE * spec.budget:
            return width
    raise BudgetError(
        f"no width of model {spec.model!r} comes within 3% of {spec.budget:,} parameters "
        f"(width {low:g} has {size(low):,} beside the count head)"
    )


def _widest(size: Callable[[float], int], parameters: int) -> float:
    """The widest network on a grid of widths that has at most so many parameters, or else the smallest one.

    Numbers of parameters grow nearly as a power of the width: a line through the logarithms of the last two
    leads to the next guess. What a few of them leave open is halved.
    """
    fits, exceeds = 0, CELLS if size(MIN_WIDTH) <= parameters else 1
    width, power, guesses = MIN_WIDTH, 2.0, 0
    while exceeds - fits > 1:
        index = (fits + exceeds) // 2
        if guesses < GUESSES:
            wanted = width * (parameters / max(1, size(width))) ** (1.0 / power)
            index = min(max(int((wanted - MIN_WIDTH) / GRID), fits + 1), exceeds - 1)
        before, width, guesses = width, MIN_WIDTH + index * GRID, guesses + 1
        if size(width) != size(before) and min(size(width), size(before)) > 0:
            power = max(0.5, math.log(size(width) / size(before)) / math.log(width / before))
        fits, exceeds = (index, exceeds) if size(width) <= parameters else (fits, index)
    return MIN_WIDTH + fits * GRID
