"""Whether a mode draws what eager draws, on the same noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fastinv.timing.modes import MODES, Sampler

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel

# A sample counts as moved beyond this many prior standard deviations; so many may be. Where a network
# chooses (a mixture's component, a count), rounding alone sends one draw in a million elsewhere.
EXACT_MOVE, EXACT_SHARE = 1e-3, 1e-3
# In lower precision samples do move; whether scores suffer is for the scores to say.
ROUGH_MOVE, ROUGH_SHARE = 0.1, 0.1


@dataclass(frozen=True)
class Check:
    """A mode's samples against eager's.

    Attributes:
        passed: whether a time may be shown.
        largest: the largest difference of any coordinate, in prior standard deviations.
        moved: share of the samples that differ by more than the mode may.
        reason: what is wrong, empty where it passed.
    """

    passed: bool
    largest: float
    moved: float
    reason: str = ""


@torch.no_grad()
def check(sampler: Sampler, model: PosteriorModel, calls: int = 2) -> Check:
    """Compare a sampler's calls with eager ones on the noise that each of them drew.

    More than one call is compared, so that a captured graph that repeats its first answer is found out.
    """
    move, share = (EXACT_MOVE, EXACT_SHARE) if MODES[sampler.mode].exact else (ROUGH_MOVE, ROUGH_SHARE)
    scale = model.chart.x_moments[1]
    largest, moved, previous = 0.0, 0, None
    for _ in range(calls):
        samples = sampler().clone()
        if not bool(torch.isfinite(samples).all()):
            return Check(False, float("inf"), 1.0, "it drew NaN or infinity")
        noise = sampler.noise.clone()
        if previous is not None and torch.equal(previous, noise):
            return Check(False, float("inf"), 1.0, "it drew the same noise twice")
        previous = noise
        wanted = model.draw(sampler.observation, noise)
        difference = ((samples - wanted).abs() / scale).amax(-1)
        largest = max(largest, float(difference.max()))
        moved += int((difference > move).sum())
    compared = calls * sampler.n
    # A share of few samples says nothing, but a single one out of hundreds may have been rounded elsewhere.
    if moved > share * compared + (compared >= 100):
        reason = f"{moved / compared:.1%} of its samples are off by more than {move:g} standard deviations"
        return Check(False, largest, moved / compared, reason)
    return Check(True, largest, moved / compared)
