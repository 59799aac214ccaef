"""Arrays in .npy, .npz and .safetensors files: headers read by our own strict parsers, limits checked first.

NumPy's and zipfile's readers are not used for the headers: what they accept is much more than what a file of
samples needs, and some of it (objects, exotic compression, huge directories) is what an attacker would send.
"""

from __future__ import annotations

import json
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAX_HEADER = 100_000
MAX_NPY_HEADER = 4096
MAX_MEMBERS = 16
MAX_DIRECTORY = 65_536
ARRAY_NAME = "samples"
CHECKSUM_NAME = "checksum"

_NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[A-Za-z]\d{1,4})', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12},? ?){0,8})\),? *\}[ \n]*"
)
# A damaged ZIP file shows in many ways, for `zipfile` checks little before it reads.
_ZIP_ERRORS = (zipfile.BadZipFile, struct.error, UnicodeDecodeError)
_SAFETENSORS_DTYPES = {"F32": "<f4", "F64": "<f8"}


class SampleFileError(ValueError):
    """A file is damaged, too large, or not what a file of samples should be; one line names the cause."""


def read_npy(file: IO[bytes], size: int, limit: int, allowed: str = "f") -> Array:
    """An array of numbers from a .npy stream of `size` bytes.

    Args:
        file: positioned at the magic string.
        size: bytes from there to the end.
        limit: most bytes of data that are accepted.
        allowed: kinds of dtype that are accepted: "f" for float32 and float64, "U" for text.

    Raises:
        SampleFileError: anything else than a plain array of these.
    """
    start = file.read(10)
    if len(start) < 10 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise SampleFileError("it is not a .npy array")
    if start[6] == 1:
        length, read = int.from_bytes(start[8:10], "little"), 10
    else:
        length, read = int.from_bytes(start[8:10] + file.read(2), "little"), 12
    if length > MAX_NPY_HEADER:
        raise SampleFileError(f"its array header has {length} bytes, at most {MAX_NPY_HEADER} are accepted")
    header = _NPY_HEADER.fullmatch(file.read(length))
    if header is None:
        raise SampleFileError("its array header is damaged, or the array holds objects")
    dtype = _dtype(header[1].decode(), allowed)
    shape = tuple(int(part) for part in header[3].decode().replace(" ", "").split(",") if part)
    expected = _bytes_of(shape, dtype, limit)
    if size - read - length != expected:
        raise SampleFileError(f"its data has {size - read - length} bytes, its shape needs {expected}")
    data = _exactly(file, expected)
    if file.read(1):  # reading to the very end is also what makes a ZIP member's checksum be checked
        raise SampleFileError("it goes on after its data")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if header[2] == b"True" else "C")


def read_npz(path: Path, limit: int) -> tuple[Array, str | None]:
    """Array `samples` (or the only array) and text `checksum` of an .npz file.

    Raises:
        SampleFileError: another kind of ZIP file, too many members, exotic compression, or a bomb.
    """
    _check_directory(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if not 1 <= len(members) <= MAX_MEMBERS:
                raise SampleFileError(f"it has {len(members)} members, 1 to {MAX_MEMBERS} are accepted")
            others = [name for name in members if name != CHECKSUM_NAME]
            name = ARRAY_NAME if ARRAY_NAME in members else others[0] if len(others) == 1 else None
            if name is None:
                raise SampleFileError(f"it has no array {ARRAY_NAME!r} among its {len(members)} members")
            samples = _member(archive, members[name], limit, "f")
            if CHECKSUM_NAME not in members or name == CHECKSUM_NAME:
                return samples, None
            return samples, str(_member(archive, members[CHECKSUM_NAME], MAX_HEADER, "U"))
    except (*_ZIP_ERRORS, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SampleFileError(f"it is not a whole .npz file: {_short(error)}") from error


def read_safetensors(path: Path, limit: int) -> tuple[Array, str | None]:
    """Tensor `samples` and metadata `checksum` of a .safetensors file.

    Raises:
        SampleFileError: a header that is too long, too deep or damaged, or offsets outside the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= MAX_HEADER or 8 + length > size:
            raise SampleFileError(f"its header has {length} bytes, 2 to {MAX_HEADER} are accepted")
        try:
            header = json.loads(file.read(length))
            metadata = header.get("__metadata__") or {}
            entry = header[ARRAY_NAME]
            name, shape = entry["dtype"], tuple(entry["shape"])
            begin, end = entry["data_offsets"]
            checksum = metadata.get(CHECKSUM_NAME)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SampleFileError(f"its header describes no tensor {ARRAY_NAME!r}") from error
        whole = all(type(v) is int and 0 <= v < 2**48 for v in (*shape, begin, end))
        if name not in _SAFETENSORS_DTYPES or not whole or len(shape) > 8:
            raise SampleFileError(f"tensor {ARRAY_NAME!r} must be F32 or F64 of a plain shape")
        dtype = np.dtype(_SAFETENSORS_DTYPES[name])
        expected = _bytes_of(shape, dtype, limit)
        if end - begin != expected or 8 + length + end > size:
            raise SampleFileError(f"the offsets of tensor {ARRAY_NAME!r} do not match its shape or the file")
        file.seek(8 + length + begin)
        data = _exactly(file, expected)
    if checksum is not None and not isinstance(checksum, str):
        raise SampleFileError(f"its {CHECKSUM_NAME} is not text")
    return np.frombuffer(data, dtype).reshape(shape), checksum


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int, allowed: str) -> Array:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise SampleFileError("its members must be stored or deflated")
    if info.file_size > limit + MAX_NPY_HEADER + 12:
        raise SampleFileError(f"it unpacks to {info.file_size} bytes, at most {limit} are accepted")
    with archive.open(info) as file:
        return read_npy(file, info.file_size, limit, allowed)


def _check_directory(path: Path) -> None:
    """Look at the end of a ZIP file before `zipfile` builds an object for each of its millions of members."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - 65_557 - 20))
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise SampleFileError("it is not a .npz file")
    if tail[max(0, end - 20) : end].startswith(b"PK\x06\x07"):
        raise SampleFileError("its directory is in the ZIP64 format, which no file of this size needs")
    if int.from_bytes(tail[end + 12 : end + 16], "little") > MAX_DIRECTORY:
        raise SampleFileError(f"its directory is longer than {MAX_DIRECTORY} bytes")


def _dtype(text: str, allowed: str) -> np.dtype[Any]:
    accepted = re.fullmatch(r"[<>=|]?f[48]" if allowed == "f" else r"[<>=|]?U\d{1,3}", text)
    if accepted is None:
        wanted = "float32 or float64" if allowed == "f" else "text"
        raise SampleFileError(f"its dtype is {text!r}, accepted: {wanted}")
    return np.dtype(text)


def _bytes_of(shape: tuple[int, ...], dtype: np.dtype[Any], limit: int) -> int:
    size = dtype.itemsize
    for extent in shape:
        size *= extent
    if size > limit:
        raise SampleFileError(f"shape {shape} takes {size} bytes, at most {limit} are accepted")
    return size


def _exactly(file: IO[bytes], expected: int) -> bytes:
    data = file.read(expected)
    if len(data) != expected:
        raise SampleFileError(f"its data ends after {len(data)} of {expected} bytes")
    return data


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
