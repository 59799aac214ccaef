"""Markov chains on the exact posteriors: the classical baseline, and a check of the exact samplers."""

from fastinv.kernels.mcmc.op import MCMCResult, mcmc_ballistics, mcmc_kinematics

__all__ = ["MCMCResult", "mcmc_ballistics", "mcmc_kinematics"]
