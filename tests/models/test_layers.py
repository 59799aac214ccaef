"""The shared layers: inverses, log-determinants against autograd, densities against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fastinv.models.layers.coupling import AffineCoupling, CouplingFlow, soft_clamp
from fastinv.models.layers.mixture import (
    choose_component,
    mixture_from_outputs,
    mixture_log_density,
    mixture_sample,
    outputs_per_component,
)
from fastinv.models.layers.mlp import hidden_widths
from fastinv.models.layers.orthogonal import Orthogonal


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


@pytest.mark.parametrize(("dim", "dim_c"), [(2, 0), (3, 2), (4, 3), (5, 1)])
def test_coupling_inverse_and_log_det(dim: int, dim_c: int) -> None:
    torch.manual_seed(0)
    block = randomise(AffineCoupling(dim, dim_c, [8, 8], 2.0, "silu"))
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
        CouplingFlow(4, 0, blocks=3, width=8, layers=2, clamp=1.5, activation="silu", learned_mixing=learned),
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
    return mixture_from_outputs(outputs, k, dim, clamp=2.0)


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
    x = mixture_sample(m, component, normal)
    rows = torch.arange(6)
    factor, mean = factors(m, dim)[rows, component], m.means[rows, component]
    torch.testing.assert_close((factor.mT @ (x - mean)[..., None])[..., 0], normal)


def test_components_are_chosen_with_their_weights() -> None:
    log_weights = torch.tensor([[0.2, 0.0, 0.5, 0.3]]).log().expand(5, 4)
    uniform = torch.tensor([1e-7, 0.19, 0.21, 0.69, 0.9999999])
    assert choose_component(log_weights, uniform).tolist() == [0, 0, 2, 2, 3]


def test_hidden_widths_average_to_the_width() -> None:
    for width in (4.0, 16.25, 16.5, 33.75):
        assert sum(hidden_widths(width, 4)) / 4 == width
