"""The stages of a row: train, score, time. Each returns what is to be committed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinv.runner.events import StageProgress
from fastinv.runner.truth import Reference, block_seed
from fastinv.scoring import posterior_errors, resimulation_errors
from fastinv.store import DRAW, IN_MODE, ModelFacts, StageKey, StageResult, TimingRow
from fastinv.timing import Plan, Timing, measure, measure_all

if TYPE_CHECKING:
    from fastinv.models import PosteriorModel
    from fastinv.training import TrainingProgress

FloatArray = NDArray[np.float64]
Sampler = Callable[[slice], FloatArray]
OnProgress = Callable[[StageProgress], None]

TIMED_SAMPLES = 1000
# How long and how exactly the rows of a benchmark are timed.
PLAN = Plan()


class SamplesNotFiniteError(ValueError):
    """A model drew NaN or infinity."""


def train(
    model: PosteriorModel, reference: Reference, key: StageKey, checkpoint: Path, on_progress: OnProgress
) -> StageResult:
    """Train a model in place, going on from its checkpoint where there is one."""
    from fastinv.training import fit

    resumed_at: list[tuple[float, int]] = []

    def report(p: TrainingProgress) -> None:
        # The pace of this process alone: a resumed training may have begun on a busier machine.
        if not resumed_at:
            resumed_at.append((p.elapsed_s, p.batch))
        seconds, batches = p.elapsed_s - resumed_at[0][0], p.batch - resumed_at[0][1]
        left = (p.batches - p.batch) * seconds / batches if batches else None
        on_progress(StageProgress(key, "training", p.batch / p.batches, left, p.loss))

    result = fit(
        model,
        reference.problem,
        preset=reference.settings.preset,
        seed=key.seed,
        on_progress=report,
        checkpoint=checkpoint,
    )
    curves = {"loss": result.loss, "validation_loss": result.validation_loss}
    return StageResult(result.seconds, curves=curves)


def score(
    reference: Reference,
    key: StageKey,
    sampler: Sampler,
    extra: dict[str, FloatArray],
    on_progress: OnProgress,
    diagnostics: Callable[[], Mapping[str, FloatArray]] = dict,
) -> StageResult:
    """Draw samples and score them, a block of observations at a time.

    Args:
        reference: ground truth and observations.
        key: the stage.
        sampler: from a block to its samples, shape (block, n, d_x).
        extra: further per-observation scores to be stored.
        on_progress: called after every block.
        diagnostics: what the sampler says of its last block, per observation; stored like scores.

    Raises:
        SamplesNotFiniteError: a sample is NaN or infinite; the message says where.
    """
    total = len(reference.y_star)
    truth = reference.truth
    columns: dict[str, FloatArray] = {}
    digest = hashlib.sha256()
    started = time.monotonic()
    for block in reference.blocks():
        samples = _checked(sampler(block), block)
        digest.update(np.ascontiguousarray(samples, dtype="<f8").data)
        errors = posterior_errors(
            samples,
            truth[block],
            kernel=reference.settings.kernel,
            truth_self=reference.self_term(block),
        )
        again = resimulation_errors(reference.problem, reference.y_star[block], samples)
        for metric, values in (
            ("err_post", errors.biased),
            ("err_post_unbiased", errors.unbiased),
            ("err_post_4000", errors.at_4000),
            ("err_resim", again.error),
            ("lost", again.lost),
            *diagnostics().items(),
        ):
            columns.setdefault(metric, np.full(total, np.nan))[block] = values
        done, elapsed = block.stop / total, time.monotonic() - started
        on_progress(StageProgress(key, "scoring", done, elapsed * (1.0 - done) / done))
    return StageResult(
        time.monotonic() - started, scores={**columns, **extra}, samples_sha256=digest.hexdigest()
    )


def time_draws(draw: Callable[[], object], device: str, plan: Plan) -> StageResult:
    """Measure how long it takes to draw 1000 samples for one observation."""
    started = time.monotonic()
    row = _timing_row(DRAW, measure(draw, device=device, plan=plan))
    return StageResult(time.monotonic() - started, timings=(row,))


def time_model(model: PosteriorModel, y: FloatArray, device: str, plan: Plan) -> StageResult:
    """The same for a model, and its execution modes against each other.

    Modes are those that keep float32 and are prepared in well under a second; `fastinv profile` measures
    all of them. A mode that is missing here, or draws other samples than eager, is left out.

    Args:
        model: trained.
        y: one observation, shape (1, d_y).
        device: "cpu" or "cuda".
        plan: how long and how exactly each is measured.
    """
    import torch

    from fastinv.timing.checking import check
    from fastinv.timing.modes import MODES, ModeUnavailableError
    from fastinv.timing.sampler import Sampler

    started = time.monotonic()
    whole = time_draws(lambda: model.sample(y, TIMED_SAMPLES, seed=0), device, plan)
    model.eval()
    observation = torch.as_tensor(y, dtype=torch.float32, device=model.device)
    samplers: dict[str, Callable[[], object]] = {}
    for mode in (m.name for m in MODES.values() if m.exact and m.quick):
        try:
            sampler = Sampler(model, observation, TIMED_SAMPLES, mode)
        except ModeUnavailableError:
            continue
        if check(sampler, model).passed:
            samplers[mode] = sampler
    found = measure_all(samplers, device=device, plan=plan)
    rows = tuple(_timing_row(f"{DRAW}{IN_MODE}{mode}", timing) for mode, timing in found.items())
    return StageResult(time.monotonic() - started, timings=(*whole.timings, *rows))


def _timing_row(what: str, timing: Timing) -> TimingRow:
    return TimingRow(what, timing.median_ms, timing.q25_ms, timing.q75_ms, timing.repeats)


def model_sampler(model: PosteriorModel, reference: Reference, seed: int) -> Sampler:
    """Samples of a trained model, block by block."""
    n = reference.settings.preset.samples

    def draw(block: slice) -> FloatArray:
        return model.sample(reference.y_star[block], n, seed=block_seed(seed, model.info.name, block)).astype(
            np.float64
        )

    return draw


def inner_errors(model: PosteriorModel, reference: Reference) -> dict[str, FloatArray]:
    """Cycle and forward error per observation, where the family has them."""
    import torch

    x, y = (
        torch.as_tensor(a, dtype=torch.float32, device=model.device)
        for a in (reference.x_star, reference.y_star)
    )
    found = {"cycle_error": model.cycle_error(x), "forward_error": model.forward_error(x, y)}
    return {name: e.double().cpu().numpy() for name, e in found.items() if e is not None}


def facts(model: PosteriorModel) -> ModelFacts:
    """What a table says of a model besides its scores."""
    info = model.info
    return ModelFacts(
        title=info.title,
        family=info.family,
        parameters=model.parameter_count,
        latent_dim=model.latent_dim,
        maximum_likelihood=info.maximum_likelihood,
        supervised=info.supervised,
        addition=info.addition,
    )


def _checked(samples: FloatArray, block: slice) -> FloatArray:
    rows, _ = np.nonzero(~np.isfinite(samples).all(axis=-1))
    if len(rows):
        raise SamplesNotFiniteError(
            f"{len(rows)} of {samples.shape[0] * samples.shape[1]} samples are NaN or infinite, "
            f"the first for observation {block.start + int(rows[0])}"
        )
    return samples
