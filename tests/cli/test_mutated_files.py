"""Thousands of damaged and malicious files: samples, checkpoints and runs are refused in one line, or fine.

Hypothesis damages bytes anywhere, and content in place: headers whose checksum fits again, cells of tables.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import fastinv
from fastinv.models import CheckpointError, load, save
from fastinv.models.files import _digest
from fastinv.presets import Preset
from fastinv.reports import load_results, render
from fastinv.runner import BenchSettings, run_benchmark
from fastinv.scoring.files import SampleFileError, read_samples
from fastinv.store import RunReader, RunWriter, StoreError

PROBLEM = fastinv.problem("kinematics")
B, N = 4, 5
SETTINGS = BenchSettings(
    ("kinematics",), Preset("tiny", 5000, 1000, 100, 1, B, N), (0,), "factorised", "paper", "cpu"
)

# A kind, a place (counted from the end if negative), a length and a value.
Damage = tuple[str, int, int, int]
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "set", "cut", "repeat", "drop", "zero"]),
        st.integers(-400, 400) | st.integers(-(2**20), 2**20),
        st.integers(1, 300),
        st.integers(0, 255) | st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]),
    ),
    min_size=1,
    max_size=4,
)
# What takes the place of something in a header or a table.
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.sampled_from([0, -1, 10**6, 10**9, 1e308, "", "x" * 500, "\x1b[2J", "../escape", "cinn\n", [], {}]),
)


def thorough(examples: int) -> Callable[[Any], Any]:
    """Settings of Hypothesis: the same examples every time, each of any duration."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def often(slow: int) -> pytest.MarkDecorator:
    """A fiftieth of the examples in the usual tests, all of them in the slow ones."""
    return pytest.mark.parametrize("examples", [slow // 50, pytest.param(slow, marks=pytest.mark.slow)])


def damaged(content: bytes, damage: list[Damage]) -> bytes:
    data = bytearray(content)
    for kind, place, length, value in damage:
        if not data:
            break
        at = place % len(data)
        match kind:
            case "flip":
                data[at] ^= 1 << (value % 8)
            case "set":
                data[at] = value
            case "cut":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + length]
            case "drop":
                del data[at : at + length]
            case _:
                data[at : at + length] = bytes(min(length, len(data) - at))
    return bytes(data)


def one_line(error: BaseException, path: Path | str) -> None:
    assert len(str(error).splitlines()) == 1, str(error)
    assert str(path) in str(error)
    assert len(str(error)) < 1000


@often(1300)
@pytest.mark.parametrize("form", ["npy", "npz", "safetensors"])
def test_files_of_samples(tmp_path: Path, form: str, examples: int) -> None:
    path = tmp_path / f"x.{form}"
    array = PROBLEM.sample_prior(B * N).reshape(B, N, 4)
    if form == "npy":
        np.save(path, array)
    elif form == "npz":
        np.savez_compressed(path, samples=array)
    else:
        save_file({"samples": torch.from_numpy(array)}, path, metadata={"checksum": "?"})
    original = path.read_bytes()
    refused = 0

    @thorough(examples)
    @given(DAMAGE)
    def attack(damage: list[Damage]) -> None:
        nonlocal refused
        path.write_bytes(damaged(original, damage))
        try:
            found = read_samples(path, PROBLEM, B, limit=1_000_000).samples
        except SampleFileError as error:
            one_line(error, path)
            refused += 1
        else:
            assert found.shape == (B, found.shape[1], 4)
            assert np.isfinite(found).all()

    attack()
    assert refused > examples // 3
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "cinn.safetensors"
    save(fastinv.model("cinn", PROBLEM, preset=SETTINGS.preset), path)
    return path


def read_checkpoint(path: Path) -> bool:
    """Load a model; returns whether it was refused."""
    try:
        model = load(path)
    except CheckpointError as error:
        one_line(error, path)
        return True
    assert model.sample(PROBLEM.observations(1), 2).shape == (1, 2, 4)
    return False


@often(2000)
def test_checkpoints(tmp_path: Path, checkpoint: Path, examples: int) -> None:
    path, original = tmp_path / "x.safetensors", checkpoint.read_bytes()
    refused = 0

    @thorough(examples)
    @given(DAMAGE)
    def attack(damage: list[Damage]) -> None:
        nonlocal refused
        path.write_bytes(damaged(original, damage))
        refused += read_checkpoint(path)

    attack()
    assert refused > 0.9 * examples
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@often(1100)
def test_checkpoints_of_someone_with_intent(tmp_path: Path, checkpoint: Path, examples: int) -> None:
    """The header says something else, and its checksum fits."""
    path = tmp_path / "x.safetensors"
    with safe_open(checkpoint, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["fastinv"])
    places = [(), *((k,) for k in header), *(("identity", k) for k in header["identity"])]
    places += [("identity", "settings", k) for k in header["identity"]["settings"]]
    refused = 0

    @thorough(examples)
    @given(st.sampled_from(places), ODD | st.just("delete"), st.booleans())
    def attack(place: tuple[str, ...], value: Any, drop_tensor: bool) -> None:
        nonlocal refused
        changed = put(json.loads(json.dumps(header)), place, value)
        text = json.dumps(changed)
        kept = dict(list(tensors.items())[1:]) if drop_tensor else tensors
        save_file(kept, path, metadata={"fastinv": text, "sha256": _digest(text, kept)})
        refused += read_checkpoint(path)

    attack()
    assert refused > examples // 2


def put(tree: Any, place: tuple[str, ...], value: Any) -> Any:
    """A tree with another value at a place."""
    if not place:
        return value
    if len(place) == 1 and value == "delete":
        del tree[place[0]]
    else:
        tree[place[0]] = put(tree[place[0]], place[1:], value)
    return tree


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "r"
    with RunWriter(folder, settings=SETTINGS.as_dict(), settings_hash=SETTINGS.hash, provenance={}) as store:
        assert run_benchmark(SETTINGS, ("mdn",), store).failed == ()
    return folder


def open_run(folder: Path) -> int:
    """Read a run as the commands do, and open it for writing; returns how often it was refused."""
    refused = 0
    try:
        with RunReader(folder) as reader:
            results = load_results(reader)
            for form in ("json", "csv", "md"):
                render(results, form)
            reader.curves("kinematics", "mdn", 0)
    except StoreError as error:
        one_line(error, folder)
        refused += 1
    try:
        with RunWriter(
            folder, settings=SETTINGS.as_dict(), settings_hash=SETTINGS.hash, provenance={}
        ) as store:
            store.stages()
    except StoreError as error:
        one_line(error, folder.name)
        refused += 1
    return refused


def fresh_copy(run: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copyfile(run / "run.sqlite3", folder / "run.sqlite3")


@often(2000)
def test_runs(tmp_path: Path, run: Path, examples: int) -> None:
    folder, refused = tmp_path / "r", 0
    original = (run / "run.sqlite3").read_bytes()

    @thorough(examples)
    @given(DAMAGE)
    def attack(damage: list[Damage]) -> None:
        nonlocal refused
        fresh_copy(run, folder)
        (folder / "run.sqlite3").write_bytes(damaged(original, damage))
        refused += open_run(folder) > 0

    attack()
    assert refused > examples // 3
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


@pytest.mark.parametrize("examples", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_runs_of_someone_with_intent(tmp_path: Path, run: Path, examples: int) -> None:
    """Single cells hold something else; SQLite itself finds nothing wrong."""
    with sqlite3.connect(run / "run.sqlite3") as raw:
        tables = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = [(t, row[1]) for t in tables for row in raw.execute(f"PRAGMA table_info({t})")]
    raw.close()
    folder, refused = tmp_path / "r", 0

    @thorough(examples)
    @given(st.sampled_from(cells), ODD)
    def attack(cell: tuple[str, str], value: Any) -> None:
        nonlocal refused
        table, column = cell
        fresh_copy(run, folder)
        value = json.dumps(value) if isinstance(value, list | dict) else value
        with sqlite3.connect(folder / "run.sqlite3") as raw:
            where = f"rowid = (SELECT max(rowid) FROM {table})" if table not in WITHOUT_ROWID else "1"
            with suppress(sqlite3.Error, OverflowError):  # where the schema itself refuses it
                raw.execute(f"UPDATE OR IGNORE {table} SET {column} = ? WHERE {where}", (value,))
        raw.close()
        refused += open_run(folder) > 0

    attack()
    assert refused > examples // 50  # SQLite keeps most odd values out, or makes them fit
    assert [p.name for p in tmp_path.iterdir()] == ["r"]


WITHOUT_ROWID = ("score", "curve", "timing")
