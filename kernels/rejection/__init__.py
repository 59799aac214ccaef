"""Rejection samplers: exact posteriors of the built-in problems."""

from fastinv.kernels.rejection.ballistics_reference import Throw
from fastinv.kernels.rejection.envelope import BoundViolatedError, BudgetExceededError
from fastinv.kernels.rejection.kinematics_cells import Arm
from fastinv.kernels.rejection.op import sample_ballistics, sample_kinematics

__all__ = [
    "Arm",
    "BoundViolatedError",
    "BudgetExceededError",
    "Throw",
    "sample_ballistics",
    "sample_kinematics",
]
