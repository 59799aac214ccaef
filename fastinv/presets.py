"""How large a benchmark is: numbers of parameters, training pairs, batches and samples, never seconds."""

from __future__ import annotations

from dataclasses import dataclass

from fastinv.names import UnknownNameError


@dataclass(frozen=True)
class Preset:
    """Sizes that every model of a run shares.

    Attributes:
        name: how the preset is called.
        parameters: trainable parameters that each model's widths are solved for.
        training_pairs: number of distinct (x, y) in the training set.
        batch_size: pairs per batch.
        epochs: passes over the training set.
        observations: how many of the published y* are scored.
        samples: posterior samples per y*.
    """

    name: str
    parameters: int
    training_pairs: int
    batch_size: int
    epochs: int
    observations: int
    samples: int

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches in one epoch; a remainder is left out and comes up in another epoch's order."""
        return self.training_pairs // self.batch_size

    @property
    def batches(self) -> int:
        """Optimiser steps of a whole training."""
        return self.batches_per_epoch * self.epochs


PRESETS: dict[str, Preset] = {
    p.name: p
    for p in (
        Preset("smoke", 20_000, 20_000, 500, 5, 20, 200),
        Preset("quick", 200_000, 640_000, 256, 1, 1000, 1000),
        Preset("standard", 500_000, 1_000_000, 500, 7, 1000, 4000),
        Preset("paper", 3_000_000, 1_000_000, 1000, 50, 1000, 4000),
    )
}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        UnknownNameError: no such preset; the message lists the close matches.

    Examples:
        >>> preset("smoke").batches
        200
    """
    try:
        return PRESETS[name]
    except KeyError:
        raise UnknownNameError("preset", name, PRESETS) from None
