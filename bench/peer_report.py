"""What the pages of comparisons share: ratios within a round, with their spread, as text and as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Quartiles = tuple[float, float, float]


def quartiles(values: Any) -> Quartiles:
    """Lower quartile, median, upper quartile."""
    low, middle, high = (float(v) for v in np.quantile(values, [0.25, 0.5, 0.75]))
    return low, middle, high


def ratios(seconds: Mapping[str, Sequence[float]]) -> dict[str, Quartiles]:
    """Quartiles of each contestant's time over that of the first, taken within each round."""
    base = np.array(next(iter(seconds.values())))
    return {name: quartiles(np.array(times) / base) for name, times in seconds.items()}


def spread(ratio: Quartiles) -> str:
    """'1.23 (1.20 to 1.27)', without decimals from a thousand on."""
    low, middle, high = (f"{v:.2f}" if ratio[1] < 1000.0 else f"{v:,.0f}" for v in ratio)
    return f"{middle} ({low} to {high})"


def bars(prefix: Path, panels: Mapping[str, dict[str, Quartiles]], log: bool = False) -> None:
    """PREFIX.svg: a panel of bars per title, the first contestant's time being 1, quartiles as whiskers."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(
        1, len(panels), figsize=(3.4 * len(panels), 2.6), layout="constrained", squeeze=False
    )
    for axis, (title, found) in zip(axes[0], panels.items(), strict=True):
        low, middle, high = np.array(list(found.values())).T
        axis.barh(list(found), middle, xerr=[middle - low, high - middle], color="#4477aa", ecolor="black")
        axis.axvline(1.0, color="black", linewidth=0.8)
        if log:
            axis.set_xscale("log")
        axis.invert_yaxis()
        axis.set_title(title)
        # In two lines: names are long, panels are not.
        axis.set_xlabel(f"time /\n{next(iter(found))}'s")
    drawn.savefig(prefix.with_suffix(".svg"), metadata={"Date": None})
    plt.close(drawn)
