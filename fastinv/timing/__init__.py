"""How long a call takes, measured so that the figure can be trusted."""

from fastinv.timing.measure import Plan, Timing, measure, measure_all

__all__ = ["Plan", "Timing", "measure", "measure_all"]
