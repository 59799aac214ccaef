"""The reference in docs/api names everything that is public."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "api"
PACKAGES = (
    "fastinv.kernels",
    "fastinv.models",
    "fastinv.posteriors",
    "fastinv.problems",
    "fastinv.reports",
    "fastinv.reports.figures",
    "fastinv.reports.leaderboard",
    "fastinv.runner",
    "fastinv.scoring",
    "fastinv.store",
    "fastinv.timing",
    "fastinv.training",
)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_reference_is_complete(package: str) -> None:
    listed = {
        line.removeprefix("::: ")
        for page in PAGES.glob("*.md")
        for line in page.read_text(encoding="utf-8").splitlines()
        if line.startswith("::: ")
    }
    module = importlib.import_module(package)
    public = [getattr(module, name) for name in module.__all__]
    documented = [o for o in public if inspect.isclass(o) or inspect.isfunction(o)]
    missing = [f"{o.__module__}.{o.__qualname__}" for o in documented if o.__module__.startswith("fastinv")]
    assert documented
    assert not set(missing) - listed
