"""Whether a problem or a model keeps the promises that the benchmark relies on."""

from fastinv.runner.conformance.checks import Check
from fastinv.runner.conformance.model import check_model
from fastinv.runner.conformance.problem import check_problem
from fastinv.runner.conformance.targets import find_model, find_problem

__all__ = ["Check", "check_model", "check_problem", "find_model", "find_problem"]
