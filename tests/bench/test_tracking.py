"""The regression check as a command: files, processes and, as a slow test, itself on real benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import check
import pytest
from tracking import baseline, suites, versions
from tracking.baseline import Reference
from tracking.verdict import CPU
from tracking.versions import Version, VersionError

HERE = Version(Path(sys.executable))
CHECK = Path(__file__).parents[2] / "bench" / "check.py"
STEADY = Reference((1.98, 2.0, 2.0, 2.0, 2.02))


def test_baselines_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "baseline.json"
    references = {"a": Reference((1.0, 1.25, 0.75)), "b": STEADY}
    baseline.write(path, {"cores": 2}, "abc", references)
    assert baseline.read(path) == references
    assert baseline.commit_of(path) == "abc"
    assert references["a"].best == references["a"].low == 0.75
    assert STEADY.low == 2.0
    assert json.loads(path.read_text())["machine"] == {"cores": 2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            '{"machine": {}, "benchmarks": {}}',
            "a.json lacks commit: another version wrote it; --update --fresh",
        ),
        ('{"machine": {', "a.json is no baseline"),
    ],
)
def test_what_is_no_baseline_is_said(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text(text)
    assert check.main(["--baseline", str(tmp_path / "a.json")]) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str | None, float]:
    """Stands for a benchmark: its CPU seconds by commit, those of the checkout's code under None."""
    seconds: dict[str | None, float] = {None: 1.0, "c0ffee": 1.0}

    def beside_yardstick(version: Version, what: Sequence[str], output: Path) -> dict[str, float]:
        output.write_text(json.dumps({"benchmarks": []}))
        found = dict.fromkeys(("mmd::forward[x]", "mmd::forward[x]" + CPU), seconds[version.commit])
        if what == ["bench/suites"]:
            return found | {"runs::write": 1.0}
        assert what == ["bench/suites", "-k", "x"]
        return found

    def in_step(old: Version, new: Version, names: Sequence[str]) -> dict[str, float]:
        assert names == ["mmd::forward[x]"]
        ratio = seconds[new.commit] / seconds[old.commit]
        return dict.fromkeys(("mmd::forward[x]", "mmd::forward[x]" + CPU), ratio)

    monkeypatch.setattr(check.suites, "beside_yardstick", beside_yardstick)
    monkeypatch.setattr(check.suites, "in_step", in_step)
    monkeypatch.setattr(check.versions, "committed", lambda: "c0ffee")
    monkeypatch.setattr(check.versions, "require", lambda commit: None)
    monkeypatch.setattr(check.versions, "same_code", lambda commit: commit == "c0ffee")
    monkeypatch.setattr(check.versions, "of_checkout", lambda: Version(Path("here")))
    monkeypatch.setattr(check.versions, "of_commit", lambda commit: Version(Path("there"), commit))
    return seconds


def test_the_command(
    seconds: dict[str | None, float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "baseline.json"
    arguments = ["--baseline", str(path)]
    assert check.main([*arguments, "--update", "--runs", "3"]) == 0
    assert check.main([*arguments, "--json", str(tmp_path / "kept.json")]) == 0
    assert (tmp_path / "kept.json").exists()
    seconds[None] = 1.3
    assert check.main([*arguments, "-k", "x"]) == 3
    said = capsys.readouterr()
    assert said.err.splitlines()[-1] == "slower than the baseline: mmd::forward[x]"
    assert "-  mmd::forward[x]  SLOWER  +30%    3" in said.out
    # The machine has become slower, and the older code with it.
    seconds["c0ffee"] = 1.3
    assert check.main([*arguments, "-k", "x"]) == 0
    assert "mmd::forward[x]" in capsys.readouterr().out
    # All benchmarks alike, as far as that is believed of a machine.
    seconds |= {None: 1.1, "c0ffee": 1.0}
    assert check.main(arguments) == 0
    assert "taken off: +10%" in capsys.readouterr().out


def test_runs_of_other_code_are_not_added(
    seconds: dict[str | None, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "baseline.json"
    arguments = ["--baseline", str(path), "--update"]
    assert check.main([*arguments, "--runs", "2"]) == 0
    assert check.main([*arguments, "--runs", "1", "-k", "x"]) == 0
    assert baseline.read(path)["mmd::forward[x]"].ratios == (1.0,) * 3
    monkeypatch.setattr(check.versions, "same_code", lambda commit: False)
    assert check.main([*arguments, "--runs", "1"]) == 2
    assert "holds the speed of other code; --fresh" in capsys.readouterr().err
    assert check.main([*arguments, "--runs", "2", "--fresh"]) == 0
    monkeypatch.setattr(check, "machine", lambda: {"libraries": {}, "python": "3.0"})
    assert check.main([*arguments, "--runs", "1"]) == 2
    assert "measured with other libraries, python; --fresh" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        check.main([*arguments, "--fresh", "-k", "x"])


@pytest.mark.parametrize("path", sorted(baseline.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_the_suites_import_nothing_that_the_code_of_a_baseline_lacks(path: Path, tmp_path: Path) -> None:
    try:
        version = versions.without_extension(baseline.commit_of(path), tmp_path)
    except VersionError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [*suites.pytest_command(version, tmp_path), "--collect-only", "bench/suites"],
        cwd=CHECK.parents[1],
        env=suites.pytest_environment(version),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    what = [version.python, "-P", "-c", "import fastinv; print(fastinv.__file__)"]
    imported = subprocess.run(what, env=versions.clean(), stdout=subprocess.PIPE, text=True).stdout
    assert Path(imported).is_relative_to(tmp_path)


def test_an_expression_that_matches_nothing_is_said(tmp_path: Path) -> None:
    what = ["bench/suites/test_runs.py", "-k", "nothing_like_it"]
    with pytest.raises(VersionError, match=r"no benchmark was run by: .* -k nothing_like_it"):
        suites.beside_yardstick(HERE, what, tmp_path / "none.json")


def test_a_missing_baseline_is_said(tmp_path: Path) -> None:
    command = [sys.executable, str(CHECK), "--baseline", str(tmp_path / "none.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "--update" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_20_unchanged_runs_raise_no_alarm_and_a_slowdown_of_30_percent_is_caught(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    command = [sys.executable, str(CHECK), "--baseline", str(path), "-k", "forward or exact_posterior"]
    subprocess.run([*command, "--update", "--runs", "4"], check=True)
    for run in range(20):
        unchanged = subprocess.run(command, capture_output=True, text=True)
        print(f"run {run}: {unchanged.returncode}\n{unchanged.stdout}\n{unchanged.stderr}", flush=True)
        assert unchanged.returncode == 0
    for name in ("forward[paper-batch]", "exact_posterior[prior-kinematics-native]"):
        slowed = os.environ | {"FASTINV_BENCH_INJECT": f"{name}:0.3"}
        done = subprocess.run(command, capture_output=True, text=True, env=slowed)
        print(f"{name}: {done.returncode}\n{done.stdout}\n{done.stderr}", flush=True)
        assert done.returncode == 3
        (slower,) = [line for line in done.stderr.splitlines() if line.startswith("slower than")]
        assert name in slower
        assert slower.count("::") == 1
