"""Trained models as files: safetensors with a JSON header, never pickle."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch

from fastinv.models.base import ModelSpec, PosteriorModel
from fastinv.models.build import from_spec
from fastinv.models.files import CheckpointError, read_tensors, require_same, write_tensors
from fastinv.models.registry import entry
from fastinv.models.settings import with_overrides
from fastinv.names import UnknownNameError
from fastinv.problems import Problem
from fastinv.problems import problem as problem_by_name


def save(model: PosteriorModel, path: str | Path) -> None:
    """Write a model to a .safetensors file.

    Args:
        model: trained or not.
        path: where to; an existing file is replaced in one step.

    Example:
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
    if set(identity) != {f.name for f in fields(ModelSpec)}:
        raise CheckpointError(f"{path} does not describe a model: its settings have other names")
    spec = ModelSpec(**identity)
    try:
        found = entry(spec.model)
        settings = with_overrides(found.settings, spec.settings)
        owner = problem if problem is not None else problem_by_name(spec.problem)
    except (UnknownNameError, TypeError) as error:
        raise CheckpointError(f"{path} needs what is not here: {error}") from error
    loaded = from_spec(found.info, found.load(), settings, owner, spec)
    try:
        loaded.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit model {spec.model!r}: {error}") from error
    return loaded.to(device).eval()
