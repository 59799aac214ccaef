"""Strangers' sample files: every format, every refusal, and thousands of damaged files."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import fastinv
from fastinv.scoring import observations_checksum
from fastinv.scoring.files import SampleFileError, read_samples
from fastinv.scoring.files.parquet import OBSERVATION, decode

PROBLEM = fastinv.problem("ballistics")
B, N = 5, 6
CHECKSUM = observations_checksum(PROBLEM.observations(B))


def samples(dtype: str = "<f4") -> np.ndarray:
    return PROBLEM.sample_prior(B * N).reshape(B, N, 4).astype(dtype)


def write_npy(path: Path, array: np.ndarray) -> None:
    np.save(path, array, allow_pickle=False)


def write_npz(path: Path, array: np.ndarray) -> None:
    np.savez_compressed(path, samples=array, checksum=np.array(CHECKSUM))


def write_safetensors(path: Path, array: np.ndarray) -> None:
    save_file({"other": np.zeros(3), "samples": array}, path, metadata={"checksum": CHECKSUM})


def write_parquet(path: Path, array: np.ndarray) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    columns = {OBSERVATION: np.repeat(np.arange(len(array)), array.shape[1])}
    columns |= {c.name: array[..., i].ravel() for i, c in enumerate(PROBLEM.parameters)}
    parquet.write_table(pa.table(columns), path)


WRITERS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "npy": write_npy,
    "npz": write_npz,
    "safetensors": write_safetensors,
    "parquet": write_parquet,
}


def read(path: Path, **more: Any) -> np.ndarray:
    return read_samples(path, PROBLEM, B, **more).samples


@pytest.mark.parametrize("form", WRITERS)
@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_every_format_comes_back(tmp_path: Path, form: str, dtype: str) -> None:
    path = tmp_path / f"x.{form}"
    WRITERS[form](path, samples(dtype))
    found = read_samples(path, PROBLEM, B)
    np.testing.assert_array_equal(found.samples, samples(dtype))
    assert found.whole_counts
    assert len(found.sha256) == 64


def test_byte_order_and_memory_order_are_understood(tmp_path: Path) -> None:
    write_npy(tmp_path / "x.npy", np.asfortranarray(samples(">f8")))
    np.testing.assert_array_equal(read(tmp_path / "x.npy"), samples("<f8"))


def test_fractions_in_a_count_are_noticed(tmp_path: Path) -> None:
    array = samples()
    array[0, 0, 3] += 0.25
    write_npy(tmp_path / "x.npy", array)
    assert not read_samples(tmp_path / "x.npy", PROBLEM, B).whole_counts


def test_one_array_of_another_name_is_enough(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", whatever=samples())
    assert read(tmp_path / "x.npz").shape == (B, N, 4)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((B, N, 3)), r"shape \(5, n, 4\) for 'ballistics', got \(5, 6, 3\)"),
        (np.zeros((B + 1, N, 4)), "must have shape"),
        (np.zeros((N, 4)), "must have shape"),
        (np.zeros((B, 1, 4)), "must number 2 to 100000 per observation, got 1"),
        (np.zeros((B, 0, 4)), "got 0"),
        (np.full((B, N, 4), np.nan), r"must be finite, the value at \(0, 0, 0\) is nan"),
        (np.zeros((B, N, 4), int), "dtype is '<i8'"),
        (np.zeros((B, N, 4), complex), "dtype is '<c16'"),
        (np.zeros((B, N, 4), np.float16), "dtype is '<f2'"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, array: np.ndarray, message: str) -> None:
    write_npy(tmp_path / "x.npy", array)
    with pytest.raises(SampleFileError, match=message):
        read(tmp_path / "x.npy")


@pytest.mark.parametrize("form", ["npz", "safetensors"])
def test_samples_for_other_observations_are_refused(tmp_path: Path, form: str) -> None:
    WRITERS[form](tmp_path / f"x.{form}", np.concatenate([samples(), samples()]))
    with pytest.raises(SampleFileError, match="belongs to other observations"):
        read_samples(tmp_path / f"x.{form}", PROBLEM, 2 * B)


class Boom:
    """Would leave a trace if it were ever unpickled."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("pwned"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    objects = np.array([Boom()], dtype=object)
    np.save(tmp_path / "x.npy", objects, allow_pickle=True)
    np.savez(tmp_path / "x.npz", allow_pickle=True, samples=objects)
    (tmp_path / "x.safetensors").write_bytes(pickle.dumps(Boom()))
    (tmp_path / "x.parquet").write_bytes(pickle.dumps(Boom()))
    for form in WRITERS:
        with pytest.raises(SampleFileError):
            read(tmp_path / f"x.{form}")
    assert not (tmp_path / "pwned").exists()


def npy_claiming(shape: tuple[int, ...]) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def zipped(content: bytes, kind: int = zipfile.ZIP_DEFLATED, members: int = 1) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for i in range(members):
            archive.writestr("samples.npy" if i == 0 else f"m{i}.npy", content)
    return buffer.getvalue()


