"""What the benchmark relies on in a model."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fastinv.models import Entry, ModelInfo, PosteriorModel
from fastinv.models.build import TOLERANCE, build
from fastinv.models.files import read_tensors, write_tensors
from fastinv.models.settings import Settings
from fastinv.presets import Preset
from fastinv.problems import Problem
from fastinv.problems.plugins import is_name
from fastinv.runner.conformance.checks import Check, Step, carry_out, require, require_array, require_equal
from fastinv.training import fit

# A twentieth of the smallest preset: seconds, and still enough for a loss to fall.
SIZES = Preset("check", 10_000, 4_000, 100, 1, 4, 50)
ROWS = 64


def check_model(entry: Entry, problem: Problem) -> Iterator[Check]:
    """Look at a model on a problem, promise by promise; see docs/plugins.md for the list."""
    checks = _Checks(entry, problem)
    declared = list(
        carry_out([("declaration", checks.declaration), ("builds within the budget", checks.builds)])
    )
    yield from declared
    if all(check.passed for check in declared):
        if entry.info.trained:
            yield from carry_out(checks.of_the_loss())
            yield from carry_out(checks.of_the_training())
        yield from carry_out(checks.of_the_samples())


class _Checks:
    def __init__(self, entry: Entry, problem: Problem) -> None:
        self.entry, self.problem = entry, problem
        self.model: PosteriorModel
        x = problem.sample_prior(ROWS, seed=1)
        self.x = torch.as_tensor(x, dtype=torch.float32)
        self.y = torch.as_tensor(problem.simulate(x), dtype=torch.float32)

    def new(self, seed: int = 0) -> PosteriorModel:
        e = self.entry
        return build(
            e.info, e.load(), e.settings, self.problem, SIZES,
            counts="factorised", seed=seed, device="cpu", settings=None,
        )  # fmt: skip

    def declaration(self) -> None:
        info = self.entry.info
        require(isinstance(info, ModelInfo), f"info is a {type(info).__name__}, not a ModelInfo")
        require(isinstance(info.name, str) and is_name(info.name), f"name is {info.name!r}")
        settings = self.entry.settings
        require(isinstance(settings, Settings), f"settings are a {type(settings).__name__}, not Settings")
        require(":" in self.entry.home, f"home is {self.entry.home!r}, not 'module:Class'")

    def builds(self) -> str:
        self.model = self.new()
        require(isinstance(self.model, PosteriorModel), f"it is a {type(self.model).__name__}")
        count = self.model.parameter_count
        if not self.entry.info.trained:
            require(count == 0, f"it is not trained and has {count} parameters")
        else:
            off = abs(count - SIZES.parameters) / SIZES.parameters
            require(off <= TOLERANCE, f"{count} parameters for a budget of {SIZES.parameters}")
        return f"{count} parameters"

    def loss(self, model: PosteriorModel) -> Tensor:
        return model.loss(self.x, self.y, generator=torch.Generator().manual_seed(3))

    def of_the_loss(self) -> list[Step]:
        def weights() -> None:
            same, again, other = self.new(), self.new(), self.new(seed=1)
            require(_same_weights(same, again), "seed 0 twice gives different weights")
            require(not _same_weights(same, other), "seeds 0 and 1 give the same weights")

        def scalar() -> None:
            loss = self.loss(self.model.eval()).detach()  # in training, power iterations may move on
            require(isinstance(loss, Tensor) and loss.shape == (), "the loss is not a scalar tensor")
            require(math.isfinite(float(loss)), f"the loss is {float(loss)}")
            require_equal("the same generator twice", loss.item(), self.loss(self.model).item())

        def gradients() -> None:
            model = self.new().train()
            self.loss(model).backward()  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    require(parameter.grad is not None, f"{name} gets no gradient")
                    require(torch.isfinite(parameter.grad).all(), f"the gradient of {name} is not finite")  # type: ignore[arg-type]

        return [
            ("initial weights: a function of the seed", weights),
            ("loss: a finite scalar, a function of its generator", scalar),
            ("loss: a finite gradient for every parameter", gradients),
        ]

    def of_the_training(self) -> list[Step]:
        def falls() -> str:
            result = fit(self.model, self.problem, preset=SIZES)
            first, last = result.validation_loss[0][1], result.validation_loss[-1][1]
            require(
                math.isfinite(last) and last < first, f"validation loss goes from {first:.4g} to {last:.4g}"
            )
            return f"validation loss goes from {first:.4g} to {last:.4g}"

        def resumes() -> None:
            whole, cut = self.new(), self.new()
            fit(whole, self.problem, preset=SIZES)
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "training.safetensors"
                _train_half(cut, self.problem, path)
                cut = self.new()
                fit(cut, self.problem, preset=SIZES, checkpoint=path)
            require(_same_weights(whole, cut), "a resumed training ends with other weights")

        def saved() -> None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.safetensors"
                write_tensors(path, "model", self.model.spec.as_dict(), {}, self.model.state_dict())
                again = self.new(seed=1)
                again.load_state_dict(read_tensors(path, "model")[2])
            y = self.problem.observations(2)
            require_equal("samples before and after", self.model.sample(y, 5), again.eval().sample(y, 5))

        return [
            ("training: the loss falls", falls),
            ("training: interrupted and resumed, the same weights", resumes),
            ("weights: saved and loaded, the same samples", saved),
        ]

    def of_the_samples(self) -> list[Step]:
        model, p = self.model, self.problem
        y = p.observations(4)
        n = SIZES.samples

        def shapes() -> None:
            require_array("sample", model.sample(y, n), (4, n, p.dim_x), np.float32)
            tensor = model.sample(torch.as_tensor(y), n)
            require(isinstance(tensor, Tensor), f"sample of a tensor gives a {type(tensor).__name__}")

        def determinism() -> None:
            x = model.sample(y, n, seed=5)
            require_equal("the same seed twice", x, model.sample(y, n, seed=5))
            require(not np.array_equal(x, model.sample(y, n, seed=6)), "seeds 5 and 6 give the same samples")
            # Not to the bit: a matrix product may round differently for another number of rows.
            spread = p.sample_prior(500).std(0)
            off = np.median(np.abs(model.sample(y[:1], n, seed=5) - x[:1]) / spread)
            require(off < 1e-3, "samples of one observation change when others are drawn with it")

        def density() -> str:
            found = model.log_prob(self.x, self.y)
            if found is None:
                return "none offered"
            require(found.shape == (ROWS,), f"log_prob has shape {tuple(found.shape)}, expected ({ROWS},)")
            require(not torch.isnan(found).any(), "log_prob is NaN somewhere")
            return ""

        def errors() -> None:
            found = {
                "cycle_error": model.cycle_error(self.x),
                "forward_error": model.forward_error(self.x, self.y),
            }
            for what, values in found.items():
                if values is not None:
                    require_array(what, values.numpy(), (ROWS,))

        return [
            ("samples: shape, dtype, finite", shapes),
            ("samples: a function of seed and observation", determinism),
            ("log_prob: shape, not NaN", density),
            ("cycle and forward error: shape, finite", errors),
        ]


class _Stopped(Exception):
    """A training that was stopped on purpose."""


def _train_half(model: PosteriorModel, problem: Problem, checkpoint: Path) -> None:
    """Train until there is a checkpoint, that of the training's half."""

    def stop(progress: object) -> None:
        if checkpoint.exists():
            raise _Stopped

    with suppress(_Stopped):
        half = SIZES.batches // 2
        fit(model, problem, preset=SIZES, on_progress=stop, checkpoint=checkpoint, checkpoint_every=half)


def _same_weights(a: PosteriorModel, b: PosteriorModel) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )
