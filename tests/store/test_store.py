"""The store: transactions, locks, resumption after a crash, strangers' files."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from fastinv.store import (
    ModelFacts,
    RunBusyError,
    RunReader,
    RunWriter,
    SettingsMismatchError,
    StageKey,
    StageResult,
    StoreError,
    TimingRow,
    list_runs,
)
from fastinv.store.schema import APPLICATION_ID, SCHEMA_VERSION

KEY = StageKey("kinematics", "cinn", 0, "score")
FACTS = ModelFacts("cINN", "flow", 1234, 4, True, False, False)
SETTINGS = {
    "problems": ["kinematics"],
    "seeds": [0],
    "counts": "factorised",
    "kernel": "paper",
    "preset": {"name": "smoke", "observations": 3, "samples": 5},
}


def open_run(folder: Path, *, settings_hash: str = "a", fresh: bool = False) -> RunWriter:
    return RunWriter(folder, settings=SETTINGS, settings_hash=settings_hash, provenance={}, fresh=fresh)


def finish(run: RunWriter, key: StageKey = KEY) -> None:
    run.begin(key)
    scores = {"err_post": np.array([0.5, np.nan, 0.25]), "lost": np.zeros(3)}
    timings = (TimingRow("draw", 1.0, 0.5, 2.0, 7),)
    run.finish(key, StageResult(1.5, scores, {"loss": [(1, 0.5), (2, float("inf"))]}, timings))


def test_everything_comes_back(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
        run.describe_model("kinematics", "cinn", 0, FACTS)
        run.describe_protocol("kinematics", "abcd", {"counts": None})
    with RunReader(tmp_path / "r") as read:
        assert read.settings == SETTINGS
        assert read.models() == {("kinematics", "cinn", 0): FACTS}
        assert read.protocol("kinematics") == ("abcd", {"counts": None})
        assert read.protocol("ballistics") is None
        stage = read.stages()[KEY]
        assert (stage.status, stage.seconds, stage.error) == ("done", 1.5, None)
        scores = read.scores(*KEY[:3])
        np.testing.assert_array_equal(scores["err_post"], [0.5, np.nan, 0.25])
        np.testing.assert_array_equal(scores["lost"], [0.0, 0.0, 0.0])
        assert read.timings(*KEY[:3])["draw"].median_ms == 1.0
        curve = read.curves(*KEY[:3])["loss"]
        assert curve[0] == (1, 0.5)
        assert np.isnan(curve[1][1])
        assert read.provenance["sessions"] == 1


def test_finish_commits_all_or_nothing(tmp_path: Path) -> None:
    class Unlucky(dict[str, np.ndarray]):
        def items(self):  # type: ignore[no-untyped-def]
            yield "err_post", np.zeros(3)
            raise RuntimeError("killed in the middle")

    with open_run(tmp_path / "r") as run:
        run.begin(KEY)
        with pytest.raises(RuntimeError, match="in the middle"):
            run.finish(KEY, StageResult(1.0, scores=Unlucky()))
        assert run.stages()[KEY].status == "running"
    with RunReader(tmp_path / "r") as read:
        assert read.scores(*KEY[:3]) == {}


def test_a_stage_left_running_is_due_again(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
        run.begin(KEY._replace(stage="time"))
    with open_run(tmp_path / "r") as run:
        assert set(run.stages()) == {KEY}


def test_a_reader_sees_committed_stages_while_a_run_writes(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
        run.begin(KEY._replace(model="inn"))
        with RunReader(tmp_path / "r") as read:
            assert [s.status for s in read.stages().values()] == ["done", "running"]
            finish(run, KEY._replace(model="mdn"))
            assert len(read.scores("kinematics", "mdn", 0)) == 2


def test_doing_a_stage_again_replaces_its_figures(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
        finish(run)
    with sqlite3.connect(tmp_path / "r" / "run.sqlite3") as raw:
        assert raw.execute("SELECT count(*) FROM score").fetchone() == (6,)
        assert raw.execute("SELECT count(*) FROM scores WHERE metric = 'lost'").fetchone() == (3,)
    raw.close()


def test_failures_keep_the_whole_story_in_a_log(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        run.begin(KEY)
        log = run.fail(KEY, "loss is nan", "line 1\nline 2", 3.0)
        stage = run.stages()[KEY]
    assert (stage.status, stage.error, stage.log) == ("failed", "loss is nan", log)
    assert (tmp_path / "r" / log).read_text() == "line 1\nline 2"


def test_the_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    with open_run(tmp_path / "r"):
        code = (
            "import sys; from pathlib import Path; from fastinv.store import RunWriter, RunBusyError\n"
            "try: RunWriter(Path(sys.argv[1]), settings={}, settings_hash='a', provenance={})\n"
            "except RunBusyError as e: print(e)"
        )
        said = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "r")], capture_output=True, text=True, check=True
        ).stdout
        assert f"process {os.getpid()}" in said
        with pytest.raises(RunBusyError, match="is held by process"):
            open_run(tmp_path / "r")
    open_run(tmp_path / "r").close("finished")


def test_other_settings_are_never_mixed_in(tmp_path: Path) -> None:
    open_run(tmp_path / "r").close("finished")
    with pytest.raises(SettingsMismatchError, match="kernel: paper there, hint here"):
        RunWriter(tmp_path / "r", settings={**SETTINGS, "kernel": "hint"}, settings_hash="b", provenance={})
    # The refused attempt leaves neither a lock nor a trace.
    with open_run(tmp_path / "r") as run:
        finish(run)
    with RunReader(tmp_path / "r") as read:
        assert read.provenance["sessions"] == 2


def test_fresh_drops_everything(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
        run.checkpoints.mkdir()
        (run.checkpoints / "x.safetensors").write_bytes(b"old")
    with open_run(tmp_path / "r", settings_hash="other", fresh=True) as run:
        assert run.stages() == {}
        assert not run.checkpoints.exists()


def test_a_file_of_version_1_is_read_as_it_is_and_migrated_when_written(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
    with closing(sqlite3.connect(tmp_path / "r" / "run.sqlite3")) as raw, raw:
        raw.execute("DROP TABLE sample")
        raw.execute("PRAGMA user_version = 1")
    with RunReader(tmp_path / "r") as read:
        assert KEY in read.stages()
        assert read.samples_sha256(*KEY[:3]) is None
    with open_run(tmp_path / "r") as run:
        assert KEY in run.stages()
        later = StageKey("kinematics", "mdn", 0, "score")
        run.begin(later)
        run.finish(later, StageResult(1.0, samples_sha256="a" * 64))
    with RunReader(tmp_path / "r") as read:
        assert read.samples_sha256(*later[:3]) == "a" * 64
        assert read.samples_sha256(*KEY[:3]) is None


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no run at"):
        RunReader(tmp_path / "nowhere")
    assert list_runs(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"x" * 5000, "damaged or not an SQLite"), (b"", "not one that fastinv made")],
)
@pytest.mark.parametrize("opener", [RunReader, open_run])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str, opener) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path / "r"
    folder.mkdir()
    (folder / "run.sqlite3").write_bytes(content)
    if opener is open_run and not content:
        opener(folder).close("finished")  # an empty file is what SQLite itself makes first
        return
    with pytest.raises(StoreError, match=message) as caught:
        opener(folder)
    assert "\n" not in str(caught.value)


def test_strangers_and_newer_files_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    folder.mkdir()
    with sqlite3.connect(folder / "run.sqlite3") as raw:
        raw.execute("CREATE TABLE t (x)")
    with pytest.raises(StoreError, match="not one that fastinv made"):
        open_run(folder)
    raw.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    raw.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    raw.close()
    with pytest.raises(StoreError, match="upgrade fastinv"):
        RunReader(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_can_still_be_read(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
    (tmp_path / "r").chmod(0o500)
    try:
        with RunReader(tmp_path / "r") as read:
            assert KEY in read.stages()
    finally:
        (tmp_path / "r").chmod(0o700)


def test_nothing_is_left_beside_a_closed_run(tmp_path: Path) -> None:
    with open_run(tmp_path / "r") as run:
        finish(run)
    with RunReader(tmp_path / "r"):
        pass
    assert sorted(p.name for p in (tmp_path / "r").iterdir()) == ["lock", "run.sqlite3"]
    assert (tmp_path / "r" / "lock").read_text() == ""


KILLED_IN_MID_COMMIT = """
import json, os, signal, sys
from pathlib import Path
import numpy as np
from fastinv.store import RunWriter, StageKey, StageResult
class Bomb(dict):
    def items(self):
        yield "err_post", np.zeros(500)
        os.kill(os.getpid(), signal.SIGKILL)
settings = json.loads(sys.argv[2])
run = RunWriter(Path(sys.argv[1]), settings=settings, settings_hash="a", provenance={})
train, score = (StageKey("kinematics", "cinn", 0, stage) for stage in ("train", "score"))
run.begin(train)
run.finish(train, StageResult(1.0))
run.begin(score)
run.finish(score, StageResult(1.0, scores=Bomb()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_process_killed_in_mid_commit_loses_that_commit_only(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED_IN_MID_COMMIT, str(tmp_path / "r"), json.dumps(SETTINGS)]
    killed = subprocess.run(command, check=False)
    assert killed.returncode == -9
    with open_run(tmp_path / "r") as run:
        assert {k.stage: s.status for k, s in run.stages().items()} == {"train": "done"}
        finish(run)
    with RunReader(tmp_path / "r") as read:
        assert len(read.scores(*KEY[:3])["err_post"]) == 3


def test_opening_a_run_of_a_hundred_models_is_quick(tmp_path: Path) -> None:
    from time import perf_counter

    scores = {m: np.linspace(0, 1, 200) for m in ("err_post", "err_post_4000", "err_resim")}
    with open_run(tmp_path / "r") as run:
        for i in range(100):
            key = KEY._replace(model=f"m{i}")
            run.begin(key)
            run.finish(key, StageResult(1.0, scores))
    started = perf_counter()
    with RunReader(tmp_path / "r") as read:
        assert len(read.stages()) == 100
    assert perf_counter() - started < 0.2


def test_settings_are_kept_as_json(tmp_path: Path) -> None:
    open_run(tmp_path / "r").close("finished")
    with sqlite3.connect(tmp_path / "r" / "run.sqlite3") as raw:
        ((text,),) = raw.execute("SELECT settings FROM run").fetchall()
    raw.close()
    assert json.loads(text) == SETTINGS


def tampered(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "run.sqlite3") as raw:
        for statement in statements:
            raw.execute(statement)
    raw.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE run SET settings = '{'", "its settings cannot be read"),
        ("UPDATE run SET settings = '[]'", "its settings cannot be read"),
        ("UPDATE run SET settings = '{\"problems\": []}'", "its settings cannot be read"),
        ("DELETE FROM run", "its settings cannot be read"),
        ("UPDATE score SET value = 'much'", "table 'score' has 'much' in a wrong place"),
        ("UPDATE score SET value = x'00' WHERE observation = 1", "in a wrong place"),
        ("DELETE FROM score WHERE observation = 1", "scores of 'err_post' are missing"),
        ("UPDATE stage SET model = 'a' || char(27) || '[2J'", "in a wrong place"),
        ("UPDATE session SET provenance = '!'", "its provenance cannot be read"),
        ("CREATE TRIGGER t AFTER INSERT ON stage BEGIN DELETE FROM score; END", "its tables are not those"),
        ("ALTER TABLE score ADD COLUMN extra", "its tables are not those"),
        ("DROP VIEW scores", "its tables are not those"),
    ],
)
def test_tampered_content_is_refused(tmp_path: Path, statement: str, message: str) -> None:
    with open_run(tmp_path) as run:
        finish(run)
    tampered(tmp_path, statement)
    with pytest.raises(StoreError, match=message), RunReader(tmp_path) as read:
        read.settings, read.stages(), read.scores(*KEY[:3]), read.provenance


def test_a_view_that_never_ends_is_not_looked_at(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        finish(run)
    endless = "SELECT 1, 'm', 0, 1.0 UNION ALL SELECT * FROM f"
    view = f"WITH RECURSIVE f(stage, metric, observation, value) AS ({endless}) SELECT * FROM f"
    tampered(tmp_path, "DROP VIEW scores", "DROP TABLE score", f"CREATE VIEW score AS {view}")
    with pytest.raises(StoreError, match="its tables are not those"):
        RunReader(tmp_path)


def test_damaged_bytes_never_crash_the_reader(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        finish(run)
        run.describe_model("kinematics", "cinn", 0, FACTS)
    original, refused = (tmp_path / "run.sqlite3").read_bytes(), 0
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(original)
        for place in rng.integers(len(data), size=rng.integers(1, 2000)):
            data[place] = rng.integers(256)
        (tmp_path / "run.sqlite3").write_bytes(data[: rng.integers(1, 2 * len(data))])
        for name in ("run.sqlite3-wal", "run.sqlite3-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        try:
            with RunReader(tmp_path) as read:
                read.settings, read.stages(), read.models(), read.scores(*KEY[:3])
        except StoreError:
            refused += 1
    assert refused > 50