def safetensors(header: bytes, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header


def tensor(dtype: str, shape: list[int], end: int) -> bytes:
    """A .safetensors file whose header claims this and that holds no data."""
    entry = {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}
    return safetensors(json.dumps({"samples": entry}).encode())


BOMBS = {
    "npy-shape.npy": (npy_claiming((10**6, 10**6, 4)), "at most"),
    "npy-header.npy": (b"\x93NUMPY\x02\x00" + b"\xff\xff\xff\x7f", "array header has 2147483647 bytes"),
    "npy-nested.npy": (b"\x93NUMPY\x01\x00\x00\x0f" + b"(" * 3840, "header is damaged"),
    "npy-short.npy": (npy_claiming((B, N, 4)), "bytes"),
    "zip-bomb.npz": (zipped(npy_claiming((B, 10**6, 4)) + bytes(50_000_000)), "unpacks to"),
    "zip-lzma.npz": (zipped(b"x", zipfile.ZIP_LZMA), "stored or deflated"),
    "zip-many.npz": (zipped(b"x", members=17), "17 members"),
    "zip-directory.npz": (zipped(b"x", members=2000), "directory is longer"),
    "zip-empty.npz": (zipped(b"", members=0), "0 members"),
    "zip-text.npz": (zipped(b"hello"), "not a .npy array"),
    "no-zip.npz": (b"hello", "not a .npz file"),
    "st-header.safetensors": (safetensors(b"{}", 2**60), "its header has"),
    "st-deep.safetensors": (safetensors(b"[" * 90_000), "describes no tensor"),
    "st-other.safetensors": (safetensors(b'{"x": 1}'), "describes no tensor 'samples'"),
    "st-huge.safetensors": (tensor("F64", [2**40, 2**40], 8), "at most"),
    "st-outside.safetensors": (tensor("F32", [B, N, 4], 480), "offsets"),
    "st-negative.safetensors": (tensor("F32", [-1], 4), "plain shape"),
    "text.parquet": (b"PAR1 hello PAR1", "not a whole Parquet file"),
    "samples.txt": (b"", "accepted extensions"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    content, message = BOMBS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SampleFileError, match=message) as caught:
        read(tmp_path / name, limit=1_000_000)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_a_parquet_file_of_many_equal_rows_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    rows = 300_000
    columns = {OBSERVATION: np.zeros(rows, int)} | {c.name: np.zeros(rows) for c in PROBLEM.parameters}
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet", compression="zstd")
    assert (tmp_path / "x.parquet").stat().st_size < 100_000
    with pytest.raises(SampleFileError, match="300000 rows, more than 1000000 bytes"):
        read(tmp_path / "x.parquet", limit=1_000_000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("x2"), "missing: \\['x2'\\]"),
        (lambda c: c.update({OBSERVATION: c[OBSERVATION][::-1]}), "must count 0, 1"),
        (lambda c: c.update({OBSERVATION: c[OBSERVATION] + 1}), "must count 0, 1"),
        (lambda c: c.update({"x1": ["a"] * B * N}), "not a whole Parquet file"),
        (lambda c: c.update({"x1": [None] * B * N}), "missing values"),
    ],
)
def test_parquet_of_another_layout(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    columns: dict[str, Any] = {OBSERVATION: np.repeat(np.arange(B), N)}
    columns |= {c.name: samples()[..., i].ravel() for i, c in enumerate(PROBLEM.parameters)}
    change(columns)
    parquet.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(SampleFileError, match=message):
        read(tmp_path / "x.parquet")


def test_the_parquet_child_ignores_modules_beside_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyarrow.py").write_text("open('pwned', 'w')")
    (tmp_path / "numpy.py").write_text("open('pwned', 'w')")
    write_parquet(tmp_path / "x.parquet", samples())
    assert read(tmp_path / "x.parquet").shape == (B, N, 4)
    assert not (tmp_path / "pwned").exists()


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, overwrite, cut, repeat or drop a few places, most of them near the ends, where headers are."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if not data:
            break
        near = int(rng.integers(200))
        place = [int(rng.integers(len(data))), near, len(data) - 1 - near][rng.choice(3, p=[0.3, 0.4, 0.3])]
        place = min(max(place, 0), len(data) - 1)
        match rng.integers(5):
            case 0:
                data[place] ^= 1 << int(rng.integers(8))
            case 1:
                data[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0x28, 0x7B]))
            case 2:
                del data[place:]
            case 3:
                data[place:place] = data[place : place + int(rng.integers(1, 64))]
            case _:
                del data[place : place + int(rng.integers(1, 64))]
    return bytes(data)


def survive(tmp_path: Path, form: str, count: int, seed: int) -> int:
    """Read `count` mutated files; each either still holds a fine array or is refused in one line."""
    path = tmp_path / f"x.{form}"
    WRITERS[form](path, samples())
    original, refused, lines = path.read_bytes(), 0, 0
    rng = np.random.default_rng(seed)
    for _ in range(count):
        path.write_bytes(mutated(original, rng))
        try:
            found = read(path, limit=1_000_000)
        except SampleFileError as error:
            refused += len(str(error).splitlines())  # one line each, or the count below is off
            lines += 1
        else:
            assert found.shape == (B, found.shape[1], 4)
            assert np.isfinite(found).all()
    assert refused == lines
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]
    return refused


@pytest.mark.parametrize("form", ["npy", "npz", "safetensors"])
def test_damaged_files_never_crash_the_reader(tmp_path: Path, form: str) -> None:
    assert survive(tmp_path, form, 300, seed=0) > 100


@pytest.mark.slow
@pytest.mark.parametrize("form", ["npy", "npz", "safetensors"])
def test_ten_thousand_damaged_files(tmp_path: Path, form: str) -> None:
    assert survive(tmp_path, form, 3400, seed=1) > 1000


@pytest.mark.slow
def test_damaged_parquet_files(tmp_path: Path) -> None:
    assert survive(tmp_path, "parquet", 40, seed=1) > 10


def test_decode_runs_without_the_child(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", samples())
    np.testing.assert_array_equal(decode(tmp_path / "x.parquet", ["x1", "x2", "x3", "x4"], 10**6), samples())


def test_reading_does_not_need_torch(tmp_path: Path) -> None:
    write_npy(tmp_path / "x.npy", samples())
    code = (
        "import sys, fastinv; from pathlib import Path; from fastinv.scoring.files import read_samples\n"
        f"read_samples(Path({str(tmp_path / 'x.npy')!r}), fastinv.problem('ballistics'), {B})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
