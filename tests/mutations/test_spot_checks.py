"""Would the tests notice? A sign flipped or a term dropped in a copy of the sources has to make them fail.

Every mutant names the tests that own its formula. They pass on the untouched copy first, so that a failure
comes from the mutation.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from checkout import ROOT, Checkout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

MMD = ("tests/kernels/test_mmd.py",)
NUMBA = (*MMD, "-k", "numba")
AUTOGRAD = ("tests/kernels/test_mmd_torch.py", "-k", "dense_autograd and reference")
FAMILIES = ("tests/models/test_families.py", "-k", "equation")
LAYERS = ("tests/models/test_layers.py", "-k", "coupling or mixture or flow_inverse")
SAMPLERS = ("tests/kernels/test_exact_samplers.py",)


@dataclass(frozen=True)
class Mutant:
    """A wrong formula and the tests that have to notice it."""

    path: str
    old: str
    new: str
    tests: tuple[str, ...]


MUTANTS = {
    "mmd-reference-imq-power": Mutant(
        "kernels/mmd/reference.py", "(1.0 + rate * s) ** -power)", "(1.0 + rate * s) ** power)", MMD
    ),
    "mmd-cross-term": Mutant("kernels/mmd/terms.py", "(m - 1) / m, -2.0), k0", "(m - 1) / m, 2.0), k0", MMD),
    "mmd-diagonal": Mutant("kernels/mmd/terms.py", "k0 / n + k0 / m", "k0 / n", MMD),
    "mmd-numba-exp2-term": Mutant(
        "kernels/mmd/numba_math.py", "    p = p * f + _F4\n", "    p = p * f\n", NUMBA
    ),
    "mmd-reference-slope": Mutant(
        "kernels/mmd/reference.py",
        "slopes -= weight * rate * np.log(2.0) * np.exp2(-rate * s)",
        "slopes += weight * rate * np.log(2.0) * np.exp2(-rate * s)",
        AUTOGRAD,
    ),
    "equation-3-mmd": Mutant(
        "fastinv/models/bidirectional.py", "+ settings.alpha * disc", "- settings.alpha * disc", FAMILIES
    ),
    "equation-3-independence": Mutant(
        "fastinv/models/bidirectional.py", "settings.y_scale * normal", "0.0 * normal", FAMILIES
    ),
    "equation-4-jacobian": Mutant(
        "fastinv/models/bidirectional.py", "image[:, dim_y:]) + log_det", "image[:, dim_y:])", FAMILIES
    ),
    "equation-4-sigma": Mutant(
        "fastinv/models/bidirectional.py", "- dim_y * math.log(sigma)", "+ dim_y * math.log(sigma)", FAMILIES
    ),
    "equation-8-divergence": Mutant(
        "fastinv/models/cvae.py", "- mean.square() - variance)", "- mean.square())", FAMILIES
    ),
    "coupling-log-det": Mutant(
        "fastinv/models/layers/coupling.py", "+ shift, scale.sum(-1)", "+ shift, -scale.sum(-1)", LAYERS
    ),
    "mixture-normaliser": Mutant(
        "fastinv/models/layers/mixture.py",
        "log_norm = m.log_diagonal.sum(-1) - 0.5",
        "log_norm = -m.log_diagonal.sum(-1) - 0.5",
        LAYERS,
    ),
    "sampler-third-link": Mutant(
        "kernels/rejection/kinematics_reference.py",
        "rho = y[1] - l3 * np.cos(c)",
        "rho = y[1] + l3 * np.cos(c)",
        (*SAMPLERS, "-k", "kinematics and native"),
    ),
    "sampler-compiled-link": Mutant(
        "kernels/rejection/numba_cpu/kinematics_envelope.py",
        "(y2 - rho[i]) / target.l3",
        "(y2 + rho[i]) / target.l3",
        (*SAMPLERS, "-k", "kinematics and numba"),
    ),
}


@cache
def passes_untouched(folder: Path, tests: tuple[str, ...]) -> bool:
    """Whether these tests pass in a copy that nothing was done to."""
    return run(Checkout(folder), tests)[0] == 0


def run(checkout: Checkout, tests: tuple[str, ...]) -> tuple[int, str]:
    done = checkout.run(sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *tests)
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untouched")
    Checkout.at(folder)
    return folder


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_formula_is_noticed(name: str, untouched: Path, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    assert passes_untouched(untouched, mutant.tests)
    checkout = Checkout.at(tmp_path)
    checkout.replace(mutant.path, mutant.old, mutant.new)
    code, output = run(checkout, mutant.tests)
    # 1 is pytest's code for failed tests; a mutant that cannot be imported would end in another.
    assert code == 1, output
    assert " failed" in output
    assert "SyntaxError" not in output


def test_every_mutant_still_has_its_place() -> None:
    for name, mutant in MUTANTS.items():
        assert (ROOT / mutant.path).read_text().count(mutant.old) == 1, name
