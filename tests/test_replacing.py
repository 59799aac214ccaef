"""Files that are replaced in one step, also by a process that is killed on the way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastinv.replacing import remove_forgotten, remove_unfinished, replacing

KILLED = """
import os, pathlib, signal, sys
from fastinv.replacing import replacing
with replacing(pathlib.Path(sys.argv[1])) as unfinished:
    unfinished.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    with replacing(path) as unfinished:
        unfinished.write_text("half of the n")
        assert path.read_text() == "old"
        assert not [p for p in tmp_path.glob("*.json") if p != path]
        unfinished.write_text("new")
    assert path.read_text() == "new"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_an_error_leaves_everything_as_it_was(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("half of the n")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes of files")
def test_the_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "result.json"
    plain.touch()
    with replacing(path) as unfinished:
        unfinished.write_text("new")
    assert path.stat().st_mode == plain.stat().st_mode


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path, longer = tmp_path / "b.[ab]", tmp_path / "a.b.[ab]"
    for file in (path, longer, path):
        subprocess.run([sys.executable, "-c", KILLED, str(file)])
    left = names(tmp_path)
    assert len(left) == 3
    remove_unfinished(path)
    (kept,) = names(tmp_path)
    assert kept in left
    assert kept.startswith(".a.b.[ab].")


def test_what_was_written_lately_may_be_a_living_writer_s(tmp_path: Path) -> None:
    for name in ("b", "c", "b"):
        subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / name)])
    old, other, young = sorted(tmp_path.iterdir(), key=lambda path: (".c." in path.name, path), reverse=True)
    for path in (old, other):
        os.utime(path, (0.0, 0.0))
    (tmp_path / ".b.0123456789ab.tmp").touch()
    remove_forgotten(tmp_path, 3600.0)
    assert names(tmp_path) == sorted([young.name, ".b.0123456789ab.tmp"])


def test_a_writer_can_ask_for_a_suffix(tmp_path: Path) -> None:
    with replacing(tmp_path / "model", suffix=".pt2") as unfinished:
        assert unfinished.suffix == ".pt2"
    assert names(tmp_path) == ["model"]


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "missing" / "result.json"):
        raise AssertionError("the work began")
