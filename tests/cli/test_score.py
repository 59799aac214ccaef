"""`fastinv score` and `fastinv export` on real, small runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import fastinv
from fastinv.cli.app import app
from fastinv.reports import parse_entry

B, N = 6, 40


def cli(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def score(*arguments: str) -> Result:
    return cli("score", "--problem", "ballistics", "--observations", str(B), *arguments)


@pytest.fixture
def samples() -> np.ndarray:
    problem = fastinv.problem("ballistics")
    return problem.sample_posterior(problem.observations(B), N, seed=99)


def test_true_samples_score_like_the_floor(samples: np.ndarray) -> None:
    np.savez("mine.npz", samples=samples)
    result = score(
        "--samples", "mine.npz", "--name", "Exact", "--params", "7", "--entry", "e.json", "--export", "r.json"
    )
    assert result.exit_code == 0, result.output
    assert "Exact" in result.stdout
    exported = json.loads(Path("r.json").read_text())
    floor, (model,) = exported["floor"]["err_post"]["mean"], exported["models"]
    # Both are means of six MMDs between 40 and 40 true samples, 0.23 +- 0.02.
    assert model["err_post"]["mean"] == pytest.approx(floor, rel=0.4)
    assert model["err_resim"]["mean"] < 1e-20
    entry = parse_entry(Path("e.json").read_bytes())
    assert (entry.name, entry.parameters, entry.problem) == ("Exact", 7, "ballistics")
    assert entry.protocol_hash == exported["protocol"]
    assert entry.protocol["counts"] == "rounded"


def test_our_own_model_scores_the_same_through_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that a run drew, saved and scored as a stranger's, get the run's scores."""
    import fastinv.runner.stages as stages

    drawn: dict[int, np.ndarray] = {}
    original = stages.model_sampler

    def sampler(*args):  # type: ignore[no-untyped-def]
        def draw(block: slice) -> np.ndarray:
            drawn[block.start] = original(*args)(block)
            return drawn[block.start]

        return draw

    monkeypatch.setattr(stages, "model_sampler", sampler)
    bench = ("bench", "--problem", "ballistics", "--preset", "tiny", "--device", "cpu", "--model", "cinn")
    run = cli(*bench, "--counts", "rounded", "--export", "run.json")
    assert run.exit_code == 0, run.output
    np.save("mine.npy", np.concatenate([drawn[start] for start in sorted(drawn)]).astype(np.float32))
    args = (
        "--problem",
        "ballistics",
        "--samples",
        "mine.npy",
        "--observations",
        "8",
        "--export",
        "file.json",
    )
    assert cli("score", *args).exit_code == 0
    ours, theirs = (json.loads(Path(name).read_text()) for name in ("run.json", "file.json"))
    assert ours["protocol"] == theirs["protocol"]
    for metric in ("err_post", "err_post_4000", "err_resim"):
        assert ours["models"][0][metric] == theirs["models"][0][metric]


def test_fractional_counts_are_another_protocol(samples: np.ndarray) -> None:
    samples[0, 0, 3] += 0.5
    np.save("mine.npy", samples)
    assert score("--samples", "mine.npy", "--entry", "e.json").exit_code == 0
    assert parse_entry(Path("e.json").read_bytes()).protocol["counts"] == "continuous"
    refused = score("--samples", "mine.npy", "--counts", "factorised")
    assert refused.exit_code == 2
    assert "not whole numbers" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--samples", "nothing.npy"), "nothing.npy: there is no such file"),
        (("--samples", "mine.npy", "--name", "a\nb"), "name must be"),
        (("--samples", "mine.npy", "--url", "file:///x"), "url must be"),
        (("--samples", "mine.npy", "--params", "0"), "parameters must be"),
        (("--samples", "mine.npy", "--kernel", "papr"), "did you mean 'paper'"),
        (("--samples", "mine.npy", "--counts", "rond"), "did you mean 'rounded'"),
        (("--samples", "mine.npy", "--entry", "e.txt"), "accepted extensions are .json"),
        (("--samples", "mine.npy", "--problem", "balistics"), "did you mean 'ballistics'"),
        (("--samples", "mine.npy", "--observations", "7"), "must have shape (7, n, 4)"),
    ],
)
def test_wrong_usage(samples: np.ndarray, arguments: tuple[str, ...], message: str) -> None:
    np.save("mine.npy", samples)
    result = score(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_export_of_a_run_in_every_format() -> None:
    assert cli("bench", "--preset", "tiny", "--device", "cpu", "--model", "mdn", "--run", "r").exit_code == 0
    result = cli(
        "export", "r", *(part for f in ("json", "csv", "md", "parquet") for part in ("--to", f"x.{f}"))
    )
    assert result.exit_code == 0, result.output
    assert json.loads(Path("x.json").read_text())["models"][0]["status"] == "ok"
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table("x.parquet").to_pydict()
    assert set(table["model"]) == {"floor", "mdn"}
    assert len(table["value"]) == 8 * 5 * 2
    assert cli("export", "runs/r", "--to", "-").stdout == Path("x.json").read_text()
    assert cli("export", "r", "--to", "x.xls").exit_code == 2
