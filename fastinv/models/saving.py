"""Trained models as files: safetensors with a JSON header, never pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from fastinv.models.base import ModelSpec, PosteriorModel
from fastinv.models.build import MAX_WIDTH, from_spec, shapes_only
from fastinv.models.files import CheckpointError, read_tensors, require_same, write_tensors
from fastinv.models.registry import entry
from fastinv.models.settings import with_overrides
from fastinv.names import UnknownNameError
from fastinv.problems import Problem
from fastinv.problems import problem as problem_by_name

_KINDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "problem": str,
    "preset": str,
    "budget": int,
    "width": (int, float),
    "counts": str,
    "seed": int,
    "settings": dict,
}
# No setting that counts something (blocks, bins, steps) comes near this.
MAX_SETTING = 10_000


def save(model: PosteriorModel, path: str | Path) -> None:
    """Write a model to a .safetensors file.

    Args:
        model: trained or not.
        path: where to; an existing file is replaced in one step.

    Examples:
        >>> import fastinv, tempfile
        >>> problem = fastinv.problem("kinematics")
        >>> model = fastinv.model("cinn", problem, preset="smoke")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(model, folder + "/cinn.safetensors")
        ...     load(folder + "/cinn.safetensors").info.title
        'cINN'
    """
    write_tensors(path, "model", model.spec.as_dict(), {}, model.state_dict())


def load(
    path: str | Path,
    problem: Problem | None = None,
    *,
    model: str | None = None,
    device: str | torch.device = "cpu",
) -> PosteriorModel:
    """Read a model that `save` wrote.

    Args:
        path: the file.
        problem: the problem that the model must belong to; needed where it is not in the registry.
        model: the name that the model must have, None for any.
        device: where to put it.

    Returns:
        The model, in eval mode.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: truncated, altered, or of another model, problem or version.
    """
    identity, _, tensors = read_tensors(path, "model")
    expected = {"model": model, "problem": problem.name if problem else None}
    require_same(path, identity, {key: name for key, name in expected.items() if name is not None})
    spec = _checked_spec(path, identity)
    try:
        found = entry(spec.model)
        settings = with_overrides(found.settings, spec.settings)
        owner = problem if problem is not None else problem_by_name(spec.problem)
    except (UnknownNameError, TypeError) as error:
        raise CheckpointError(f"{path} needs what is not here: {error}") from error
    if missing := sorted({f.name for f in fields(settings)} - set(spec.settings)):
        # A default in its place could draw other samples than those that the model was trained for.
        names = ", ".join(missing)
        raise CheckpointError(
            f"{path} is from another version, without setting {names} of {spec.model!r}: train it again"
        )
    try:
        with shapes_only():  # a file must not decide how much memory is taken
            empty = from_spec(found.info, found.load(), settings, owner, spec)
        _check_shapes(empty.state_dict(), tensors)
        loaded = from_spec(found.info, found.load(), settings, owner, spec)
        loaded.load_state_dict(tensors)
    except Exception as error:  # whatever a network's constructor thinks of a stranger's settings
        cause = " ".join(str(error).split())[:300]
        raise CheckpointError(f"{path} does not fit model {spec.model!r}: {cause}") from error
    return loaded.to(device).eval()


def _checked_spec(path: str | Path, identity: Mapping[str, Any]) -> ModelSpec:
    if set(identity) != {f.name for f in fields(ModelSpec)}:
        raise CheckpointError(f"{path} does not describe a model: its settings have other names")
    for name, kind in _KINDS.items():
        if not isinstance(identity[name], kind) or isinstance(identity[name], bool):
            raise CheckpointError(f"{path} does not describe a model: {name} is {str(identity[name])[:40]!r}")
    spec = ModelSpec(**identity)
    if not 0 <= spec.width <= MAX_WIDTH:  # 0: without a network
        raise CheckpointError(f"{path} does not describe a model: its width is {spec.width!r}")
    for name, value in spec.settings.items():
        if isinstance(value, int) and not 0 <= value <= MAX_SETTING:
            raise CheckpointError(f"{path} does not describe a model: setting {name[:40]!r} is {value}")
    return spec


def _check_shapes(expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]) -> None:
    for name in sorted({*expected, *found}):
        ours, theirs = (tuple(t[name].shape) if name in t else None for t in (expected, found))
        if ours != theirs:
            raise ValueError(f"tensor {name!r} has shape {theirs}, expected {ours}")
