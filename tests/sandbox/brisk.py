"""Timing that takes no time, for tests in which a time is only one of many results."""

from fastinv.timing import Plan

BRISK = Plan(min_repeats=2, max_repeats=3, max_warmup=2, budget_s=0.01)
