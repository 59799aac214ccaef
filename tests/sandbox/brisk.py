"""Timing that takes no time, for tests in which a time is only one of many results."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fastinv.timing import Plan

BRISK = Plan(min_repeats=2, max_repeats=3, max_warmup=2, budget_s=0.01)


@pytest.fixture(autouse=True, scope="session")
def brisk_rows() -> Iterator[None]:
    """Rows of runs that this process begins are timed briefly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastinv.runner.stages.PLAN", BRISK)
        yield
