"""One way in for sample files of every format."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.problems import Problem
from fastinv.scoring.files import arrays
from fastinv.scoring.files.arrays import SampleFileError
from fastinv.scoring.protocol import observations_checksum

FORMATS = ("npy", "npz", "safetensors", "parquet")
# Ten times the largest preset: 1000 observations x 4000 samples x 4 float64 are 128 MB.
LIMIT = 2**30
MAX_SAMPLES = 100_000


@dataclass(frozen=True)
class SampleFile:
    """Samples from a file, checked.

    Attributes:
        samples: float32 or float64, shape (B, n, d_x), finite.
        whole_counts: whether every value of a count coordinate is a whole number; True where there is none.
        sha256: of the file.
    """

    samples: NDArray[Any]
    whole_counts: bool
    sha256: str


def read_samples(path: Path, problem: Problem, observations: int, *, limit: int = LIMIT) -> SampleFile:
    """Read posterior samples for a problem's published observations from a file that anyone may have made.

    Nothing is unpickled or executed, and no more than about twice the limit is ever held in memory.

    Args:
        path: a .npy, .npz, .safetensors or .parquet file, see docs/runs.md.
        problem: what the samples are for.
        observations: number of observations that the file must cover.
        limit: most bytes that the file, and the array in it, may have.

    Raises:
        SampleFileError: whatever is wrong, in one line that names the file and the cause.
    """
    try:
        array, checksum = _read(path, problem, limit)
        samples = _check_shape(array, problem, observations)
        _check_checksum(checksum, problem, observations)
        return SampleFile(samples, _whole_counts(samples, problem), _sha256(path))
    except SampleFileError as error:
        raise SampleFileError(f"{path}: {error}") from error
    except OSError as error:
        raise SampleFileError(f"{path}: {error.strerror or error}") from error


def _read(path: Path, problem: Problem, limit: int) -> tuple[NDArray[Any], str | None]:
    form = path.suffix.lower().lstrip(".")
    if form not in FORMATS:
        raise SampleFileError(f"accepted extensions are {', '.join('.' + f for f in FORMATS)}")
    if not path.is_file():
        raise SampleFileError("there is no such file")
    size = path.stat().st_size
    if size > limit + arrays.MAX_HEADER:
        raise SampleFileError(f"it has {size} bytes, at most {limit} are accepted")
    if form == "npy":
        with path.open("rb") as file:
            return arrays.read_npy(file, size, limit), None
    if form == "npz":
        return arrays.read_npz(path, limit)
    if form == "safetensors":
        return arrays.read_safetensors(path, limit)
    from fastinv.scoring.files.parquet import read_parquet

    return read_parquet(path, [c.name for c in problem.parameters], limit), None


def _check_shape(array: NDArray[Any], problem: Problem, observations: int) -> NDArray[Any]:
    wanted = f"({observations}, n, {problem.dim_x})"
    if array.ndim != 3 or array.shape[0] != observations or array.shape[2] != problem.dim_x:
        raise SampleFileError(f"samples must have shape {wanted} for {problem.name!r}, got {array.shape}")
    if not 2 <= array.shape[1] <= MAX_SAMPLES:
        raise SampleFileError(f"samples must number 2 to {MAX_SAMPLES} per observation, got {array.shape[1]}")
    finite = np.isfinite(array)
    if not finite.all():
        place = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise SampleFileError(f"samples must be finite, the value at {place} is {array[place]}")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _check_checksum(checksum: str | None, problem: Problem, observations: int) -> None:
    expected = observations_checksum(problem.observations(observations))
    if checksum is not None and checksum != expected:
        raise SampleFileError(
            f"it belongs to other observations: its checksum is {checksum[:32]!r}, that of the first "
            f"{observations} observations of {problem.name!r} is {expected!r}"
        )


def _whole_counts(samples: NDArray[Any], problem: Problem) -> bool:
    if problem.count_index is None:
        return True
    counts = samples[..., problem.count_index]
    return bool((counts == np.round(counts)).all())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
