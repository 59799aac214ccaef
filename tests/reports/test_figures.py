"""Figures: what they are computed from, and that all of them are drawn of a real run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import fastinv
from fastinv.problems.ballistics import Ballistics
from fastinv.problems.kinematics import Kinematics
from fastinv.reports import ProblemResult, load_results
from fastinv.reports.figures import FigureData, collect, draw_all, write
from fastinv.reports.figures.calibration import coverage, draw_coverage, draw_ranks, rank_deviation
from fastinv.reports.figures.density import contour, most_likely, profile
from fastinv.reports.figures.labels import place_labels
from fastinv.reports.figures.panels import grid, new_figure
from fastinv.reports.figures.samples import NoSamplesError, load_model, ranks
from fastinv.reports.figures.scenes import flights, joints
from fastinv.reports.figures.speed import pareto_front
from fastinv.reports.figures.style import PAPER, looks, styled
from fastinv.reports.figures.throughput import Throughput, draw_throughput, read_throughput
from fastinv.store import RunReader

DARK_PANEL = "#1d1f24"  # of the page's style sheet


@pytest.fixture(scope="module")
def all_data(run_folder: Path) -> list[FigureData]:
    with RunReader(run_folder) as run:
        return [collect(run, result) for result in load_results(run)]


def test_mean_shift_finds_the_higher_of_two_modes() -> None:
    rng = np.random.default_rng(0)
    low = rng.normal([0.0, 0.0, 0.0, 0.0], 0.2, size=(400, 4))
    high = rng.normal([2.0, -1.0, 3.0, 1.0], 0.2, size=(600, 4))
    found = most_likely(np.concatenate([low, high]), bandwidth=0.2)
    assert np.abs(found - [2.0, -1.0, 3.0, 1.0]).max() < 0.1


def test_mean_shift_of_points_that_coincide_is_that_point() -> None:
    assert most_likely(np.full((50, 3), 1.5)).tolist() == [1.5, 1.5, 1.5]


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_a_contour_holds_its_share_of_the_points(share: float) -> None:
    points = np.random.default_rng(1).normal(size=(2000, 2)) @ np.array([[1.0, 0.6], [0.0, 0.3]])
    c = contour(points, share, 0.01)
    # Density at each point, read off the grid.
    i = np.clip(np.searchsorted(c.y, points[:, 1]), 0, len(c.y) - 1)
    j = np.clip(np.searchsorted(c.x, points[:, 0]), 0, len(c.x) - 1)
    assert np.mean(c.density[i, j] > c.level) == pytest.approx(share, abs=0.02)


def test_a_contour_of_equal_points_is_as_wide_as_the_smallest_bandwidth() -> None:
    c = contour(np.zeros((100, 2)), 0.97, 0.05)
    assert c.density.max() == pytest.approx(100.0, rel=0.01)
    assert c.x[-1] == pytest.approx(0.2)


def test_a_profile_peaks_at_one_where_the_points_are() -> None:
    where = np.linspace(-1.0, 1.0, 201)
    height = profile(np.full(50, 0.5), where, 0.02)
    assert height.max() == 1.0
    assert where[np.argmax(height)] == pytest.approx(0.5)


def test_joints_end_where_the_simulation_says() -> None:
    problem = Kinematics()
    x = problem.sample_prior(100)
    np.testing.assert_allclose(joints(x)[:, -1, ::-1], problem.simulate(x), atol=1e-12)


def test_flights_end_on_the_ground_where_the_simulation_says() -> None:
    problem = Ballistics()
    x = problem.sample_prior(100)
    impact = problem.simulate(x)[:, 0]
    paths = flights(x, impact, problem.settings)
    np.testing.assert_allclose(paths[:, 0], x[:, :2], atol=1e-12)
    np.testing.assert_allclose(paths[:, -1, 0], impact, atol=1e-8)
    np.testing.assert_allclose(paths[:, -1, 1], 0.0, atol=1e-6)


def test_a_throw_that_never_lands_is_still_drawn() -> None:
    x = np.array([[0.0, -5.0, 0.5, 0.0], [0.0, 1.0, 1.0, -3.0]])
    assert np.isfinite(flights(x, np.full(2, np.nan), Ballistics.settings)).all()


def test_the_pareto_front_is_the_definition() -> None:
    rng = np.random.default_rng(0)
    points = [tuple(p) for p in rng.integers(0, 8, size=(30, 2)).astype(float)]
    front = {points[i] for i in pareto_front(points)}
    undominated = {p for p in points if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in points)}
    assert front == undominated


def test_exact_posterior_samples_are_calibrated() -> None:
    """One statistic per coordinate at the 5% level of a conservative test: fixed seeds, no false alarm."""
    problem = fastinv.problem("kinematics")
    x = problem.sample_prior(400, seed=5)
    samples = problem.sample_posterior(problem.simulate(x), 99, seed=6)
    found = ranks(x, samples, np.random.default_rng(0))
    band = 1.358 / math.sqrt(400)
    assert max(np.abs(rank_deviation(column)).max() for column in found.T) < band
    levels = np.array([0.5, 0.9])
    assert np.abs(coverage(found, levels) - levels).max() < 0.05
    # ... and samples of the prior in their place are caught.
    prior = problem.sample_prior(400 * 99, seed=7).reshape(400, 99, 4) * 0.7
    wrong = ranks(x, prior, np.random.default_rng(0))
    assert max(np.abs(rank_deviation(column)).max() for column in wrong.T) > band


def test_ties_of_counts_are_broken_evenly() -> None:
    x, samples = np.zeros((2000, 1)), np.zeros((2000, 9, 1))
    found = ranks(x, samples, np.random.default_rng(0))
    counts = np.bincount(found[:, 0], minlength=10)
    assert len(counts) == 10
    assert counts.min() > 140  # 200 expected, 4.4 standard deviations: false alarms below 1e-4


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(a: str, b: str) -> float:
    high, low = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_looks_are_distinct_and_stand_out_on_light_and_dark() -> None:
    names = [*fastinv.model_names(), "mcmc", "a-plugin", "another-plugin"]
    found = looks(names)
    assert len({(look.colour, look.marker) for look in found.values()}) == len(names)
    for look in found.values():
        assert _contrast(look.colour, PAPER) >= 3.0
        assert _contrast(look.colour, DARK_PANEL) >= 3.0


def test_a_model_looks_the_same_whatever_its_company() -> None:
    assert looks(["cinn"])["cinn"] == looks(["inn", "cinn", "plugin"])["cinn"]


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 11, 13, 31])
def test_grids_have_room_for_every_panel(n: int) -> None:
    figure, axes = grid(n, 0.7)
    assert len(axes) == n
    assert figure.get_size_inches()[0] <= 7.0


def test_labels_do_not_cover_each_other() -> None:
    figure = new_figure(3.4, 3.0)
    ax = figure.subplots()
    points = [(1.0, 1.0), (1.02, 1.01), (1.0, 1.03), (3.0, 2.0), (0.0, 3.0)]
    ax.plot(*zip(*points, strict=True), "o")
    place_labels(ax, points, ["a long name"] * 5)
    boxes = [text.get_window_extent() for text in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_figure_is_written_in_several_formats(all_data: list[FigureData], tmp_path: Path) -> None:
    # All figures of a run are those of its page, in test_html.py.
    *_, drawn = islice(draw_all(all_data), 3)
    assert all_data[0].notes == []
    paths = write(drawn, tmp_path)
    assert [p.name for p in paths] == ["kinematics-errors.pdf", "kinematics-errors.png"]
    assert paths[0].read_bytes().startswith(b"%PDF")
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    again = tmp_path / "again"
    again.mkdir()
    assert write(drawn, again)[0].read_bytes() == paths[0].read_bytes()


def test_samples_are_those_of_the_run_s_seed(run_folder: Path, all_data: list[FigureData]) -> None:
    with RunReader(run_folder) as run:
        model = load_model(run, all_data[0].problem, "cinn", 0)
    expected = model.sample([0.0, 1.5], 1000, seed=0)[0]
    np.testing.assert_array_equal(all_data[0].samples["cinn"], expected.astype(np.float64))


def _with(data: FigureData, scores: NDArray[np.float64]) -> FigureData:
    return replace(data, scores={name: {"err_post": scores, "err_resim": scores} for name in data.scores})


@pytest.mark.parametrize(
    "scores",
    [
        np.array([]),
        np.array([np.nan, np.nan]),
        np.array([0.0, 0.0]),
        np.array([1e-300, 1e300]),
        np.array([np.inf, 1.0]),
        np.array([0.5]),
    ],
)
def test_hopeless_scores_do_not_cost_the_other_figures(
    all_data: list[FigureData], scores: NDArray[np.float64]
) -> None:
    data = replace(_with(all_data[0], scores), corners=(), samples={}, ranks={}, curves={}, notes=[])
    names = [d.name for d in draw_all([data])]
    assert "kinematics-posteriors" in names
    assert all("left out" in note for note in data.notes)


def test_a_name_with_dollar_signs_is_just_a_name(all_data: list[FigureData]) -> None:
    name = "$\\frac{1}{0$"
    data = all_data[0]
    ranks_of = {name: data.ranks["cinn"]}
    hostile = replace(data, ranks=ranks_of, looks=looks([name]))
    for draw in (draw_ranks, draw_coverage):
        with styled():
            figure = draw(hostile)
            assert figure is not None
            figure.draw_without_rendering()


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", ".", "a/b"])
def test_no_name_leads_out_of_the_run_s_folder(
    run_folder: Path, all_data: list[FigureData], name: str
) -> None:
    with RunReader(run_folder) as run, pytest.raises(NoSamplesError):
        load_model(run, all_data[0].problem, name, 0)


def test_a_missing_checkpoint_becomes_a_note(run_folder: Path, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(run_folder, folder)
    (folder / "checkpoints" / "kinematics-cinn-seed0.safetensors").write_bytes(b"nonsense")
    with RunReader(folder) as run:
        result: ProblemResult = load_results(run)[0]
        data = collect(run, result)
    assert set(data.samples) == {"inn", "mdn"}
    assert len(data.notes) == 1
    assert "kinematics cinn: no samples in the figures" in data.notes[0]


@pytest.mark.parametrize("module", ["fastinv", "fastinv.cli", "fastinv.reports", "fastinv.reports.html"])
def test_nothing_imports_matplotlib_before_it_is_needed(module: str) -> None:
    code = f"import {module}, sys; assert not {{'matplotlib', 'jinja2'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)


def saved_profile(folder: Path, device: str = "cpu", best: str = "packed") -> Path:
    points = [
        {"batch": 1000, "timing": {"median_ms": 2.0}},
        {"batch": 1, "timing": {"median_ms": 0.5}},
        {"batch": 10**6, "timing": None},
    ]
    modes = [{"mode": "eager", "points": []}, {"mode": "packed", "points": points}]
    path = folder / "profiles" / f"kinematics-mdn-{device}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"models": [{"best": best, "modes": modes}]}))
    return path


def test_throughput_is_that_of_the_fastest_mode(tmp_path: Path) -> None:
    saved_profile(tmp_path)
    found = read_throughput(tmp_path, "kinematics", "mdn")
    assert found == Throughput("packed", "cpu", ((1.0, 2000.0), (1000.0, 500_000.0)))
    saved_profile(tmp_path, "cuda")
    assert read_throughput(tmp_path, "kinematics", "mdn") == replace(found, device="cuda")


def test_a_profile_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert read_throughput(tmp_path, "kinematics", "mdn") is None
    path = saved_profile(tmp_path, best="eager")
    assert read_throughput(tmp_path, "kinematics", "mdn") is None
    for text in ("{", "[]", '{"models": []}', '{"models": [{"best": "x", "modes": 5}]}', "[" * 50_000):
        path.write_text(text)
        assert read_throughput(tmp_path, "kinematics", "mdn") is None


def test_throughput_is_drawn_where_a_run_holds_profiles(all_data: list[FigureData]) -> None:
    data = all_data[0]
    assert draw_throughput(data) is None
    lines = {
        "mdn": Throughput("packed", "cpu", ((1.0, 2000.0), (1000.0, 500_000.0))),
        "inn": Throughput("fused", "cpu", ((1.0, 900.0), (1000.0, 60_000.0))),
    }
    figure = draw_throughput(replace(data, throughput=lines))
    assert figure is not None
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["MDN (packed)", "INN (fused)"]
