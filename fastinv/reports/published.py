"""The published figures of Kruse, Ardizzone, Rother and Köthe (2021), as far as they are known.

Err_post there is the biased estimate with 4000 samples and kernel `paper`, and counts are treated as
continuous. What is not known is None, and is never filled in.
"""

from __future__ import annotations

from dataclasses import dataclass

COUNTS = "continuous"


@dataclass(frozen=True)
class Published:
    """Figures of one model on one problem; None where the paper gives none that is known.

    Attributes:
        err_post: mean squared MMD to the true posterior.
        err_resim: mean squared re-simulation error.
    """

    err_post: float | None = None
    err_resim: float | None = None


_UNKNOWN = Published()

_FIGURES: dict[str, dict[str, Published]] = {
    "kinematics": {
        "inn": Published(0.025, 0.015),
        "inn-l2-mmd": Published(0.017, 0.086),
        "cinn": Published(0.015, 0.008),
        "iaf": Published(0.419, 0.222),
        "maf": Published(0.074, 0.034),
        "iresnet": Published(0.713, 0.311),
        "invauto": Published(0.062, 0.022),
        "autoencoder": Published(0.037, 0.016),
        "cvae": Published(0.042, 0.019),
    },
    "ballistics": {
        "inn": Published(0.047, 0.019),
        "inn-l2-mmd": Published(0.060, 3.668),
        "cinn": Published(0.047, 0.437),
        "iaf": Published(0.323, 3.457),
        "maf": Published(0.213, 1.010),
        "iresnet": Published(0.084, 0.091),
        "invauto": Published(0.156, 0.315),
        "autoencoder": Published(0.049, None),
        "cvae": Published(4.359, None),
    },
}


def published(problem: str, model: str) -> Published:
    """The paper's figures of a model on a problem.

    Examples:
        >>> published("kinematics", "cinn").err_post
        0.015
        >>> published("ballistics", "mdn").err_post is None
        True
    """
    return _FIGURES.get(problem, {}).get(model, _UNKNOWN)
