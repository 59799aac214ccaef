"""Compare settings of one model family by held-out Err_post: how `fastinv/models/settings.py` was filled.

    python bench/tune_models.py --problem kinematics --model cinn --set lr=0.005 --set lr=0.01,clamp=1.5

trains the model once per --set (and once with the defaults when there is none) with a preset's data, batches
and epochs, and prints a line for each. --seed trains from other weights and in another order, to tell
settings from luck. --batch N takes as many steps with N pairs each, to see what the noise of small batches
costs: such a model has seen more pairs, so that this is no fair setting.

The observations are drawn for this purpose and are none of those that the benchmark publishes, so that
settings are not chosen on the test set.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time

import numpy as np
import torch

import fastinv
from fastinv.kernels import mmd2
from fastinv.models import PosteriorModel
from fastinv.models.counts import COUNTS
from fastinv.presets import Preset, preset
from fastinv.problems import Problem

TUNING_SEED = 4242


def parse_settings(text: str) -> dict[str, object]:
    """'lr=0.01,activation=relu' -> {"lr": 0.01, "activation": "relu"}."""
    settings: dict[str, object] = {}
    for item in filter(None, text.split(",")):
        key, _, value = item.partition("=")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return settings


def sizes(name: str, batch: int | None) -> Preset:
    """The preset, or one with as many steps of another batch size."""
    chosen = preset(name)
    if batch is None:
        return chosen
    pairs = chosen.batches_per_epoch * batch
    return dataclasses.replace(chosen, batch_size=batch, training_pairs=pairs)


def scores(model: PosteriorModel, problem: Problem, observations: int, samples: int) -> dict[str, float]:
    """Means and medians of Err_post and Err_resim over held-out observations, and the soft errors."""
    y = problem.simulate(problem.sample_prior(observations, seed=TUNING_SEED))
    drawn = model.sample(y, samples).astype(np.float64)
    err_post = mmd2(drawn, problem.sample_posterior(y, samples, seed=1), kernel="paper")
    err_resim = np.nanmean(((problem.simulate(drawn) - y[:, None]) ** 2).sum(-1), axis=1)
    x = torch.from_numpy(problem.sample_prior(2000, seed=TUNING_SEED + 1)).float()
    found = {
        "post": err_post.mean(),
        "post_median": np.median(err_post),
        "resim": err_resim.mean(),
        "resim_median": np.median(err_resim),
    }
    for name, error in (
        ("forward", model.forward_error(x, problem.simulate(x))),
        ("cycle", model.cycle_error(x)),
    ):
        if error is not None:
            found[name] = float(error.mean())
    return {name: float(value) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--problem", default="kinematics")
    parser.add_argument("--model", required=True)
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--counts", default="factorised", choices=COUNTS)
    parser.add_argument("--batch", type=int, help="pairs per step instead of the preset's, at equal steps")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the order of batches")
    parser.add_argument("--set", action="append", dest="settings", metavar="NAME=VALUE,...")
    parser.add_argument("--observations", type=int, default=200)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    problem = fastinv.problem(args.problem)
    for text in args.settings or [""]:
        model = fastinv.model(
            args.model,
            problem,
            preset=args.preset,
            counts=args.counts,
            seed=args.seed,
            settings=parse_settings(text),
        )
        started = time.process_time()
        result = fastinv.fit(model, problem, preset=sizes(args.preset, args.batch), seed=args.seed)
        columns = {
            "parameters": model.parameter_count,
            "train_s": round(result.seconds, 1),
            "train_cpu_s": round(time.process_time() - started, 1),
            **scores(model, problem, args.observations, args.samples),
        }
        shown = "  ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in columns.items())
        print(f"{args.model} {args.problem} {args.counts} seed {args.seed} [{text}]  {shown}", flush=True)


if __name__ == "__main__":
    main()
