"""What is known of a model before anything heavy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Invertibility = Literal["hard", "soft", "none"]


@dataclass(frozen=True)
class ModelInfo:
    """One row of the table of models.

    Attributes:
        name: as on the command line and in files.
        title: as printed in tables.
        family: what kind of network it is, in a few words.
        invertibility: "hard" (by construction), "soft" (by a cycle loss) or "none".
        maximum_likelihood: trained by maximum likelihood.
        supervised: the loss compares a predicted y with the true one.
        equations: numbers of the loss's equations in Kruse et al. (2021), empty for additions.
        addition: not one of the paper's ten.
        trained: whether it learns; a baseline that does not is listed apart and has no parameters.
        latent: dimension of z in words, such as "dx - dy"; "chosen" for a setting, "none" without z.
    """

    name: str
    title: str
    family: str
    invertibility: Invertibility
    maximum_likelihood: bool
    supervised: bool
    equations: str
    addition: bool = False
    trained: bool = True
    latent: str = "none"
