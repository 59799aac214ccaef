"""What the benchmark relies on in a problem."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fastinv.posteriors.abc import nearest_neighbour_abc
from fastinv.problems import Coordinate, Problem
from fastinv.problems.plugins import is_name
from fastinv.problems.registry import BUILT_IN
from fastinv.runner.conformance.calibration import rank_p_values
from fastinv.runner.conformance.checks import Check, Step, carry_out, require, require_array, require_equal

FloatArray = NDArray[np.float64]

N = 500
# In standard deviations of y under the prior; the exact samplers of the built-in problems stay below 1e-12.
RESIMULATION = 1e-6
# Chance that a right sampler fails, over all its coordinates together.
FALSE_ALARM = 1e-6


def check_problem(problem: Problem) -> Iterator[Check]:
    """Look at a problem, promise by promise; see docs/plugins.md for the list."""
    checks = _Checks(problem)
    yield from carry_out(checks.of_the_declaration())
    yield from carry_out(checks.of_the_prior())
    yield from carry_out(checks.of_the_forward_process())
    exact = problem.has_exact_posterior
    yield from carry_out(checks.of_the_exact_posterior() if exact else checks.without_exact_posterior())


class _Checks:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def of_the_declaration(self) -> list[Step]:
        p = self.problem

        def names() -> None:
            require(isinstance(p.name, str) and is_name(p.name), f"name is {p.name!r}")
            require(isinstance(p.title, str) and p.title.isprintable() and p.title, f"title is {p.title!r}")

        def coordinates() -> None:
            for what, group in (("parameters", p.parameters), ("observed", p.observed)):
                fine = isinstance(group, tuple) and group and all(isinstance(c, Coordinate) for c in group)
                require(fine, f"{what} is not a tuple of Coordinate")
                require(len({c.name for c in group}) == len(group), f"two of {what} have one name")
            counts = sum(c.kind == "count" for c in p.parameters)
            require(counts <= 1, f"{counts} parameters are counts, at most 1 is supported")

        def fused() -> None:
            fine = p.fused_simulator is None or p.name in BUILT_IN
            require(fine, "fused_simulator belongs to the built-in problems; leave it None")

        return [("name and title", names), ("coordinates", coordinates), ("fused_simulator", fused)]

    def of_the_prior(self) -> list[Step]:
        p = self.problem

        def draws() -> None:
            x = p.sample_prior(N, seed=1)
            require_array("sample_prior", x, (N, p.dim_x), np.float64)
            if p.count_index is not None:
                count = x[:, p.count_index]
                require(((count >= 0) & (count == np.round(count))).all(), "the count is not a whole number")

        def determinism() -> None:
            require_equal("the same seed twice", p.sample_prior(N, seed=1), p.sample_prior(N, seed=1))
            require_equal("7 draws and the first 7 of 500", p.sample_prior(7), p.sample_prior(N)[:7])
            fresh = not np.array_equal(p.sample_prior(N, seed=1), p.sample_prior(N, seed=2))
            require(fresh, "seeds 1 and 2 give the same draws")

        def density() -> None:
            x = p.sample_prior(60, seed=1)
            density = p.log_prior(x)
            require_array("log_prior of prior draws", density, (60,))
            require_array("log_prior of shape (5, 12)", p.log_prior(x.reshape(5, 12, -1)), (5, 12))

        return [
            ("prior draws: shape, dtype, finite", draws),
            ("prior draws: a function of seed and row", determinism),
            ("log_prior: shape, finite at prior draws", density),
        ]

    def of_the_forward_process(self) -> list[Step]:
        p = self.problem

        def shapes() -> None:
            x = p.sample_prior(N, seed=3)
            before = x.copy()
            require_array("simulate", p.simulate(x), (N, p.dim_y), np.float64)
            require_equal("x before and after simulate", before, x)
            require_array("simulate of float32", p.simulate(x.astype(np.float32)), (N, p.dim_y), np.float32)
            require_array("simulate of shape (5, 100)", p.simulate(x.reshape(5, 100, -1)), (5, 100, p.dim_y))

        def determinism() -> None:
            x = p.sample_prior(N, seed=3)
            require_equal("the same x twice", p.simulate(x), p.simulate(x))
            alone, together = p.simulate(x[:3]), p.simulate(x)[:3]
            require(
                np.allclose(alone, together, rtol=1e-12), "three rows alone and among others: they differ"
            )

        def torch_version() -> None:
            import torch

            x = p.sample_prior(N, seed=3)
            for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-3)):
                y = p.simulate(torch.tensor(x, dtype=dtype))
                require(isinstance(y, torch.Tensor), f"simulate of a tensor gives a {type(y).__name__}")
                require(y.dtype == dtype, f"simulate of {dtype} gives {y.dtype}")
                expected = p.simulate(x)
                off = np.abs(y.double().numpy() - expected).max(0) / expected.std(0)
                require((off < tolerance).all(), f"{dtype} differs from NumPy by {off.max():.2g} deviations")

        def observations() -> None:
            y = p.observations(20)
            require_array("observations", y, (20, p.dim_y), np.float64)
            require_equal("5 observations and the first 5 of 20", p.observations(5), y[:5])
            require((p.observations(N).std(0) > 0).all(), "an observed value is the same for every x")

        return [
            ("simulate: shape, dtype, finite", shapes),
            ("simulate: deterministic", determinism),
            ("simulate: the same in torch", torch_version),
            ("observations: one endless list", observations),
        ]

    def of_the_exact_posterior(self) -> list[Step]:
        p = self.problem
        y = p.observations(4)

        def shapes() -> None:
            require_array("sample_posterior", p.sample_posterior(y, 9), (4, 9, p.dim_x), np.float64)

        def determinism() -> None:
            x = p.sample_posterior(y, 9, seed=5)
            require_equal("the same seed twice", p.sample_posterior(y, 9, seed=5), x)
            require_equal("4 samples and the first 4 of 9", p.sample_posterior(y, 4, seed=5), x[:, :4])
            require_equal("2 observations and the first 2 of 4", p.sample_posterior(y[:2], 9, seed=5), x[:2])
            require(not np.array_equal(p.sample_posterior(y, 9, seed=6), x), "seeds 5 and 6 give the same")

        def explanation() -> str:
            many = p.observations(50)
            x = p.sample_posterior(many, 100, seed=7)
            off = np.abs(p.simulate(x) - many[:, None]) / p.observations(N).std(0)
            require(off.max() < RESIMULATION, f"f(x) misses y* by {off.max():.2g} deviations of y")
            require(np.isfinite(p.log_prior(x)).all(), "a sample is outside the prior's support")
            return f"f(x) misses y* by {off.max():.1g} deviations at most"

        def calibration() -> str:
            p_values = rank_p_values(p)
            least = min(p_values, key=lambda name: p_values[name])
            found = f"smallest p-value {p_values[least]:.2g} ({least})"
            require(p_values[least] >= FALSE_ALARM / len(p_values), f"ranks are not uniform: {found}")
            return found

        return [
            ("posterior: shape, dtype, finite", shapes),
            ("posterior: a function of seed, observation and sample", determinism),
            ("posterior: explains y*, inside the prior", explanation),
            ("posterior: calibrated", calibration),
        ]

    def without_exact_posterior(self) -> list[Step]:
        p = self.problem

        def nearest() -> None:
            x = nearest_neighbour_abc(p, p.observations(2), 10, 0, prior_draws=20_000)
            require_array("ground truth by ABC", x, (2, 10, p.dim_x), np.float64)

        return [("ground truth by ABC: shape, dtype, finite", nearest)]
