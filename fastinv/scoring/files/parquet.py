"""Samples in Parquet files, decoded in a process of its own.

A Parquet file of a few bytes may claim billions of rows, and its decoder is a large library in C++. So a
child process reads it, with its memory and time limited by the operating system; if it dies, only the file is
refused.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinv.scoring.files.arrays import SampleFileError, read_npy

OBSERVATION = "observation"
TIMEOUT_S = 120
# What Python, NumPy and Arrow themselves reserve of the address space.
OVERHEAD = 6 * 2**30
MAX_COLUMNS = 64


def read_parquet(path: Path, names: Sequence[str], limit: int) -> NDArray[Any]:
    """Samples from columns `observation` (0, 1, ... in ascending order, each equally often) and `names`.

    Raises:
        SampleFileError: pyarrow is missing, or the file is damaged, too large or of another layout.
    """
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "samples.npy"
        command = [sys.executable, "-P", "-m", __name__, str(path), str(target), str(limit), *names]
        try:
            child = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise SampleFileError(f"it could not be decoded within {TIMEOUT_S} s") from None
        if child.returncode == 1 and child.stdout:
            raise SampleFileError(child.stdout.strip())
        if child.returncode != 0:
            raise SampleFileError("it is damaged, or needs more memory to decode than is accepted")
        with target.open("rb") as file:
            return read_npy(file, target.stat().st_size, limit)


def decode(path: Path, names: Sequence[str], limit: int) -> NDArray[np.float64]:
    """What the child does: read, check, and stack the columns to shape (B, n, d_x)."""
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise SampleFileError("reading Parquet needs pyarrow: pip install pyarrow") from None
    with parquet.ParquetFile(
        path, memory_map=False, thrift_string_size_limit=1_000_000, thrift_container_size_limit=100_000
    ) as file:
        metadata = file.metadata
        rows, columns = metadata.num_rows, file.schema_arrow.names
        missing = [name for name in (OBSERVATION, *names) if name not in columns]
        if missing or len(columns) > MAX_COLUMNS:
            raise SampleFileError(f"it needs columns {', '.join((OBSERVATION, *names))}, missing: {missing}")
        if not 0 < rows * 8 * len(names) <= limit:
            raise SampleFileError(f"it has {rows} rows, more than {limit} bytes of samples, or none")
        table = file.read(columns=[OBSERVATION, *names], use_threads=False)
    if any(table.column(i).null_count for i in range(table.num_columns)):
        raise SampleFileError("it has missing values")
    index = table.column(OBSERVATION).to_numpy().astype(np.int64)
    observations = int(index[-1]) + 1
    if (
        observations < 1
        or len(index) % observations
        or not np.array_equal(index, np.repeat(np.arange(observations), len(index) // observations))
    ):
        raise SampleFileError(f"column {OBSERVATION!r} must count 0, 1, ... in order, each equally often")
    values = [table.column(name).to_numpy().astype(np.float64) for name in names]
    return np.stack(values, axis=1).reshape(observations, -1, len(names))


def _main(path: str, target: str, limit: str, *names: str) -> int:
    _limit_resources(int(limit))
    try:
        np.save(target, decode(Path(path), names, int(limit)), allow_pickle=False)
    except SampleFileError as error:
        print(error)
        return 1
    except Exception as error:
        # pyarrow has many exceptions of its own, and all of them mean that the file is bad.
        print(f"it is not a whole Parquet file: {' '.join(str(error).split())[:120] or type(error).__name__}")
        return 1
    return 0


def _limit_resources(limit: int) -> None:
    try:
        import resource
    except ImportError:
        return  # not on this platform; the checks of the metadata remain
    for kind, most in ((resource.RLIMIT_AS, OVERHEAD + 4 * limit), (resource.RLIMIT_CPU, TIMEOUT_S)):
        resource.setrlimit(kind, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
