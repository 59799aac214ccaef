"""What is particular to single families: their losses written out again, and their ways back."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

import fastinv
from fastinv.models import model_names
from fastinv.models.bidirectional import joint_log_density, normal_scores, supervised_loss
from fastinv.models.family import Dims
from fastinv.models.flow_matching import FASTEST
from fastinv.models.invauto import InvAuto
from fastinv.models.iresnet import InverseNotConvergedWarning, IResNet
from fastinv.models.layers.ode import SOLVERS
from fastinv.models.settings import DEFAULTS, LatentMatching, with_overrides
from fastinv.names import UnknownNameError
from fastinv.presets import Preset

TINY = Preset("tiny", 20_000, 4000, 200, 2, 5, 5)


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def disturbed(name: str, scale: float = 0.05, **settings):
    """A family on kinematics away from its zero start."""
    model = fastinv.model(name, fastinv.problem("kinematics"), preset="smoke", settings=settings)
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(scale * randn(*p.shape, seed=i))
    return model.family.eval()


def test_equation_4() -> None:
    image, log_det, y = randn(20, 4), randn(20, seed=1), randn(20, 2, seed=2)
    expected = Normal(image[:, :2], 0.1).log_prob(y).sum(-1) + Normal(0.0, 1.0).log_prob(image[:, 2:]).sum(-1)
    torch.testing.assert_close(joint_log_density(image, log_det, y, 0.1), expected + log_det)


def test_equation_3_punishes_wrong_y_wrong_z_and_dependence() -> None:
    y, z, normal, c = randn(500, 2), randn(500, 2, seed=1), randn(500, 2, seed=2), torch.empty(500, 0)
    joint = LatentMatching(alpha=1.0, mmd_on="yz", y_scale=1.0)
    marginal = LatentMatching(alpha=1.0, mmd_on="z")
    good = torch.cat((y, z), dim=1)
    dependent = torch.cat((y, y), dim=1)  # standard normal, but a copy of y
    for settings in (joint, marginal):
        base = supervised_loss(good, y, c, normal, settings)
        assert base.abs() < 0.02
        assert supervised_loss(torch.cat((y + 1.0, z), dim=1), y, c, normal, settings) > base + 1.9
        assert supervised_loss(torch.cat((y, 3.0 * z), dim=1), y, c, normal, settings) > base + 0.05
    base = supervised_loss(good, y, c, normal, joint)
    assert supervised_loss(dependent, y, c, normal, joint) > base + 0.05
    assert supervised_loss(dependent, y, c, normal, marginal).abs() < 0.02


def test_equation_3_punishes_dependence_on_a_condition() -> None:
    """z is drawn without a look at the count that goes with y; so the two must be independent."""
    y, z, normal, c = randn(500, 1), randn(500, 2, seed=1), randn(500, 2, seed=2), randn(500, 1, seed=3)
    joint = LatentMatching(alpha=1.0, y_scale=1.0)
    independent = supervised_loss(torch.cat((y, z), dim=1), y, c, normal, joint)
    assert independent.abs() < 0.005
    copies = torch.cat((y, z[:, :1], c), dim=1)
    # One copied coordinate of five moves the MMD by .025; two samples of 500 alone by about .001.
    assert supervised_loss(copies, y, c, normal, joint) > 0.02
    assert supervised_loss(copies, y, c[:, :0], normal, joint).abs() < 0.005


@pytest.mark.parametrize("name", ["inn-l2-mmd", "iresnet", "invauto", "autoencoder"])
def test_pairs_of_earlier_batches_are_constants_of_the_mmd(name: str) -> None:
    family = disturbed(name, mmd_batches=3, alpha=2.0)
    own = 20
    x, y, c, noise = randn(60, 4), randn(60, 2, seed=1), torch.empty(60, 0), randn(own, 6, seed=2)
    assert (family.earlier_batches, family.loss_noise) == (2, 6)
    alone = family.loss(x[:own], y[:own], c[:own], noise)
    loss = family.loss(x, y, c, noise)
    image = torch.cat((family.encode(x[:own], c[:own])[0], family.encode(x[own:], c[own:])[0].detach()))
    difference = supervised_loss(image, y, c, noise, family.settings)
    difference = difference - supervised_loss(image[:own], y[:own], c[:own], noise, family.settings)
    torch.testing.assert_close(loss - alone, difference)
    weights = [p for p in family.parameters() if p.requires_grad]
    found, expected = (
        torch.autograd.grad(value, weights, retain_graph=True, materialize_grads=True)
        for value in (loss - alone, difference)
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_earlier_batches_leave_the_pull_and_take_the_noise() -> None:
    def pulls(batches: int) -> torch.Tensor:
        """Mean gradient in z, one too large on average, of fifty batches of forty pairs."""
        settings, found = LatentMatching(alpha=1.0, mmd_batches=batches), []
        for seed in range(50):
            y, c = randn(40 * batches, 2, seed=seed), torch.empty(40 * batches, 0)
            own, others = (randn(40 * batches, 2, seed=100 + seed) + 1.0).split([40, 40 * (batches - 1)])
            own.requires_grad_()
            image = torch.cat((y, torch.cat((own, others))), dim=1)
            loss = supervised_loss(image, y, c, randn(40, 2 * batches, seed=200 + seed), settings)
            found.append(torch.autograd.grad(loss, own)[0].mean(0))
        return torch.stack(found)

    few, many = pulls(1), pulls(8)
    assert (many.mean(0) > 0.0).all()
    torch.testing.assert_close(many.mean(0), few.mean(0), rtol=0.15, atol=0.0)
    assert (many.std(0) < 0.7 * few.std(0)).all()


def test_a_setting_of_no_batches_is_refused() -> None:
    with pytest.raises(ValueError, match="'mmd_batches' must be at least 1, got 0"):
        disturbed("autoencoder", mmd_batches=0)


def test_normal_scores_keep_the_order_and_forget_the_distances() -> None:
    y = torch.tensor([[0.0, 5.0], [100.0, 4.0], [0.1, 3.0]])
    quantiles = torch.special.ndtri(torch.tensor([1.0, 3.0, 5.0]) / 6)
    expected = torch.stack((quantiles[[0, 2, 1]], quantiles[[2, 1, 0]]), dim=1)
    torch.testing.assert_close(normal_scores(y), expected)
    torch.testing.assert_close(normal_scores(y.exp()[:, 1:]), expected[:, 1:])


def test_equation_3_of_nan_is_nan() -> None:
    image = torch.full((10, 4), math.nan)
    assert torch.isnan(
        supervised_loss(image, randn(10, 2), torch.empty(10, 0), randn(10, 2), LatentMatching())
    )


def test_equation_8() -> None:
    family = disturbed("cvae", alpha=0.3)
    x, y, c, noise = randn(40, 4), randn(40, 2, seed=1), torch.empty(40, 0), randn(40, 2, seed=2)
    mean, log_variance = family.encode(x, y, c)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    divergence = kl_divergence(posterior, Normal(0.0, 1.0)).sum(-1).mean()
    decoded = family.draw(y, c, posterior.loc + posterior.scale * noise)
    expected = (decoded - x).square().sum(-1).mean() + 0.3 * divergence
    torch.testing.assert_close(family.loss(x, y, c, noise), expected)


def test_equation_9() -> None:
    family = disturbed("mdn", components=3)
    x, y, c = randn(10, 4), randn(10, 2, seed=1), torch.empty(10, 0)
    m = family.mixture(y, c)
    lower = torch.diag_embed(m.log_diagonal.exp())
    rows, columns = torch.tril_indices(4, 4, -1)
    lower[..., rows, columns] = m.below
    density = sum(
        m.log_weights[:, k].exp()
        * MultivariateNormal(m.means[:, k], precision_matrix=lower[:, k] @ lower[:, k].mT).log_prob(x).exp()
        for k in range(3)
    )
    torch.testing.assert_close(family.loss(x, y, c, x), -density.log().mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["iaf", "maf"])
def test_exact_inverse_of_autoregressive_models(name: str) -> None:
    exact = disturbed(name, inverse="exact")
    x, y, c = randn(50, 4), randn(50, 2, seed=1), torch.empty(50, 0)
    torch.testing.assert_close(exact.reconstruct(x, y, c), x, atol=1e-4, rtol=1e-4)
    learned = disturbed(name)
    assert (learned.reconstruct(x, y, c) - x).abs().max() > 1e-2
    with pytest.raises(UnknownNameError, match="exact"):
        disturbed(name, inverse="exactly")


@pytest.mark.parametrize("name", ["iaf", "maf"])
def test_equation_6(name: str) -> None:
    family = disturbed(name, alpha=3.0, sigma=0.2)
    x, y, c = randn(50, 4), randn(50, 2, seed=1), torch.empty(50, 0)
    image, log_det, _ = family.encode(x, c)
    cycle = (family.decode(image[:, :2], image[:, 2:], c) - x).square().sum(-1).mean()
    expected = 3.0 * cycle - joint_log_density(image, log_det, y, 0.2).mean()
    torch.testing.assert_close(family.loss(x, y, c, x), expected)


@pytest.mark.parametrize("name", ["autoencoder", "invauto"])
def test_equation_7(name: str) -> None:
    settings = (
        {"alpha": 2.0, "beta": 3.0, "padding": 0.0} if name == "invauto" else {"alpha": 2.0, "beta": 3.0}
    )
    family = disturbed(name, **settings)
    x, y, c, normal = randn(50, 4), randn(50, 2, seed=1), torch.empty(50, 0), randn(50, 2, seed=2)
    image = family.encode(x, c)[0]
    cycle = (family.reconstruct(x, y, c) - x).square().sum(-1).mean()
    expected = supervised_loss(image, y, c, normal, family.settings) + 3.0 * cycle
    torch.testing.assert_close(family.loss(x, y, c, normal), expected)


def test_invauto_inverts_as_far_as_it_is_orthogonal() -> None:
    """With orthogonal weights (its start) the whole last layer decodes exactly; after a disturbance not."""
    torch.manual_seed(0)
    family = InvAuto(Dims(4, 2, 1), 24, DEFAULTS["invauto"])
    x, c = randn(30, 4), randn(30, 1)
    assert family.orthogonality_error().max() < 1e-5
    torch.testing.assert_close(family.back(family.forth(x, c), c)[:, :4], x, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        family.weights[2] += 0.1 * randn(24, 24)
    assert family.orthogonality_error().max() > 0.05
    assert (family.back(family.forth(x, c), c)[:, :4] - x).abs().max() > 1e-2


def test_invauto_divides_by_its_factors_on_the_way_back() -> None:
    """Of the width of x there is nothing beyond [y, z], so that decoding is exact."""
    torch.manual_seed(0)
    family = InvAuto(Dims(4, 2, 1), 4, DEFAULTS["invauto"])
    x, c = randn(30, 4), randn(30, 1)
    plain = family.encode(x, c)[0]
    with torch.no_grad():
        family.log_scale_y += torch.tensor([0.5, -1.0])
        factors = torch.tensor([math.exp(0.5), math.exp(-1.0), 1.0, 1.0])
        torch.testing.assert_close(family.encode(x, c)[0], plain * factors)
        family.log_scale_x += torch.tensor([0.3, -0.2, 0.1, 0.7])
    again = family.decode(*family.split(family.encode(x, c)[0]), c)
    torch.testing.assert_close(again, x, atol=1e-4, rtol=1e-4)


def test_the_cycle_loss_is_what_keeps_invauto_orthogonal() -> None:
    problem = fastinv.problem("kinematics")
    sizes = Preset("short", 20_000, 40_000, 200, 2, 5, 5)
    errors = {}
    for beta in (0.0, 10.0):
        settings = {"beta": beta, "slope": 0.5, "lr": 3e-3, "layers": 6}
        model = fastinv.model("invauto", problem, preset=sizes, settings=settings)
        fastinv.fit(model, problem, preset=sizes)
        errors[beta] = float(model.family.orthogonality_error().detach().mean())
    assert errors[10.0] < 0.7 * errors[0.0]


def test_iresnet_is_invertible_after_training() -> None:
    problem = fastinv.problem("ballistics")
    model = fastinv.model("iresnet", problem, preset=TINY)
    fastinv.fit(model, problem, preset=TINY)
    x = torch.from_numpy(problem.sample_prior(200, seed=1)).float()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cycle = model.cycle_error(x)
    assert cycle.max() < 1e-6
    assert all(s.unconverged == 0 and s.worst <= 1e-5 for s in model.family.last_inverse)
    assert len(model.family.last_inverse) == len(model.family.blocks)


def test_iresnet_tells_of_rows_that_did_not_converge() -> None:
    torch.manual_seed(0)
    settings = with_overrides(DEFAULTS["iresnet"], {"max_evaluations": 2, "tolerance": 1e-7})
    family = IResNet(Dims(4, 2, 0), 16, settings).eval()
    with torch.no_grad():
        for p in family.parameters():
            p.normal_(0.0, 1.0)
    with pytest.warns(InverseNotConvergedWarning, match="stayed above its tolerance"):
        x = family.draw(randn(100, 2), torch.empty(100, 0), randn(100, 2, seed=1))
    assert x.shape == (100, 4)
    assert max(s.unconverged for s in family.last_inverse) > 0


def test_flow_matching_loss_is_zero_for_the_true_velocity(monkeypatch: pytest.MonkeyPatch) -> None:
    family = disturbed("flow-matching", draws=2)
    x, y, c = randn(30, 4), randn(30, 2, seed=1), torch.empty(30, 0)
    noise = randn(30, 10, seed=2)
    starts = torch.cat((noise[:, :4], noise[:, 5:9]))
    monkeypatch.setattr(family, "velocity", lambda position, t, y, c: x.repeat(2, 1) - starts)
    assert family.loss(x, y, c, noise) == 0.0
    monkeypatch.setattr(family, "velocity", lambda position, t, y, c: x - starts[:30])
    torch.testing.assert_close(family.draw(y, c, starts[:30]), x, atol=1e-5, rtol=1e-5)


def test_flow_matching_draws_average_over_starts_and_times() -> None:
    family = disturbed("flow-matching", draws=2)
    x, y, c = randn(30, 4), randn(30, 2, seed=1), torch.empty(30, 0)
    noise = randn(30, 10, seed=2)
    alone = disturbed("flow-matching", draws=1)
    alone.load_state_dict(family.state_dict())
    expected = (alone.loss(x, y, c, noise[:, :5]) + alone.loss(x, y, c, noise[:, 5:])) / 2
    torch.testing.assert_close(family.loss(x, y, c, noise), expected)


def test_flow_matching_time_bias_moves_times_toward_the_data() -> None:
    # With u uniform, 1 - u^b has mean b / (1 + b); four standard errors of 10,000 draws are below .012.
    for bias in (1.0, 3.0):
        times = disturbed("flow-matching", time_bias=bias).times(randn(10_000, 1))
        assert times.min() > 0.0
        assert times.max() <= 1.0
        assert abs(times.mean() - bias / (1.0 + bias)) < 0.012


@pytest.mark.parametrize("solver", SOLVERS)
def test_flow_matching_solvers(solver: str) -> None:
    family = disturbed("flow-matching", solver=solver, steps=40)
    fine = disturbed("flow-matching", solver="rk4", steps=100)
    y, c, noise = randn(30, 2), torch.empty(30, 0), randn(30, 4, seed=1)
    torch.testing.assert_close(family.draw(y, c, noise), fine.draw(y, c, noise), atol=0.1, rtol=0.1)


def test_flow_matching_throws_nothing_to_infinity(monkeypatch: pytest.MonkeyPatch) -> None:
    family = disturbed("flow-matching")
    monkeypatch.setattr(family, "velocity", lambda x, t, y, c: 1e30 * x)
    noise = randn(50, 4)
    torch.testing.assert_close(family.draw(randn(50, 2), randn(50, 0), noise), noise + FASTEST * noise.sign())


def test_latent_dimensions() -> None:
    expected = {
        "kinematics": {"inn": 2, "cinn": 4, "maf": 2, "mdn": None, "flow-matching": 4},
        "ballistics": {"inn": 2, "cinn": 3, "maf": 2, "mdn": None, "flow-matching": 3},
    }
    for problem_name, names in expected.items():
        for name, dim in names.items():
            model = fastinv.model(name, fastinv.problem(problem_name), preset="smoke")
            assert model.latent_dim == dim, (problem_name, name)
    assert fastinv.model("inn", fastinv.problem("ballistics"), counts="continuous").latent_dim == 3


def test_latent_dimensions_in_words_are_those_of_the_models() -> None:
    in_words = {"dx": 4, "dx - dy": 2, "none": None}
    for name in model_names():
        model = fastinv.model(name, fastinv.problem("kinematics"), preset="smoke")
        if model.info.latent != "chosen":
            assert model.latent_dim == in_words[model.info.latent], name
