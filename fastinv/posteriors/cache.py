"""Ground truth kept between runs, so that only the first one pays for it."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastinv.replacing import remove_forgotten, replacing

FloatArray = NDArray[np.float64]

ENVIRONMENT_VARIABLE = "FASTINV_CACHE"
_TENSOR = "x"
# Other processes write there, for seconds; one that was killed leaves up to a hundred megabytes.
_IDLE_S = 3600.0


def cache_folder() -> Path:
    """Where ground truth is kept: $FASTINV_CACHE, else fastinv/ under the user's cache folder."""
    if chosen := os.environ.get(ENVIRONMENT_VARIABLE):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fastinv"


def load(path: Path, shape: tuple[int, ...]) -> FloatArray | None:
    """The samples in a cache file, or None where it is missing, damaged or of another shape."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            samples = file.get_tensor(_TENSOR)
            checksum = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    if samples.dtype != np.float64 or samples.shape != shape or checksum != _checksum(samples):
        return None
    return np.asarray(samples, dtype=np.float64)


def save(path: Path, samples: FloatArray) -> None:
    """Write a cache file in one step; does nothing where the folder is read-only or the disk is full."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # A cache that cannot be written costs the next run some seconds, nothing else.
    with suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_forgotten(path.parent, _IDLE_S)
        with replacing(path) as temporary:
            save_file({_TENSOR: samples}, temporary, metadata={"sha256": _checksum(samples)})


def _checksum(samples: FloatArray) -> str:
    return hashlib.sha256(np.ascontiguousarray(samples).data).hexdigest()
