"""docs/runs.md says what is true of the tables, and its lines of code run."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastinv.store import RunWriter, StageKey, StageResult
from fastinv.store.schema import SCHEMA_VERSION

DOCS = (Path(__file__).parents[2] / "docs" / "runs.md").read_text()
VALUES = [0.5, 0.25, 0.125]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = StageKey("kinematics", "cinn", 0, "score")
    with RunWriter(tmp_path / "runs" / "NAME", settings={}, settings_hash="a", provenance={}) as store:
        store.begin(key)
        store.finish(key, StageResult(1.0, {"err_post": np.array(VALUES)}))
    monkeypatch.chdir(tmp_path)


def lines_in(heading: str) -> str:
    """The indented lines under "In pandas:" and the like."""
    block = DOCS.split(f"\n{heading}:\n\n")[1].split("\n\n")[0]
    code = [line.strip() for line in block.splitlines()]
    assert len(code) == 2, "two lines are promised"
    return "\n".join(code)


def columns_and_values(scores: Any) -> tuple[list[str], list[float]]:
    return list(scores.columns), sorted(scores["value"], reverse=True)


COLUMNS = ["problem", "model", "seed", "metric", "observation", "value"]


# What sqlite3.connect opens in the documented lines is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("run")
@pytest.mark.parametrize(
    ("heading", "module"),
    [("In pandas", "pandas"), ("In DuckDB", "duckdb"), ("With nothing but Python", "sqlite3")],
)
def test_the_tables_in_two_lines(heading: str, module: str) -> None:
    pytest.importorskip(module, reason=f"{module} is not installed")
    found: dict[str, Any] = {}
    try:
        exec(lines_in(heading), found)
    except Exception as error:
        if module == "duckdb" and "extension" in str(error).lower():
            pytest.skip("DuckDB fetches its SQLite extension from the network")
        raise
    scores = found["scores"]
    if module == "sqlite3":
        assert scores == [("kinematics", "cinn", 0, "err_post", i, v) for i, v in enumerate(VALUES)]
        return
    scores = scores.df() if module == "duckdb" and not hasattr(scores, "loc") else scores
    assert columns_and_values(scores) == (COLUMNS, VALUES)


@pytest.mark.usefixtures("run")
def test_every_table_and_column_is_documented() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", DOCS, re.MULTILINE))
    with sqlite3.connect("runs/NAME/run.sqlite3") as raw:
        tables = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {t: [row[1] for row in raw.execute(f"PRAGMA table_info({t})")] for t in tables}
    raw.close()
    assert set(tables) <= set(rows)
    # Keys are told by the table's middle column ("problem, model and seed"); everything else is named.
    keys = {"id", "problem", "model", "name", "seed", "session", "metric", "observation", "step", "what"}
    for table, names in columns.items():
        for name in set(names) - keys - {"stage"}:
            assert f"`{name}`" in rows[table], f"column {name} of table {table}"
    assert f"schema's version, {SCHEMA_VERSION}." in DOCS
