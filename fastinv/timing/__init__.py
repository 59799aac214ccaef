"""How long a call takes, measured so that the figure can be trusted."""

from fastinv.timing.measure import Timing, measure

__all__ = ["Timing", "measure"]
