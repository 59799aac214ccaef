"""The inverse problems that models are compared on."""

from fastinv.problems.base import Coordinate, NoPosteriorError, Problem
from fastinv.problems.plugins import PluginError
from fastinv.problems.registry import problem, problem_names

__all__ = ["Coordinate", "NoPosteriorError", "PluginError", "Problem", "problem", "problem_names"]
