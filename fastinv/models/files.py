"""Tensors and JSON in one safetensors file, checked when read; never pickle."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fastinv.replacing import replacing

FORMAT = 1
KINDS = ("model", "training")


class CheckpointError(ValueError):
    """A file that is damaged, or that is not what was asked for; the message names the cause."""


def write_tensors(
    path: str | Path,
    kind: str,
    identity: Mapping[str, Any],
    state: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
) -> None:
    """Write a file in one step: a reader sees the old one or the new one, never half of it.

    Args:
        path: where to.
        kind: what the file is, "model" or "training".
        identity: what a reader will compare with its own.
        state: anything else that JSON holds.
        tensors: by name.
    """
    path = Path(path)
    stored = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    header = json.dumps(
        {"format": FORMAT, "kind": kind, "identity": identity, "state": state},
        sort_keys=True,
        allow_nan=False,
    )
    metadata = {"fastinv": header, "sha256": _digest(header, stored)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        save_file(stored, temporary, metadata=metadata)


def read_tensors(path: str | Path, kind: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """Read what `write_tensors` wrote: (identity, state, tensors).

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: truncated, altered, of another kind or of another version.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file: {error}") from error
    if "fastinv" not in metadata or "sha256" not in metadata:
        raise CheckpointError(f"{path} was not written by fastinv: its header has no settings")
    if _digest(metadata["fastinv"], tensors) != metadata["sha256"]:
        raise CheckpointError(f"{path} was altered after it was written: its checksum does not match")
    header = _parsed(path, metadata["fastinv"])
    if header["format"] != FORMAT:
        raise CheckpointError(f"{path} has format version {header['format']}; this version reads {FORMAT}")
    if header["kind"] != kind:
        raise CheckpointError(f"{path} holds a {header['kind']} checkpoint, not a {kind} one")
    return header["identity"], header["state"], tensors


def require_same(path: str | Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Raise `CheckpointError` naming the first entry in which a file's identity differs."""
    for key in expected:
        ours, theirs = json.loads(json.dumps(expected[key])), found.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            require_same(path, theirs, ours)
        elif ours != theirs:
            raise CheckpointError(f"{path} belongs to another {key}: it has {theirs!r}, expected {ours!r}")


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a header that is not JSON") from error
    objects = isinstance(header, dict) and all(isinstance(header.get(k), dict) for k in ("identity", "state"))
    if not objects or type(header.get("format")) is not int or header.get("kind") not in KINDS:
        raise CheckpointError(f"{path} has a header that describes no checkpoint")
    found: dict[str, Any] = header
    return found


def _digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(header.encode())
    for name in sorted(tensors):
        t = tensors[name]
        digest.update(f"{name} {t.dtype} {tuple(t.shape)}".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b"")
    return digest.hexdigest()
