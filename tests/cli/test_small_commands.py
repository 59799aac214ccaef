"""list, doctor, observations, export, --version, --help."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import fastinv
from fastinv.cli.app import app
from fastinv.scoring import observations_checksum


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_version() -> None:
    assert cli("--version").stdout == f"fastinv {fastinv.__version__}\n"


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['fastinv', '--help']\n"
        "from fastinv.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'scipy', 'numba', 'pyarrow', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    started = time.monotonic()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    # 0.11 s on an idle machine; the bound only catches an import of something large.
    assert time.monotonic() - started < 5.0
    assert "Exit codes: 0 ok" in out


@pytest.mark.parametrize("what", ["problems", "models", "presets", "kernels"])
def test_list(what: str) -> None:
    result = cli("list", what)
    assert result.exit_code == 0
    names = [row["name"] for row in json.loads(cli("list", what, "--json").stdout)]
    assert len(names) >= 3
    lines = result.stdout.splitlines()
    assert lines[0].startswith("name")
    assert [line[: len(name)] for line, name in zip(lines[1:], names, strict=True)] == names


def test_the_list_of_models_fits_80_columns() -> None:
    lines = cli("list", "models").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (iresnet,) = [line for line in lines if line.startswith("iresnet")]
    assert iresnet.split()[-8:] == ["hard", "dx", "-", "dy", "no", "yes", "3", "paper"]


def test_list_of_something_else() -> None:
    result = cli("list", "model")
    assert result.exit_code == 2
    assert "did you mean 'models'" in result.stderr


def test_list_runs(tmp_path: Path) -> None:
    assert cli("list", "runs").stderr == "no runs\n"
    broken = tmp_path / "runs" / "broken"
    broken.mkdir(parents=True)
    (broken / "run.sqlite3").write_bytes(b"rubbish" * 1000)
    result = cli("list", "runs")
    assert result.exit_code == 0
    assert "unreadable" in result.stdout


def test_doctor() -> None:
    result = cli("doctor")
    assert result.exit_code == 0
    for what in ("fastinv", "torch", "back end native", "back end numba", "threads", "CUDA", "cache"):
        assert f" {what}: " in result.stdout
    findings = json.loads(cli("doctor", "--json").stdout)
    assert all(set(f) == {"what", "state", "detail", "fix"} for f in findings)
    assert all(f["fix"] for f in findings if f["state"] != "ok")


def test_observations_in_every_format(tmp_path: Path) -> None:
    expected = fastinv.problem("kinematics").observations(7)
    for form in ("csv", "json", "npy", "npz"):
        result = cli("observations", "--problem", "kinematics", "--n", "7", "--export", f"y.{form}")
        assert result.exit_code == 0, result.output
    header, *lines = (tmp_path / "y.csv").read_text().splitlines()
    assert header == "y1,y2"
    np.testing.assert_array_equal([[float(v) for v in line.split(",")] for line in lines], expected)
    np.testing.assert_array_equal(json.loads((tmp_path / "y.json").read_text())["y_star"], expected)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy", allow_pickle=False), expected)
    with np.load(tmp_path / "y.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["y_star"], expected)
        assert str(file["checksum"]) == observations_checksum(expected)
    assert cli("observations", "--problem", "kinematics", "--n", "7").stdout.splitlines()[1:] == lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--problem", "kinematic"), "did you mean 'kinematics'"),
        (("--n", "0"), "n must be at least 1, got 0"),
        (("--export", "y.xls"), "accepted extensions are .csv, .json, .npy, .npz"),
        (("--export", "."), "accepted extensions"),
    ],
)
def test_observations_refuses(arguments: tuple[str, ...], message: str) -> None:
    result = cli("observations", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_export_of_a_run_that_is_not_there() -> None:
    result = cli("export", "nothing", "--to", "-")
    assert result.exit_code == 2
    assert result.stderr == "fastinv: there is no run at nothing\n"
    Path("runs/one").mkdir(parents=True)
    assert cli("report", "nothing").stderr == "fastinv: there is no run at nothing; known: one\n"
    # A folder that is none is a run that cannot be read.
    assert cli("report", "one").exit_code == 1


def test_compare(tmp_path: Path) -> None:
    bench = ("bench", "--preset", "tiny", "--device", "cpu", "--model", "mdn", "--run")
    assert cli(*bench, "a").exit_code == 0
    assert cli(*bench, "b", "--seed", "1").exit_code == 0
    same = cli("compare", "a", "runs/a", "--fail-on", "err_post:0%")
    assert same.exit_code == 0, same.output
    assert "+0.0%" in same.stdout
    assert cli("compare", "a", "b").exit_code == 0
    slower = cli("compare", "a", "a", "--fail-on", "err_post:x")
    assert slower.exit_code == 2
    assert cli(*bench, "c", "--kernel", "hint").exit_code == 0
    refused = cli("compare", "a", "c")
    assert refused.exit_code == 2
    assert "different protocols" in refused.stderr
    assert cli("compare", "a", "nothing").exit_code == 2


def test_compare_exits_with_3_on_a_regression(tmp_path: Path) -> None:
    import sqlite3

    bench = ("bench", "--preset", "tiny", "--device", "cpu", "--model", "mdn", "--run")
    assert cli(*bench, "a").exit_code == 0
    assert cli(*bench, "b").exit_code == 0
    with sqlite3.connect("runs/b/run.sqlite3") as raw:
        raw.execute("UPDATE score SET value = 1.2 * value")
    raw.close()
    result = cli("compare", "a", "b", "--fail-on", "err_post:5%")
    assert result.exit_code == 3
    assert "regression: kinematics mdn err_post +20.0%, tolerated 5%" in result.stderr
    assert cli("compare", "a", "b", "--fail-on", "err_post:25%").exit_code == 0
