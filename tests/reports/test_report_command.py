"""`fastinv report` and the figures that a benchmark draws unasked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fastinv.cli.app import app
from fastinv.cli.report import draw_quickly
from fastinv.reports import load_results


def report(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    """A copy that a test may write into."""
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def test_without_targets_figures_and_page_go_into_the_run_s_folder(run: Path) -> None:
    result = report(run, "--problem", "ballistics")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (run / "figures").iterdir()}
    assert {"priors.pdf", "priors.png", "ballistics-posteriors.pdf", "ballistics-errors.png"} <= names
    assert not any(name.startswith("kinematics") for name in names)
    assert (run / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_models_and_observation_can_be_chosen(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The figures of all models together are those of the test before.
    monkeypatch.setattr("fastinv.reports.figures.draw._KINDS", ())
    target = tmp_path / "deep" / "figures"
    result = report(
        run, "-p", "kinematics", "-m", "inn", "-m", "mdn", "--y-star", "0.25,1", "--figures", target
    )
    assert result.exit_code == 0, result.output
    names = {path.name for path in target.iterdir()}
    assert {"kinematics-corner-inn.pdf", "kinematics-corner-mdn.pdf"} <= names
    assert "kinematics-corner-cinn.pdf" not in names
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "cin"], "did you mean 'cinn'"),
        (["--problem", "kinematic"], "did you mean 'kinematics'"),
        (["--y-star", "0,1.5"], "--y-star needs --problem"),
        (["--problem", "kinematics", "--y-star", "0;1"], "numbers separated by commas"),
        (["--problem", "kinematics", "--y-star", "0,1,2"], "must have shape"),
        (["--problem", "kinematics", "--y-star", "0,9"], "arm's reach"),
        (["--problem", "kinematics", "--y-star", "nan,1"], "must be finite"),
        (["--html", "no-such-folder/x.html"], "there is no folder"),
    ],
)
def test_a_typo_is_answered_in_one_line(run: Path, arguments: list[str], said: str) -> None:
    result = report(run, *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    result = report(tmp_path)
    assert result.exit_code == 1
    assert "there is no run" in result.output


def test_figures_that_nobody_asked_for_are_drawn_once(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A few figures of one problem are enough.
    monkeypatch.setattr("fastinv.reports.load_results", lambda reader: load_results(reader)[:1])
    monkeypatch.setattr("fastinv.reports.figures.draw._KINDS", ())
    draw_quickly(run, changed=False)
    first = {path: path.stat().st_mtime_ns for path in (run / "figures").iterdir()}
    assert {path.suffix for path in first} == {".svg", ".png"}
    draw_quickly(run, changed=False)
    assert {path: path.stat().st_mtime_ns for path in (run / "figures").iterdir()} == first


def test_figures_that_nobody_asked_for_never_end_in_an_error(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "figures").write_text("a file where the folder should be")
    draw_quickly(run, changed=True)
    assert "no figures: " in capsys.readouterr().err
