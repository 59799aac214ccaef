"""`fastinv profile` and `fastinv export-model` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from brisk import BRISK
from typer.testing import CliRunner, Result

import fastinv
from fastinv.cli.app import app
from fastinv.models import load, save
from fastinv.models.exporting import ExportError, export_model, load_exported
from fastinv.timing import kernels, profile


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.fixture(autouse=True)
def _brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    for measuring in (profile, kernels):
        monkeypatch.setattr(measuring, "Plan", lambda **how: BRISK)
    monkeypatch.setattr(profile, "_LONG", BRISK)
    monkeypatch.setattr("fastinv.runner.profiling.OBSERVATIONS", 5)
    monkeypatch.setattr("fastinv.timing.roofline._SIZE", {"cpu": 256})
    monkeypatch.setattr("fastinv.timing.roofline._BYTES", {"cpu": 8 << 20})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that holds the weights of two models."""
    problem = fastinv.problem("kinematics")
    for name in ("mdn", "iresnet"):
        path = tmp_path / "runs" / "mine" / "checkpoints" / f"kinematics-{name}-seed0.safetensors"
        save(fastinv.model(name, problem, preset="tiny"), path)
    return tmp_path / "runs" / "mine"


def test_profile_is_shown_exported_and_saved_in_the_run(run: Path, tmp_path: Path) -> None:
    modes = ("--mode", "eager", "--mode", "cudagraph", "--mode", "bf16")
    result = cli(
        "profile", "-m", "mdn", *modes, "--batch-sizes", "1,100", "--run", "mine", "--device", "cpu",
        "--export", "p.json", "--export", "p.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "cudagraph: needs a CUDA device" in result.stdout
    assert "What lower precision does to the scores" in result.stdout
    assert "mdn: latency of 1000 samples" in result.stderr
    saved = json.loads((run / "profiles" / "kinematics-mdn-cpu.json").read_text())
    assert (saved.pop("finished"), saved.pop("request")["asked"]["batches"]) == (True, [1, 100])
    assert saved == json.loads((tmp_path / "p.json").read_text())
    eager, cudagraph, bf16 = saved["models"][0]["modes"]
    assert (eager["status"], cudagraph["status"], bf16["status"]) == ("ok", "unavailable", "ok")
    assert bf16["err_post"]["eager"] > 0
    assert (tmp_path / "p.csv").read_text().startswith("what,problem,name,samples,median_ms")


def test_profile_of_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinv.timing.kernels.SAMPLES", 100)
    result = cli("profile", "--kernels", "--export", "-")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["kernels"]
    assert {row["backend"] for row in rows if row["timing"]} >= {"numba", "reference"}
    assert all(row["timing"] or row["reason"] for row in rows)


def test_a_baseline_is_told_and_the_others_go_on(run: Path) -> None:
    result = cli(
        "profile", "-m", "mcmc", "-m", "mdn", "--mode", "eager", "--batch-sizes", "", "--device", "cpu"
    )
    assert result.exit_code == 0, result.output
    assert "mcmc has no network" in result.stderr
    assert "mdn on kinematics" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--mode", "egaer"), "did you mean 'eager'"),
        (("--model", "cin"), "did you mean 'cinn'"),
        (("--problem", "kinematic"), "did you mean 'kinematics'"),
        (("--batch-sizes", "1,x"), "--batch-sizes must be whole numbers"),
        (("--batch-sizes", "1.5"), "--batch-sizes must be whole numbers"),
        (("--batch-sizes", "inf"), "--batch-sizes must be whole numbers"),
        (("--budget", "0"), "--budget must be a positive number of seconds"),
        (("--budget", "nan"), "--budget must be a positive number of seconds"),
        (("--batch-sizes", "0,1"), "--batch-sizes must lie between"),
        (("--export", "x.md"), "accepted extensions are .json, .csv"),
        (("--run", "nothing"), "there is no run at nothing"),
        (("--preset", "smok"), "did you mean 'smoke'"),
        (("--counts", "rounde"), "did you mean 'rounded'"),
    ],
)
def test_profile_refuses(arguments: tuple[str, ...], message: str) -> None:
    result = cli("profile", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_export_model_writes_what_draws_the_same(run: Path, tmp_path: Path) -> None:
    result = cli("export-model", "-m", "mdn", "--to", "mdn.pt2", "--samples", "50", "--run", "mine")
    assert result.exit_code == 0, result.output
    assert "50 samples per call" in result.stderr
    model = load(run / "checkpoints" / "kinematics-mdn-seed0.safetensors")
    y, noise = torch.tensor([[1.2, 0.3]]), torch.randn(1, 50, model.noise_width)
    package = load_exported(tmp_path / "mdn.pt2")
    with torch.no_grad():
        torch.testing.assert_close(package(y, noise), model.draw(y, noise))


def test_what_cannot_be_exported_is_one_line_and_leaves_nothing(run: Path, tmp_path: Path) -> None:
    result = cli("export-model", "-m", "iresnet", "--to", "x.pt2", "--run", "mine")
    assert result.exit_code == 1
    assert "'iresnet' cannot be exported" in result.stderr
    assert list(tmp_path.glob("*.pt2")) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-m", "mdn", "--to", "x.onnx"), "accepted extensions are .pt2"),
        (("-m", "all", "--to", "x.pt2"), "--model must name a single model"),
        (("-m", "mdn", "--to", "x.pt2", "--form", "ao"), "did you mean 'aot'"),
        (("-m", "mdn", "--to", "x.pt2", "--samples", "0"), "samples must be at least 1"),
        (("-m", "mdn", "--to", "x.pt2"), "train it with `fastinv bench"),
    ],
)
def test_export_model_refuses(arguments: tuple[str, ...], message: str) -> None:
    result = cli("export-model", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_package_that_draws_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = fastinv.model("mdn", fastinv.problem("kinematics"), preset="tiny")
    monkeypatch.setattr(
        "fastinv.models.exporting.load_exported",
        lambda path, form: lambda y, noise: model.draw(y, noise) + 1.0,
    )
    with pytest.raises(ExportError, match="off by"):
        export_model(model, tmp_path / "x.pt2", n=20)
    assert list(tmp_path.glob("*.pt2")) == []


@pytest.mark.slow
@pytest.mark.parametrize("form", ["program", "aot"])
@pytest.mark.parametrize("problem", ["kinematics", "ballistics"])
def test_every_model_but_iresnet_is_exported(tmp_path: Path, problem: str, form: str) -> None:
    for name in (n for n in fastinv.models.model_names() if n != "iresnet"):
        model = fastinv.model(name, fastinv.problem(problem), preset="tiny")
        assert export_model(model, tmp_path / f"{name}.pt2", n=100, form=form) < 1e-3  # type: ignore[arg-type]
