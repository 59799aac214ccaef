"""Rows in processes and on a cluster: the numbers of a plain run, whatever is killed on the way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brisk import BRISK

from fastinv.presets import Preset
from fastinv.runner import BenchSettings, ClusterError, Event, Outcome, StageProgress, run_benchmark
from fastinv.runner.events import Note, StageStarted
from fastinv.store import RunReader, RunWriter

MODELS = ("inn", "mdn")
SEED = 3
# Long enough to be killed in the middle of a training, and short enough for a test.
SETTINGS = BenchSettings(
    ("kinematics",), Preset("tiny", 5000, 2000, 100, 7, 8, 50), (SEED,), "factorised", "paper", "cpu"
)
# Ground truth, floor, and each model's training, scores and times.
STAGES = 2 + len(MODELS) * 3

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")


def bench(
    folder: Path, *, heard: Callable[[Event], object] = lambda event: None, **options: Any
) -> tuple[Outcome, list[Event]]:
    events: list[Event] = []

    def on_event(event: Event) -> None:
        events.append(event)
        heard(event)

    with RunWriter(folder, settings=SETTINGS.as_dict(), settings_hash=SETTINGS.hash, provenance={}) as store:
        outcome = run_benchmark(SETTINGS, MODELS, store, on_event=on_event, **options)
    return outcome, events


def assert_same_numbers(a: Path, b: Path) -> None:
    rows = [("kinematics", "floor", 0), *(("kinematics", m, SEED) for m in MODELS)]
    with RunReader(a) as one, RunReader(b) as other:
        assert {k: s.status for k, s in one.stages().items()} == {
            k: s.status for k, s in other.stages().items()
        }
        for row in rows:
            ours, theirs = one.scores(*row), other.scores(*row)
            assert ours
            assert set(ours) == set(theirs)
            for metric, values in ours.items():
                np.testing.assert_array_equal(values, theirs[metric], err_msg=f"{row} {metric}")
            assert one.curves(*row) == other.curves(*row)
        assert one.models() == other.models()
        assert one.protocol("kinematics") == other.protocol("kinematics")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same benchmark in this process alone, nothing killed."""
    import torch

    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("plain") / "r"
    assert bench(folder)[0] == Outcome((), STAGES)
    return folder


class KillOnce:
    """Kills a process, chosen when the first training is well under way."""

    def __init__(self, choose: Callable[[], int]) -> None:
        self.choose, self.done = choose, False

    def __call__(self, event: Event) -> None:
        training = isinstance(event, StageProgress) and event.what == "training" and event.done > 0.2
        if training and not self.done:
            self.done = True
            os.kill(self.choose(), signal.SIGKILL)


@needs_posix
def test_jobs_give_the_numbers_of_a_plain_run_with_a_process_killed(plain: Path, tmp_path: Path) -> None:
    kill = KillOnce(lambda: multiprocessing.active_children()[0].pid or 0)
    outcome, events = bench(tmp_path / "r", jobs=2, heard=kill)
    assert kill.done
    assert outcome.failed == ()
    assert [e.text for e in events if isinstance(e, Note) and "was killed by signal 9" in e.text]
    assert_same_numbers(plain, tmp_path / "r")
    assert not list((tmp_path / "r/checkpoints").glob("*.training*"))
    with RunReader(tmp_path / "r") as run:
        repeats = [row.repeats for m in MODELS for row in run.timings("kinematics", m, SEED).values()]
    # As this process says, which is in a hurry, and not as the others would by themselves.
    assert repeats
    assert max(repeats) <= BRISK.max_repeats
    started = [e.key for e in events if isinstance(e, StageStarted)]
    # A latency is measured when nothing else goes on any more.
    assert [key.stage for key in started[-3:]] == ["time"] * 3
    # Nothing is left to do, so no process is started.
    assert bench(tmp_path / "r", jobs=2) == (Outcome((), 0), [])


@pytest.mark.slow
def test_an_interrupted_run_with_jobs_leaves_no_process_and_goes_on(plain: Path, tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, StageProgress) and event.what == "training" and event.done > 0.2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(tmp_path / "r", jobs=2, heard=interrupt)
    assert not multiprocessing.active_children()
    with RunReader(tmp_path / "r") as run:
        assert {s.status for s in run.stages().values()} == {"done"}
    # The rest in this process alone: engines may take turns on one run.
    assert bench(tmp_path / "r")[0].failed == ()
    assert_same_numbers(plain, tmp_path / "r")


# Before the others have their cluster: two of them in one process get in each other's way.
def test_a_cluster_that_cannot_serve_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    import fastinv.runner.engines.cluster as engine

    monkeypatch.setattr(engine, "CONNECT_TIMEOUT_S", 1)
    with pytest.raises(ClusterError, match=r"cannot reach a Dask scheduler at 'tcp://127\.0\.0\.1:9'"):
        bench(tmp_path / "r", cluster="tcp://127.0.0.1:9")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None, silence_logs=50) as empty,
        pytest.raises(ClusterError, match=r"none of the 0 workers of .* offers the resource 'cores'"),
    ):
        bench(tmp_path / "r", cluster=empty.scheduler_address)
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'fastinv\[cluster\]'"):
        bench(tmp_path / "r", cluster="tcp://127.0.0.1:9")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes, one row each."""
    distributed = pytest.importorskip("distributed")
    made = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        resources={"cores": 1},
        dashboard_address=None,
        silence_logs=50,
    )
    with made:
        yield made


def pids(cluster: Any) -> list[int]:
    return [nanny.pid for nanny in cluster.workers.values()]


@needs_posix
def test_a_cluster_gives_the_numbers_of_a_plain_run_with_a_worker_killed(
    plain: Path, tmp_path: Path, cluster: Any
) -> None:
    before = set(pids(cluster))
    kill = KillOnce(lambda: pids(cluster)[0])
    outcome, events = bench(tmp_path / "r", cluster=cluster.scheduler_address, heard=kill)
    assert kill.done
    assert set(pids(cluster)) != before
    assert outcome == Outcome((), STAGES)
    assert_same_numbers(plain, tmp_path / "r")
    assert any(isinstance(e, StageProgress) and 0 < e.done < 1 for e in events)


@pytest.mark.slow
def test_workers_elsewhere_send_their_weights(
    plain: Path, tmp_path: Path, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastinv.runner.engines.cluster import Cluster

    original = Cluster._parcel

    def unseen(self: Cluster, task: Any) -> Any:
        from dataclasses import replace

        # As if the run's folder were not there, which is what a worker on another machine finds.
        return replace(original(self, task), mark="another run")

    monkeypatch.setattr(Cluster, "_parcel", unseen)
    bench(tmp_path / "r", cluster=cluster.scheduler_address)
    assert_same_numbers(plain, tmp_path / "r")
    names = {p.name for p in (tmp_path / "r/checkpoints").iterdir()}
    assert names == {f"kinematics-{m}-seed{SEED}.safetensors" for m in MODELS}


def test_a_stopped_run_leaves_its_cluster_idle(tmp_path: Path, cluster: Any) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, StageProgress) and event.what == "training":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(tmp_path / "r", cluster=cluster.scheduler_address, heard=interrupt)
    deadline = time.monotonic() + 60.0
    with cluster.get_client() as client:
        while any(client.run(lambda dask_worker: len(dask_worker.state.executing)).values()):
            assert time.monotonic() < deadline, "a worker goes on with what nobody waits for"
            time.sleep(0.1)
    with RunReader(tmp_path / "r") as run:
        assert {s.status for s in run.stages().values()} == {"done"}
