"""Scores of posterior samples against ground truth, and their summaries over observations."""

from fastinv.scoring.posterior_error import PosteriorErrors, posterior_errors, truth_self_term
from fastinv.scoring.protocol import FLOOR_SEED, TRUTH_SEED, Protocol, make_protocol, observations_checksum
from fastinv.scoring.resimulation import ResimulationErrors, resimulation_errors
from fastinv.scoring.statistics import Summary, clamp_outliers, summarise

__all__ = [
    "FLOOR_SEED",
    "TRUTH_SEED",
    "PosteriorErrors",
    "Protocol",
    "ResimulationErrors",
    "Summary",
    "clamp_outliers",
    "make_protocol",
    "observations_checksum",
    "posterior_errors",
    "resimulation_errors",
    "summarise",
    "truth_self_term",
]
