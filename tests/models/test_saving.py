"""Model files: round trip, and refusal of everything that is not what was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import fastinv
from fastinv.models import CheckpointError, load, model_names, save
from fastinv.models.files import read_tensors


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cinn.safetensors"
    save(fastinv.model("cinn", fastinv.problem("kinematics"), preset="smoke"), path)
    return path


@pytest.mark.parametrize("name", model_names())
@pytest.mark.parametrize("problem_name", ["kinematics", "ballistics"])
def test_round_trip(tmp_path: Path, name: str, problem_name: str) -> None:
    problem = fastinv.problem(problem_name)
    model = fastinv.model(name, problem, preset="smoke", seed=3).eval()
    save(model, tmp_path / "m.safetensors")
    again = load(tmp_path / "m.safetensors")
    assert again.spec == model.spec
    y = problem.observations(2)
    np.testing.assert_array_equal(again.sample(y, 20), model.sample(y, 20))
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_another_model_or_problem(file: Path) -> None:
    with pytest.raises(CheckpointError, match="another problem"):
        load(file, fastinv.problem("ballistics"))
    with pytest.raises(CheckpointError, match="another model"):
        load(file, model="mdn")


def test_truncated(file: Path) -> None:
    data = file.read_bytes()
    for length in (0, 4, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match="not a whole safetensors file"):
            load(file)


def test_altered(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum"):
        load(file)


def rewrite(file: Path, change) -> None:
    """Alter the header and make the checksum fit again, as someone with intent would."""
    from fastinv.models.files import _digest

    with safe_open(file, framework="pt") as f:
        tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        header = json.loads(f.metadata()["fastinv"])
    change(header, tensors)
    text = json.dumps(header)
    save_file(tensors, file, metadata={"fastinv": text, "sha256": _digest(text, tensors)})


def test_another_version(file: Path) -> None:
    rewrite(file, lambda header, tensors: header.update(format=99))
    with pytest.raises(CheckpointError, match="version 99"):
        load(file)


def test_a_setting_that_came_later_is_not_guessed(file: Path) -> None:
    rewrite(file, lambda header, tensors: header["identity"]["settings"].pop("clamp"))
    with pytest.raises(CheckpointError, match="another version, without setting clamp of 'cinn'"):
        load(file)


def test_unknown_model_or_setting(file: Path) -> None:
    original = file.read_bytes()
    rewrite(file, lambda header, tensors: header["identity"].update(model="gan"))
    with pytest.raises(CheckpointError, match="gan"):
        load(file)
    file.write_bytes(original)
    rewrite(file, lambda header, tensors: header["identity"]["settings"].update(depth=3))
    with pytest.raises(CheckpointError, match="depth"):
        load(file)
    file.write_bytes(original)
    rewrite(file, lambda header, tensors: header["identity"].pop("width"))
    with pytest.raises(CheckpointError, match="settings"):
        load(file)


def test_tensor_of_another_shape(file: Path) -> None:
    def swap(header, tensors) -> None:
        tensors["chart.x_moments"] = torch.zeros(2, 7)

    rewrite(file, swap)
    with pytest.raises(CheckpointError, match="does not fit"):
        load(file)


def test_not_ours(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="not written by fastinv"):
        load(tmp_path / "a.safetensors")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "b.safetensors")


def test_kind(file: Path) -> None:
    with pytest.raises(CheckpointError, match="model checkpoint"):
        read_tensors(file, "training")
