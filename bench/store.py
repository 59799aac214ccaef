"""What the store costs: its share of a real run, and how long a run of a hundred models takes to open.

    python bench/store.py --preset quick --model mdn

The store's time is the wall time inside the writer's methods, opening and closing included, against that of
the whole benchmark.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from fastinv.posteriors import cache_folder
from fastinv.reports import load_results
from fastinv.runner import resolve_models, resolve_settings, run_benchmark
from fastinv.store import ModelFacts, RunReader, RunWriter, StageKey, StageResult, TimingRow

MODELS, OBSERVATIONS, OPENINGS = 100, 1000, 20
METRICS = ("err_post", "err_post_unbiased", "err_post_4000", "err_resim", "lost", "cycle_error")
METHODS = (
    "__init__",
    "begin",
    "finish",
    "fail",
    "forget",
    "describe_model",
    "describe_protocol",
    "stages",
    "close",
)


class Stopwatch:
    """Seconds spent in the methods that it was put on, calls within calls counted once."""

    def __init__(self) -> None:
        self.seconds, self._depth = 0.0, 0

    def on(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """The method, timed."""

        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._depth += 1
            started = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self._depth -= 1
                if not self._depth:
                    self.seconds += time.perf_counter() - started

        return timed


def overhead(preset: str, model: str, folder: Path) -> tuple[float, float]:
    """(seconds in the store, seconds in all) of a benchmark of one model."""
    watch = Stopwatch()
    for name in METHODS:
        setattr(RunWriter, name, watch.on(getattr(RunWriter, name)))
    settings = resolve_settings(preset_name=preset, device="cpu")
    started = time.perf_counter()
    with RunWriter(folder, settings=settings.as_dict(), settings_hash=settings.hash, provenance={}) as store:
        run_benchmark(settings, resolve_models([model]), store, cache=cache_folder())
    return watch.seconds, time.perf_counter() - started


def large_run(folder: Path) -> None:
    """A run of a hundred models, each with all that a finished one has."""
    settings = resolve_settings(device="cpu")
    values = np.random.default_rng(0).random((len(METRICS), OBSERVATIONS))
    curve = [(i, 1.0 / (1 + i)) for i in range(200)]
    with RunWriter(folder, settings=settings.as_dict(), settings_hash=settings.hash, provenance={}) as store:
        for i in range(MODELS):
            key = StageKey("kinematics", f"model-{i}", 0, "train")
            store.describe_model(*key[:3], ModelFacts(f"Model {i}", "flow", 200_000, 4, True, False, False))
            scores = dict(zip(METRICS, values, strict=True))
            timing = TimingRow("draw", 1.0, 0.9, 1.1, 100)
            results = {
                "train": StageResult(1.0, curves={"loss": curve}),
                "score": StageResult(1.0, scores=scores),
                "time": StageResult(1.0, timings=(timing,)),
            }
            for stage, result in results.items():
                store.begin(key._replace(stage=stage))
                store.finish(key._replace(stage=stage), result)


def milliseconds(call: Callable[[], object]) -> str:
    """Median and range over several calls."""
    times = []
    for _ in range(OPENINGS):
        started = time.perf_counter()
        call()
        times.append(1000.0 * (time.perf_counter() - started))
    return f"{statistics.median(times):.1f} ms ({min(times):.1f} to {max(times):.1f}, {OPENINGS} times)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--model", default="mdn")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large"
        large_run(large)

        def open_run() -> None:
            with RunReader(large) as run:
                assert len(run.stages()) == 3 * MODELS
                assert len(run.models()) == MODELS
                assert run.settings
                assert run.provenance

        def read_a_row() -> None:
            with RunReader(large) as run:
                run.scores("kinematics", "model-50", 0)

        def read_everything() -> None:
            with RunReader(large) as run:
                load_results(run)

        size = (large / "run.sqlite3").stat().st_size / 2**20
        print(f"a run of {MODELS} models, {OBSERVATIONS} observations, {size:.0f} MiB:")
        print(f"  open, all stages and models: {milliseconds(open_run)}")
        print(f"  open, the scores of one model: {milliseconds(read_a_row)}")
        started = time.perf_counter()
        read_everything()
        print(f"  the whole table with its bootstrap intervals, once: {time.perf_counter() - started:.1f} s")
        store, total = overhead(arguments.preset, arguments.model, Path(folder) / "run")
        share = f"{store:.3f} s of {total:.1f} s, {100 * store / total:.2f}%"
        print(f"the store in a run of {arguments.model}, preset {arguments.preset}: {share}")


if __name__ == "__main__":
    main()
