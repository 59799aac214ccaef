"""Every model of the registry on both problems, through the one interface."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

import fastinv
from fastinv.models import BudgetError, PosteriorModel, build, model_info, model_names
from fastinv.models.chart import statistics
from fastinv.models.counts import COUNTS
from fastinv.names import UnknownNameError
from fastinv.presets import PRESETS, Preset

NAMES = model_names()
CASES = [("kinematics", "factorised"), *(("ballistics", counts) for counts in COUNTS)]
TINY = Preset("tiny", 20_000, 2000, 500, 1, 5, 5)


def pairs(problem, n: int):
    x = torch.from_numpy(problem.sample_prior(n, seed=5)).float()
    return x, problem.simulate(x.double()).float()


@pytest.fixture(scope="module")
def trained() -> dict[tuple[str, str, str], PosteriorModel]:
    """A few steps of every model, so that nothing is at its trivial start."""
    models = {}
    for problem_name, counts in CASES:
        problem = fastinv.problem(problem_name)
        for name in NAMES:
            m = fastinv.model(name, problem, preset=TINY, counts=counts)
            fastinv.fit(m, problem, preset=TINY)
            models[name, problem_name, counts] = m
    return models


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("problem_name", "counts"), CASES)
def test_interface(trained, name: str, problem_name: str, counts: str) -> None:
    m = trained[name, problem_name, counts]
    problem = m.problem
    x, y = pairs(problem, 64)
    loss = m.loss(x, y, generator=torch.Generator().manual_seed(0))
    assert loss.shape == ()
    assert torch.isfinite(loss)
    samples = m.sample(problem.observations(3), 50, seed=1)
    assert samples.shape == (3, 50, problem.dim_x)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    for errors in (m.forward_error(x, y), m.cycle_error(x)):
        assert errors is None or (errors.shape == (64,) and bool((errors >= 0).all()))
    if m.info.supervised:
        assert m.forward_error(x, y) is not None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("problem_name", "counts"), CASES)
def test_samples_depend_on_seed_and_observation_alone(trained, name, problem_name, counts) -> None:
    m = trained[name, problem_name, counts]
    y = m.problem.observations(4)
    together = m.sample(y, 30, seed=3)
    np.testing.assert_allclose(m.sample(y[:2], 30, seed=3), together[:2], rtol=1e-4, atol=1e-5)
    assert np.abs(m.sample(y, 30, seed=4) - together).max() > 1e-3
    as_tensor = m.sample(torch.from_numpy(y), 30, seed=3)
    assert isinstance(as_tensor, torch.Tensor)
    np.testing.assert_array_equal(as_tensor.numpy(), together)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("problem_name", "counts"), CASES)
def test_many_at_once_are_what_single_rows_are(trained, name, problem_name, counts) -> None:
    """What families compute once per observation changes nothing but rounding."""
    m = trained[name, problem_name, counts]
    y = torch.from_numpy(m.problem.observations(3)).float()
    noise = torch.randn(3, 80, m.noise_width, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        together = m.draw(y, noise)
        standard = m.chart.standardise_y(y).repeat_interleave(80, dim=0)
        c = m.chart.split(together.flatten(0, 1))[1]
        rows = m.chart.join(m.family.draw(standard, c, noise[..., :-1].flatten(0, 1)), c)
        if m.info.name == "invauto":  # its `draw` is a short cut by itself
            rows = m.chart.join(m.family.decode(standard, noise[..., :-1].flatten(0, 1), c), c)
    torch.testing.assert_close(together.flatten(0, 1), rows, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_whole_numbers_unless_continuous(trained, name: str) -> None:
    for counts in COUNTS:
        m = trained[name, "ballistics", counts]
        count = m.sample(m.problem.observations(3), 200)[..., 3]
        if counts == "continuous":
            assert np.abs(count - count.round()).max() > 0.01
        else:
            assert (count == count.round()).all()
            assert (count >= 0).all()


@pytest.mark.parametrize("name", [n for n in NAMES if model_info(n).invertibility == "hard"])
@pytest.mark.parametrize(("problem_name", "counts"), CASES)
def test_hard_invertibility(trained, name: str, problem_name: str, counts: str) -> None:
    m = trained[name, problem_name, counts]
    x, _ = pairs(m.problem, 100)
    cycle = m.cycle_error(x)
    assert cycle is not None
    assert cycle.max() < 1e-6


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("preset", ["smoke", "quick", "paper"])
@pytest.mark.parametrize("problem_name", ["kinematics", "ballistics"])
def test_budget_is_met(name: str, preset: str, problem_name: str) -> None:
    m = fastinv.model(name, fastinv.problem(problem_name), preset=preset)
    assert m.parameter_count == pytest.approx(PRESETS[preset].parameters, rel=0.03)


SIZES = {
    "power": lambda w: int(3.0 * w**2 + 40.0 * w),
    "constant for long": lambda w: 1000 * int(w / 64.0) ** 2,
    "one jump": lambda w: 5 if w < 700.0 else 10**9,
    "linear": lambda w: int(w),
    "the same for all": lambda w: 7,
    "nothing": lambda w: 0,
    "smaller at first": lambda w: int(abs(w - 20.0)) + 1,
}


@pytest.mark.parametrize("law", SIZES)
@pytest.mark.parametrize("parameters", [-3, 0, 6, 50, 4_000, 100_000, 10**7, 10**12])
def test_the_widest_network_of_a_grid_is_found_in_few_guesses(law: str, parameters: int) -> None:
    tried: dict[float, int] = {}

    def size(width: float) -> int:
        tried[width] = SIZES[law](width)
        return tried[width]

    found = build._widest(size, parameters)
    assert found == build.MIN_WIDTH or size(found) <= parameters
    above = found + build.GRID
    assert above >= build.MAX_WIDTH or size(above) > parameters
    assert len(tried) <= build.GUESSES + 17
    if law == "power":
        assert len(tried) <= 8


def test_a_width_is_solved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, solve = [], build.solve_width
    monkeypatch.setattr(build, "_SOLVED", {})
    monkeypatch.setattr(build, "solve_width", lambda *case: calls.append(case) or solve(*case))
    problem = fastinv.problem("ballistics")
    first, second = (fastinv.model("maf", problem, preset=TINY) for _ in range(2))
    assert len(calls) == 1
    assert first.spec == second.spec
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    fastinv.model("maf", problem, preset=TINY, settings={"blocks": 3})
    fastinv.model("maf", problem, preset=TINY, counts="continuous")
    assert len(calls) == 3


def test_statistics_are_kept_for_a_class_but_not_for_objects_of_their_own() -> None:
    assert statistics(fastinv.problem("kinematics")) is statistics(fastinv.problem("kinematics"))
    tall, thrown = fastinv.problem("ballistics"), fastinv.problem("ballistics")
    tall.settings = dataclasses.replace(tall.settings, x2_mean=9.0)
    assert statistics(tall).x[0, 1] > 8.0
    assert statistics(thrown).x[0, 1] < 2.0


@pytest.mark.parametrize("name", NAMES)
def test_budget_too_small(name: str) -> None:
    nothing = Preset("nothing", 60, 1, 1, 1, 1, 1)
    with pytest.raises(BudgetError, match="too small"):
        fastinv.model(name, fastinv.problem("ballistics"), preset=nothing)


@pytest.mark.parametrize("counts", ["factorised", "continuous"])
def test_log_prob_is_a_density(counts: str) -> None:
    """exp(log_prob) integrates to one over a wide box, summed over the count where it is factored out."""
    problem = fastinv.problem("ballistics")
    m = fastinv.model("mdn", problem, preset="smoke", counts=counts)  # untrained: broad, easy to integrate
    n = 60_000
    mean, std = m.chart.x_moments
    u = torch.rand(n, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    x, volume = mean + 8 * std * u, (16 * std).prod()
    if counts == "factorised":
        classes = m.head.classes
        x[:, 3] = m.head.lowest + (u[:, 3] * 0.5 + 0.5).mul(classes).floor().clamp(max=classes - 1)
        volume = (16 * std[:3]).prod() * classes
    with torch.no_grad():
        values = m.log_prob(x, torch.full((n, 1), 7.0)).exp() * volume
    # Five standard errors of the Monte-Carlo integral: a false alarm once in two million.
    error = float(values.std()) / n**0.5
    assert error < 0.05
    assert values.mean() == pytest.approx(1.0, abs=5 * error)


def test_log_prob_matches_change_of_units() -> None:
    """log_prob of a flow equals the latent density times autograd's Jacobian, in physical units."""
    problem = fastinv.problem("kinematics")
    m = fastinv.model("cinn", problem, preset="smoke")
    with torch.no_grad():
        for p in m.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    x, y = pairs(problem, 3)
    log_prob = m.log_prob(x, y)
    for i in range(3):

        def latent(row, i=i):
            u, _ = m.chart.split(row[None])
            return m.family.flow(u, m.chart.standardise_y(y[i : i + 1]))[0][0]

        jacobian = torch.autograd.functional.jacobian(latent, x[i])
        expected = torch.distributions.Normal(0.0, 1.0).log_prob(latent(x[i])).sum()
        expected = expected + torch.linalg.slogdet(jacobian)[1]
        torch.testing.assert_close(log_prob[i], expected, rtol=1e-4, atol=1e-4)


