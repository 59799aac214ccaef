"""Markov chain Monte Carlo as a row of the table: nothing is trained, chains run when samples are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from fastinv.models.base import ModelSpec, PosteriorModel
from fastinv.models.counts import check_counts
from fastinv.models.info import ModelInfo
from fastinv.models.settings import McmcSettings
from fastinv.problems import Problem
from fastinv.problems.base import check_count

if TYPE_CHECKING:
    from fastinv.kernels.mcmc import MCMCResult


class Mcmc(PosteriorModel):
    """Chains on the exact posterior: the classical estimate that trained models are compared with.

    They use the prior and the forward process of a built-in problem, without observation noise. After
    `sample`, `diagnostics` has the largest split R-hat and the least effective sample size per observation.

    Args:
        info: the row in the table of models.
        spec: how it was built.
        settings: number and length of the chains.
        problem: one with a compiled forward process.

    Raises:
        ValueError: there are no chains for the problem.
    """

    settings: McmcSettings

    def __init__(self, info: ModelInfo, spec: ModelSpec, settings: McmcSettings, problem: Problem) -> None:
        nn.Module.__init__(self)
        if problem.fused_simulator is None:
            raise ValueError(f"model {info.name!r} has no chains for problem {problem.name!r}")
        self.info, self.spec, self.settings, self.problem = info, spec, settings, problem
        self.counts = check_counts(spec.counts)
        self._diagnostics: dict[str, NDArray[np.float64]] = {}
        self.register_buffer("_placed", torch.empty(0), persistent=False)

    @property
    def latent_dim(self) -> None:
        """There is no latent space."""
        return None

    @property
    def device(self) -> torch.device:
        """Where torch samples are returned; the chains run on the CPU."""
        placed: Tensor = self.get_buffer("_placed")
        return placed.device

    @property
    def diagnostics(self) -> dict[str, NDArray[np.float64]]:
        """r_hat and ess of the last call of `sample`, each of shape (B,)."""
        return self._diagnostics

    def loss(self, x: Tensor, y: Tensor, *, generator: torch.Generator | None = None) -> NoReturn:
        """There is none.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"model {self.info.name!r} is not trained: it has no loss")

    forward = loss

    @overload
    def sample(self, y_star: Tensor, n: int, *, seed: int = 0) -> Tensor: ...
    @overload
    def sample(self, y_star: ArrayLike, n: int, *, seed: int = 0) -> NDArray[np.float32]: ...
    def sample(self, y_star: ArrayLike | Tensor, n: int, *, seed: int = 0) -> NDArray[np.float32] | Tensor:
        """Run the chains; see `PosteriorModel.sample`."""
        check_count("n", n)
        plain = y_star.detach().cpu().numpy() if isinstance(y_star, Tensor) else y_star
        result = self._run(self.problem.check_observations(plain), n, seed)
        self._diagnostics = {"r_hat": result.r_hat, "ess": result.ess}
        x = result.x.astype(np.float32)
        return torch.from_numpy(x).to(self.device) if isinstance(y_star, Tensor) else x

    def _run(self, y: NDArray[np.float64], n: int, seed: int) -> MCMCResult:
        from fastinv.kernels.mcmc import mcmc_ballistics, mcmc_kinematics

        lengths: dict[str, Any] = {"warmup": self.settings.warmup, "thin": self.settings.thin}
        chosen = {name: length for name, length in lengths.items() if length}
        run = mcmc_kinematics if self.problem.fused_simulator == "kinematics" else mcmc_ballistics
        return run(y, n, seed=seed, chains=self.settings.chains, **chosen)

    def log_prob(self, x: Tensor, y: Tensor) -> None:
        """None: the density is known up to a constant only."""

    def forward_error(self, x: Tensor, y: Tensor) -> None:
        """None: nothing predicts y."""

    def cycle_error(self, x: Tensor) -> None:
        """None: nothing is encoded."""
