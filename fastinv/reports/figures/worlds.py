"""The paper's Figures 1, 2 and 3: what the prior and each model's posterior look like in the world."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastinv.problems import Problem
from fastinv.reports.figures.data import SAMPLES, FigureData
from fastinv.reports.figures.panels import grid, heading
from fastinv.reports.figures.scenes import WORLDS, mark_target
from fastinv.reports.figures.style import TRUTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRIOR_SEED = 1


def draw_priors(problems: Sequence[Problem]) -> Figure | None:
    """One panel per problem that can be drawn: the prior (Figure 1 of the paper)."""
    drawn = [problem for problem in problems if problem.name in WORLDS]
    if not drawn:
        return None
    figure, axes = grid(len(drawn), 0.8, share=False)
    for ax, problem in zip(axes, drawn, strict=True):
        world, x = WORLDS[problem.name], problem.sample_prior(SAMPLES, seed=PRIOR_SEED)
        world.scene(ax, problem, x, TRUTH, world.prior_view)
        heading(ax, f"prior of {problem.name}", TRUTH)
        ax.set(xlabel=world.horizontal, ylabel=world.vertical)
    return figure


def draw_posteriors(data: FigureData) -> Figure | None:
    """The true posterior and each model's for one observation (Figures 2 and 3 of the paper)."""
    problem = data.problem
    if problem.name not in WORLDS:
        return None
    world = WORLDS[problem.name]
    figure, axes = grid(1 + len(data.samples), world.aspect)
    panels = [("true posterior", data.truth, TRUTH)]
    panels += [(data.title(name), x, data.looks[name].colour) for name, x in data.samples.items()]
    for ax, (title, x, colour) in zip(axes, panels, strict=True):
        world.scene(ax, problem, x, colour, world.view)
        mark_target(ax, problem, data.y_star)
        heading(ax, title, colour)
    figure.supxlabel(world.horizontal, fontsize=8)
    figure.supylabel(world.vertical, fontsize=8)
    return figure
