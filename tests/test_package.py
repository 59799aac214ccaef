"""What holds for the package as a whole."""

import doctest
import importlib
import pkgutil
import subprocess
import sys

import pytest

import fastinv

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastinv.__path__, "fastinv.")
    if not module.name.endswith("._native")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_examples_in_the_package_docstring() -> None:
    assert doctest.testmod(fastinv).failed == 0


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_nothing_imports_a_top_level_module_called_kernels() -> None:
    """Another distribution owns that name."""
    code = "\n".join(f"import {name}" for name in MODULES) + "\nimport sys; print('kernels' in sys.modules)"
    assert run_python(code) == "False"


@pytest.mark.parametrize("heavy", ["torch", "numba", "scipy", "matplotlib"])
def test_kernels_import_without(heavy: str) -> None:
    assert run_python(f"import sys, fastinv.kernels; print({heavy!r} in sys.modules)") == "False"
