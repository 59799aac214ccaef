"""Ground truth for a problem: exact where the problem has it, nearest-neighbour ABC otherwise."""

from fastinv.posteriors.abc import nearest_neighbour_abc
from fastinv.posteriors.cache import cache_folder
from fastinv.posteriors.ground_truth import ground_truth

__all__ = ["cache_folder", "ground_truth", "nearest_neighbour_abc"]