def test_unknown_names() -> None:
    problem = fastinv.problem("kinematics")
    with pytest.raises(UnknownNameError, match="cinn"):
        fastinv.model("cin", problem)
    with pytest.raises(UnknownNameError, match="rounded"):
        fastinv.model("cinn", problem, counts="round")
    with pytest.raises(UnknownNameError, match="clamp"):
        fastinv.model("cinn", problem, settings={"clam": 1.0})
    with pytest.raises(TypeError, match="clamp"):
        fastinv.model("cinn", problem, settings={"clamp": "big"})
    with pytest.raises(UnknownNameError, match="paper"):
        model_names("papers")  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.array([[np.nan, 0.0]]), np.array([[0.0, np.inf]])])
def test_bad_observations(bad) -> None:
    m = fastinv.model("cinn", fastinv.problem("kinematics"), preset="smoke")
    with pytest.raises(ValueError, match="y_star"):
        m.sample(bad, 5)
    with pytest.raises(ValueError, match="n must be"):
        m.sample(np.zeros((1, 2)), 0)


def test_same_seed_same_weights() -> None:
    problem = fastinv.problem("ballistics")
    first, again, other = (fastinv.model("mdn", problem, preset="smoke", seed=s) for s in (0, 0, 1))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_looking_at_the_registry_does_not_import_torch() -> None:
    code = (
        "import sys; from fastinv.models import model_names, model_info; import fastinv.training;"
        "[model_info(n) for n in model_names()]; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_groups_of_names() -> None:
    assert set(model_names("paper")) | set(model_names("additions")) == set(model_names())
    assert all(model_info(n).addition for n in model_names("additions"))
