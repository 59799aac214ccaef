"""Figures: nothing is cut off at their rims."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fastinv.problems import problem
from fastinv.reports.figures.draw import _lay_out
from fastinv.reports.figures.panels import grid, heading
from fastinv.reports.figures.scenes import WORLDS
from fastinv.reports.figures.style import TRUTH, styled
from fastinv.reports.figures.worlds import draw_priors


def assert_nothing_is_cut(figure: Figure) -> None:
    """Everything that is drawn lies within the figure."""
    box = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    width, height = figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0.0
    assert box.x1 <= width
    assert box.y1 <= height


@pytest.mark.parametrize("name", ["kinematics", "ballistics"])
@pytest.mark.parametrize("panels", [2, 4, 5])
def test_headings_of_panels_fit(name: str, panels: int) -> None:
    world, x = WORLDS[name], problem(name).sample_prior(200, seed=1)
    with styled():
        figure, axes = grid(panels, world.aspect)
        for ax in axes:
            world.scene(ax, problem(name), x, TRUTH, world.view)
            heading(ax, "true posterior", TRUTH)
        figure.supxlabel(world.horizontal)
        _lay_out(figure)
        assert_nothing_is_cut(figure)


def test_the_prior_of_arms_is_seen_as_a_whole() -> None:
    with styled():
        figure = draw_priors([problem("kinematics")])
        assert figure is not None
        _lay_out(figure)
        assert_nothing_is_cut(figure)
    (ax,) = figure.axes
    contour = np.concatenate([path.vertices for c in ax.collections for path in c.get_paths()[:1]])
    for values, (low, high) in zip(contour.T, (ax.get_xlim(), ax.get_ylim()), strict=True):
        assert low < values.min()
        assert values.max() < high
    assert [text.get_text() for text in ax.texts] == []
