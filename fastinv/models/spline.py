"""Neural spline coupling flow (an addition): the cINN with splines after its affine maps."""

from __future__ import annotations

from fastinv.models.cinn import CINN
from fastinv.models.layers.coupling import Affine, Transform
from fastinv.models.layers.spline import AffineSpline
from fastinv.models.settings import FlowSettings, SplineSettings


class SplineFlow(CINN):
    """Conditional coupling flow of rational-quadratic splines, by the same likelihood as the cINN's."""

    @staticmethod
    def transform(settings: FlowSettings) -> Transform:
        assert isinstance(settings, SplineSettings)
        return AffineSpline(Affine(settings.clamp), settings.bins, settings.bound)
