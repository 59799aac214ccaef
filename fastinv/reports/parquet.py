"""Every score of every observation as one Parquet table."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from fastinv.store import RunReader, StoreError

COLUMNS = ("problem", "model", "seed", "metric", "observation", "value")


def parquet_bytes(run: RunReader) -> bytes:
    """The content of a Parquet file with columns problem, model, seed, metric, observation and value.

    Raises:
        StoreError: pyarrow is not installed, or the run cannot be read.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise StoreError("writing Parquet needs pyarrow: pip install pyarrow") from None
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for problem, model, seed, stage in run.stages():
        if stage != "score":
            continue
        for metric, values in run.scores(problem, model, seed).items():
            n = len(values)
            for name, constant in zip(COLUMNS[:4], (problem, model, seed, metric), strict=True):
                columns[name] += [constant] * n
            columns["observation"] += range(n)
            columns["value"] += [None if np.isnan(v) else v for v in values.tolist()]
    types = (pa.string(), pa.string(), pa.int64(), pa.string(), pa.int64(), pa.float64())
    schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns, schema=schema), buffer)
    return buffer.getvalue()
