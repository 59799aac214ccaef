"""The shared layers: inverses, log-determinants against autograd, densities against torch's own."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fastinv.models.layers.autoregressive import (
    Conditioners,
    InverseAutoregressive,
    MaskedAutoregressive,
)
from fastinv.models.layers.coupling import Affine, Coupling, CouplingFlow, Transform, soft_clamp
from fastinv.models.layers.fixed_point import solve
from fastinv.models.layers.mixture import (
    Bounds,
    bounded_log_diagonal,
    choose_component,
    mixture_from_outputs,
    mixture_log_density,
    mixture_sample,
    outputs_per_component,
)
from fastinv.models.layers.mlp import hidden_widths
from fastinv.models.layers.ode import integrate, time_grid
from fastinv.models.layers.orthogonal import Orthogonal
from fastinv.models.layers.spectral import LipschitzBranch, SpectralLinear, max_min
from fastinv.models.layers.spline import AffineSpline, spline_forward, spline_from_outputs, spline_inverse


def randomise(module: torch.nn.Module, scale: float = 0.5) -> torch.nn.Module:
    """Leave the zero start, where every inverse and log-determinant is trivial."""
    module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.normal_(0.0, scale)
    return module


def autograd_log_det(f, x: Tensor) -> Tensor:
    jacobians = torch.stack([torch.autograd.functional.jacobian(lambda r: f(r[None])[0], row) for row in x])
    return torch.linalg.slogdet(jacobians)[1]


@pytest.mark.parametrize("transform", [Affine(2.0), AffineSpline(Affine(2.0), 6, 3.0)])
@pytest.mark.parametrize(("dim", "dim_c"), [(2, 0), (3, 2), (4, 3), (5, 1)])
def test_coupling_inverse_and_log_det(transform: Transform, dim: int, dim_c: int) -> None:
    torch.manual_seed(0)
    block = randomise(Coupling(dim, dim_c, [8, 8], transform, "silu"))
    x, c = torch.randn(7, dim).double(), torch.randn(7, dim_c).double()
    image, log_det = block(x, c)
    torch.testing.assert_close(block.inverse(image, c), x)
    expected = torch.stack(
        [autograd_log_det(lambda r, c=c[i : i + 1]: block(r, c)[0], x[i : i + 1])[0] for i in range(7)]
    )
    torch.testing.assert_close(log_det, expected)
    assert log_det.abs().max() > 0.1


@pytest.mark.parametrize("learned", [False, True])
def test_flow_inverse_and_log_det(learned: bool) -> None:
    torch.manual_seed(1)
    flow = randomise(
        CouplingFlow(
            4,
            0,
            blocks=3,
            width=8,
            layers=2,
            transform=Affine(1.5),
            activation="silu",
            learned_mixing=learned,
        ),
        0.4,
    )
    x, c = torch.randn(5, 4).double(), torch.empty(5, 0).double()
    image, log_det = flow(x, c)
    # The orthogonal maps are rounded to float32, so they are orthogonal to that precision.
    torch.testing.assert_close(flow.inverse(image, c), x, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        log_det, autograd_log_det(lambda r: flow(r, r[:, :0])[0], x), atol=1e-5, rtol=0
    )


def test_soft_clamp_is_bounded_and_has_slope_one() -> None:
    s = torch.tensor([-1e6, 0.0, 1e6], dtype=torch.float64, requires_grad=True)
    clamped = soft_clamp(s, 2.0)
    assert clamped.abs().max() <= 2.0
    clamped[1].backward()
    assert s.grad is not None
    assert s.grad[1] == pytest.approx(1.0)


@pytest.mark.parametrize("learned", [False, True])
def test_orthogonal_stays_orthogonal(learned: bool) -> None:
    torch.manual_seed(2)
    layer = randomise(Orthogonal(5, learned=learned), 2.0)
    q = layer.matrix()
    torch.testing.assert_close(q @ q.T, torch.eye(5).double(), atol=1e-6, rtol=0)
    x = torch.randn(3, 5).double()
    torch.testing.assert_close(layer.inverse(layer(x)), x, atol=1e-6, rtol=0)


def random_mixture(n: int, k: int, dim: int):
    torch.manual_seed(3)
    outputs = torch.randn(n, k * outputs_per_component(dim)).double()
    return mixture_from_outputs(outputs, k, dim, Bounds(2.0, 1.0))


def test_deviations_stay_between_their_bounds() -> None:
    outputs = torch.tensor([-1e9, -3.0, -1e-6, 0.0, 1e-6, 3.0, 1e9]).double().requires_grad_()
    found = bounded_log_diagonal(outputs, Bounds(6.0, 1.0))
    assert (found.diff() > 0.0).all()
    torch.testing.assert_close(found[[0, -1]], torch.tensor([-1.0, 6.0]).double())
    (slope,) = torch.autograd.grad(found.sum(), outputs)
    torch.testing.assert_close(slope[2:5], torch.ones(3).double())


def factors(m, dim: int) -> Tensor:
    n, k, _ = m.means.shape
    factor = torch.diag_embed(m.log_diagonal.exp())
    rows, columns = torch.tril_indices(dim, dim, -1)
    factor[:, :, rows, columns] = m.below
    return factor.view(n, k, dim, dim)


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_mixture_density_is_that_of_torch(dim: int) -> None:
    m = random_mixture(6, 5, dim)
    factor = factors(m, dim)
    components = torch.distributions.MultivariateNormal(m.means, precision_matrix=factor @ factor.mT)
    weights = torch.distributions.Categorical(logits=m.log_weights)
    expected = torch.distributions.MixtureSameFamily(weights, components)
    x = torch.randn(6, dim).double()
    torch.testing.assert_close(mixture_log_density(m, x), expected.log_prob(x))


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_back_substitution_solves_for_the_sample(dim: int) -> None:
    m = random_mixture(6, 5, dim)
    component, normal = torch.tensor([0, 1, 2, 3, 4, 0]), torch.randn(6, dim).double()
    rows = torch.tensor([5, 1, 1, 3, 0, 4])
    x = mixture_sample(m, rows, component, normal)
    factor, mean = factors(m, dim)[rows, component], m.means[rows, component]
    torch.testing.assert_close((factor.mT @ (x - mean)[..., None])[..., 0], normal)


def test_components_are_chosen_with_their_weights() -> None:
    log_weights = torch.tensor([[0.2, 0.0, 0.5, 0.3], [0.0, 0.0, 1.0, 0.0]]).log()
    uniform = torch.tensor([1e-7, 0.19, 0.21, 0.69, 0.9999999]).expand(2, 5)
    assert choose_component(log_weights, uniform).tolist() == [[0, 0, 2, 2, 3], [2] * 5]


def test_hidden_widths_average_to_the_width() -> None:
    for width in (4.0, 16.25, 16.5, 33.75):
        assert sum(hidden_widths(width, 4)) / 4 == width


def test_spline_is_monotonic_and_the_identity_outside() -> None:
    torch.manual_seed(5)
    spline = spline_from_outputs(3.0 * torch.randn(3 * 8 - 1).double(), 8, 2.0)
    x = torch.linspace(-3, 3, 20_001).double()
    wide = type(spline)(*(t.expand(len(x), -1) for t in spline))
    image, log_slope = spline_forward(wide, x, 2.0)
    assert (image.diff() > 0).all()
    outside = x.abs() >= 2.0
    torch.testing.assert_close(image[outside], x[outside])
    torch.testing.assert_close(spline_inverse(wide, image, 2.0), x, atol=1e-9, rtol=0)
    middle = slice(1, -1)
    numeric = (image[2:] - image[:-2]) / (x[2:] - x[:-2])
    smooth = log_slope[middle].exp()
    # Central differences, away from knots, where the second derivative jumps.
    assert ((numeric - smooth).abs() / smooth).median() < 1e-5


def test_spline_of_zeros_is_the_identity() -> None:
    spline = spline_from_outputs(torch.zeros(5, 3 * 8 - 1).double(), 8, 2.0)
    x = torch.tensor([-2.5, -1.9, 0.0, 0.3, 1.99]).double()
    image, log_slope = spline_forward(spline, x, 2.0)
    torch.testing.assert_close(image, x)
    torch.testing.assert_close(log_slope, torch.zeros(5).double(), atol=1e-12, rtol=0)


def test_lipschitz_bound_holds_for_raw_weights_far_above_it() -> None:
    torch.manual_seed(6)
    branch = LipschitzBranch(4, 1, [32, 32], 0.9)
    with torch.no_grad():
        for p in branch.parameters():
            p.normal_(0.0, 3.0)
    branch.eval()
    for layer in branch.layers:
        assert torch.linalg.matrix_norm(layer.bounded_weight(), ord=2) <= 0.9 * (1 + 1e-5)
    c = torch.randn(1, 1).expand(2000, 1)
    a, b = torch.randn(2, 2000, 4)
    ratio = (branch(a, c) - branch(b, c)).norm(dim=1) / (a - b).norm(dim=1)
    assert ratio.max() <= 0.9**3


@pytest.mark.parametrize("features", [1, 2, 7, 8])
def test_max_min_permutes_its_features(features: int) -> None:
    torch.manual_seed(9)
    h = torch.randn(50, features)
    image = max_min(h)
    torch.testing.assert_close(image.sort(dim=1).values, h.sort(dim=1).values)
    pairs = features // 2
    assert (image[:, :pairs] >= image[:, pairs : 2 * pairs]).all()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda row: max_min(row[None])[0]))(h)
    torch.testing.assert_close(jacobian @ jacobian.mT, torch.eye(features).expand(50, -1, -1))


def test_power_iteration_approaches_the_exact_norm() -> None:
    torch.manual_seed(7)
    layer = SpectralLinear(20, 30, 0.5)
    for _ in range(100):
        estimate = layer.spectral_norm()
    torch.testing.assert_close(estimate.detach(), layer.eval().spectral_norm(), rtol=1e-3, atol=0)


def test_fixed_point_solves_contractions_and_reports_the_rest() -> None:
    torch.manual_seed(8)
    a = 0.95 * torch.linalg.qr(torch.randn(4, 4).double())[0]

    def g(x: Tensor, rows: Tensor) -> Tensor:
        return torch.sin(x @ a.T)

    target = 3.0 * torch.randn(500, 4).double()
    found = solve(g, target, tolerance=1e-10, max_evaluations=400)
    assert found.unconverged == 0
    assert found.worst <= 1e-10
    torch.testing.assert_close(found.x + g(found.x, torch.arange(500)), target, atol=1e-10, rtol=0)
    short = solve(g, target, tolerance=1e-10, max_evaluations=3)
    residual = (short.x + g(short.x, torch.arange(500)) - target).abs().amax(1)
    assert short.unconverged == int((residual > 1e-10).sum()) > 0
    assert short.worst == pytest.approx(float(residual.max()))


@pytest.mark.parametrize("kind", [MaskedAutoregressive, InverseAutoregressive])
@pytest.mark.parametrize("dim_c", [0, 2])
def test_autoregressive_layers(kind, dim_c: int) -> None:
    torch.manual_seed(9)
    layer = randomise(kind(Conditioners(4, dim_c, [8, 8], 2.0, "silu")))
    x, c = torch.randn(6, 4).double(), torch.randn(6, dim_c).double()
    image, log_det = layer(x, c)
    torch.testing.assert_close(layer.inverse(image, c), x)
    for i in range(6):
        jacobian = torch.autograd.functional.jacobian(lambda r, i=i: layer(r[None], c[i : i + 1])[0][0], x[i])
        assert torch.equal(jacobian, jacobian.tril())
        assert jacobian.tril(-1).abs().max() > 1e-3
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[i])


def test_what_iaf_and_maf_depend_on() -> None:
    """MAF's scale of coordinate 1 is a function of input 0; IAF's is one of output 0."""
    torch.manual_seed(10)
    x = torch.randn(1, 3).double()
    c = x[:, :0]
    for kind in (MaskedAutoregressive, InverseAutoregressive):
        layer = randomise(kind(Conditioners(3, 0, [8], 2.0, "silu")))
        image, _ = layer(x, c)
        before = x if kind is MaskedAutoregressive else image
        scale, shift = layer.conditioners.scale_shift(before[:, :1], c)
        if kind is MaskedAutoregressive:
            torch.testing.assert_close(image[:, 1], (x[:, 1] - shift) * (-scale).exp())
        else:
            torch.testing.assert_close(image[:, 1], x[:, 1] * scale.exp() + shift)


@pytest.mark.parametrize(("solver", "order"), [("euler", 1), ("midpoint", 2), ("heun", 2), ("rk4", 4)])
def test_order_of_ode_solvers(solver: str, order: int) -> None:
    start = torch.ones(1, 1).double()
    errors = []
    for steps in (16, 32):
        end = integrate(lambda x, t: -x * (1 + t), start, time_grid(steps, 1.0), solver)
        errors.append(float((end - torch.exp(torch.tensor(-1.5).double())).abs()))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)
