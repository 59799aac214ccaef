"""One optimiser step: it waits for nothing, a bad one changes nothing, and compiling changes no result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import fastinv
from fastinv.models import PosteriorModel, model_names
from fastinv.models.compiling import why_no_compiler
from fastinv.presets import Preset
from fastinv.training import compiling, training_set
from fastinv.training.loop import Trainer
from fastinv.training.step import Step

TINY = Preset("tiny", 20_000, 1000, 100, 3, 5, 5)
CASES = [("kinematics", "factorised"), ("ballistics", "factorised"), ("ballistics", "rounded")]


class NoWaiting(TorchDispatchMode):
    """Refuses operators whose result has to reach Python: in a graph under capture they are an error."""

    WAITING = (
        "_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "unique",
        "_linalg_check_errors",
    )  # fmt: skip

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1].split(".")[0]
        assert name not in self.WAITING, name
        assert not name.startswith("_unique"), name
        return func(*args, **(kwargs or {}))


def made(name: str, problem: str = "kinematics", counts: str = "factorised") -> PosteriorModel:
    model = fastinv.model(name, fastinv.problem(problem), preset=TINY, counts=counts)
    model.train()
    return model


def pairs(model: PosteriorModel) -> int:
    return 100 * (1 + model.family.earlier_batches)


def step_of(model: PosteriorModel) -> Step:
    return Step(model, training_set(model.problem, 1000), 100, pairs(model), 30)


def inputs(model: PosteriorModel, first: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(first)
    return torch.arange(first, first + pairs(model)) % 1000, model.draw_loss_noise(100, generator)


@pytest.mark.parametrize(("problem", "counts"), CASES)
@pytest.mark.parametrize("name", model_names())
def test_a_step_waits_for_no_value(name: str, problem: str, counts: str) -> None:
    model = made(name, problem, counts)
    step = step_of(model)
    with NoWaiting():
        seen = step(*inputs(model), 1e-3, 0.1)
    assert torch.isfinite(seen).all()


def test_what_waits_is_noticed() -> None:
    with NoWaiting(), pytest.raises(AssertionError, match="_local_scalar_dense"):
        bool(torch.ones(2).all())


@pytest.mark.parametrize("name", ["cinn", "inn-l2-mmd", "mdn"])
def test_a_bad_step_and_those_after_it_change_nothing(name: str) -> None:
    model = made(name)
    step = step_of(model)
    step(*inputs(model), 1e-3, 0.1)
    weights = [p.detach().clone() for p in step.parameters]
    rows, noise = inputs(model, 100)
    plain, poison = step.loss, [float("nan")]
    step.loss = lambda x, y, n: plain(x * poison[0], y, n)
    assert not torch.isfinite(step(rows, noise, 1e-3, 0.1)).all()
    poison[0] = 1.0
    assert torch.isfinite(step(*inputs(model, 200), 1e-3, 0.1)).all()
    assert all(torch.equal(p, w) for p, w in zip(step.parameters, weights, strict=True))
    assert all(torch.isfinite(a).all() for a in step.averaged)


@pytest.mark.parametrize("name", ["maf", "invauto"])
def test_several_steps_at_once_are_the_same_steps(name: str) -> None:
    one, many = (Trainer(m, training_set(m.problem, 1000), TINY, 0, None) for m in (made(name), made(name)))
    single = [one.advance(1)[0] for _ in range(15)]
    assert many.advance(4) + many.advance(11) == single  # past the end of an epoch of ten
    assert all(torch.equal(a, b) for a, b in zip(one.averaged, many.averaged, strict=True))


def test_only_long_trainings_of_families_that_gain_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    def compiled(name: str, batches: int) -> bool:
        return isinstance(compiling.loss_program(made(name), batches), compiling.CompiledLoss)

    monkeypatch.setattr(compiling, "why_no_compiler", lambda device: None)
    long = compiling.COMPILED_FROM
    assert compiled("spline", long)
    assert not compiled("spline", long - 1)
    assert not compiled("mdn", long)
    monkeypatch.setattr(compiling, "why_no_compiler", lambda device: "none here")
    assert not compiled("spline", long)


@pytest.mark.slow
@pytest.mark.skipif(why_no_compiler("cpu") is not None, reason="no C++ compiler for torch.compile")
def test_a_compiled_loss_is_the_same_loss() -> None:
    settings = {"blocks": 1}
    model = fastinv.model("cinn", fastinv.problem("ballistics"), preset=TINY, settings=settings)
    data = training_set(model.problem, 1000)
    rows, noise = inputs(model)
    gradients = []
    for loss in (model.loss_of, compiling.CompiledLoss(model)):
        model.zero_grad(set_to_none=True)
        for _ in range(2):  # the first call compiles
            value = loss(data.x[rows], data.y[rows], noise)
        value.backward()
        gradients.append([value.detach(), *(p.grad for p in model.parameters() if p.requires_grad)])
    for plain, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, plain, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_compiled_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("g++ is of another century\nand more")

    monkeypatch.setattr(torch, "compile", lambda function, **options: broken)
    model = made("cinn")
    data = training_set(model.problem, 1000)
    rows, noise = inputs(model)
    loss = compiling.CompiledLoss(model)
    with pytest.warns(compiling.NotCompiledWarning, match="not compiled: g\\+\\+ is of another century$"):
        first = loss(data.x[rows], data.y[rows], noise)
    again = loss(data.x[rows], data.y[rows], noise)
    assert first == again == model.loss_of(data.x[rows], data.y[rows], noise)


def test_training_and_loading_leave_torchs_compiler_alone(tmp_path: Path) -> None:
    code = (
        "import sys, fastinv; from fastinv.models import load, save; from fastinv.presets import Preset\n"
        "sizes = Preset('tiny', 20_000, 200, 100, 1, 5, 5)\n"
        "for name, p in zip(('inn-l2-mmd', 'iresnet', 'invauto', 'mdn'), 2 * ('kinematics', 'ballistics')):\n"
        "    model = fastinv.model(name, fastinv.problem(p), preset=sizes)\n"
        "    fastinv.fit(model, model.problem, preset=sizes)\n"
        "    save(model, 'model.safetensors')\n"
        "    load('model.safetensors')\n"
        "print([m for m in ('torch._dynamo', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"  # they take seconds to import
