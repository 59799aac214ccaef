"""Whether a mode draws what eager draws, on the same noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fastinv.timing.modes import MODES

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel
    from fastinv.timing.sampler import Sampler

# A sample counts as moved beyond this many prior standard deviations; so many may be. Where a network
# chooses (a mixture's component, a count), rounding alone sends one draw in a million elsewhere.
EXACT_MOVE, EXACT_SHARE = 1e-3, 1e-3
# In lower precision samples do move; whether scores suffer is for the scores to say.
ROUGH_MOVE, ROUGH_SHARE = 0.1, 0.1
# Of a large batch, as many samples at each end are compared.
ENDS = 5000


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


def check(sampler: Sampler, model: PosteriorModel, calls: int = 2) -> Check:
    """Compare a sampler's calls with eager ones on the noise that each of them drew.

    More than one call is compared, so that a captured graph that repeats its first answer is found out.
    """
    found = []
    previous = None
    for _ in range(calls):
        samples = sampler()
        if previous is not None and torch.equal(previous, sampler.noise):
            return Check(False, float("inf"), 1.0, "it drew the same noise twice")
        previous = sampler.noise.clone()
        found.append(_difference(sampler, samples, model))
    return _judge(sampler, torch.cat(found, dim=1))


def check_first(sampler: Sampler, model: PosteriorModel) -> Check:
    """Compare the call that prepared a large batch with eager: both ends of it, to save time."""
    return _judge(sampler, _difference(sampler, sampler.first, model))


@torch.no_grad()
def _difference(sampler: Sampler, samples: Tensor, model: PosteriorModel) -> Tensor:
    """Largest difference of any coordinate in prior standard deviations, shape (1, samples compared)."""
    n = sampler.n
    ends = slice(0, n) if n <= 2 * ENDS else torch.cat((torch.arange(ENDS), torch.arange(n - ENDS, n)))
    wanted = model.draw(sampler.observation, sampler.noise[:, ends])
    return ((samples[:, ends] - wanted).abs() / model.chart.x_moments[1]).amax(-1)


def _judge(sampler: Sampler, difference: Tensor) -> Check:
    if not bool(torch.isfinite(difference).all()):
        return Check(False, float("inf"), 1.0, "it drew NaN or infinity")
    move, share = (EXACT_MOVE, EXACT_SHARE) if MODES[sampler.mode].exact else (ROUGH_MOVE, ROUGH_SHARE)
    largest, moved = float(difference.max()), int((difference > move).sum())
    compared = difference.numel()
    # A share of few samples says nothing, but a single one out of hundreds may have been rounded elsewhere.
    if moved > share * compared + (compared >= 100):
        reason = f"{moved / compared:.1%} of its samples are off by more than {move:g} standard deviations"
        return Check(False, largest, moved / compared, reason)
    return Check(True, largest, moved / compared)
