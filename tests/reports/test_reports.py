"""Tables and exports from made-up results: nothing here trains or scores."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fastinv.reports import ProblemResult, Row, export_format, print_results, published, render
from fastinv.reports.reading import reading
from fastinv.reports.text import ASCII, UNICODE, glyphs
from fastinv.scoring import summarise
from fastinv.store import ModelFacts

METRICS = (
    "err_post",
    "err_post_unbiased",
    "err_post_4000",
    "err_resim",
    "cycle_error",
    "forward_error",
)
FACTS = ModelFacts("cINN", "flow", 212_345, 4, True, False, False)


def row(name: str, level: float, status: str = "ok") -> Row:
    noise = np.random.default_rng(0).exponential(size=100)
    scores = {
        metric: summarise(level * noise)
        for metric in (
            "err_post",
            "err_post_unbiased",
            "err_post_4000",
            "err_resim",
            "cycle_error",
            "forward_error",
        )
    }
    return Row(name, status, facts=FACTS, scores={**scores, "lost": summarise(0 * noise)}, inference_ms=level)


@pytest.fixture
def result() -> ProblemResult:
    failed = Row("mdn", "failed", "RuntimeError: a | b", "logs/x.log")
    return ProblemResult(
        problem="ballistics",
        preset="quick",
        seeds=(0,),
        counts="factorised",
        has_counts=True,
        kernel="paper",
        observations=1000,
        samples=1000,
        protocol="abcd",
        clamped=False,
        floor=replace(row("floor", 0.009), facts=None),
        rows=(row("inn", 0.05), row("cinn", 0.02), failed, Row("flow-matching", "skipped")),
        provenance={"version": "1"},
    )


def shown(result: ProblemResult, width: int, *, encoding: str = "utf-8", terminal: bool = False) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    print_results([result], Console(file=stream, width=width, force_terminal=terminal, highlight=False))
    stream.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("width", [50, 60, 80, 100, 145, 146, 200])
def test_every_width_keeps_names_and_errors(result: ProblemResult, width: int) -> None:
    lines = shown(result, width).splitlines()
    notes = ("comes closest", "failed:", "Not finished")
    names = ("floor ", "inn ", "cinn ", "mdn ", "flow-matching ")
    tables = [line for line in lines if line.startswith(names) and not any(n in line for n in notes)]
    assert all(len(line) <= width for line in tables)
    for name in ("floor", "inn", "cinn", "mdn", "flow-matching"):
        assert any(line.split()[0] == name for line in tables)
    assert any(line.startswith("cinn ") and "*" in line for line in tables)
    assert any("failed" in line for line in tables)


def test_eighty_columns_show_all_that_was_asked_for(result: ProblemResult) -> None:
    text = shown(result, 80)
    heads = "Err_post 95% median biased 4000 paper ratio no ms parameters dim(z) ML super- cycle forward"
    for head in heads.split():
        assert head in text, head


def test_the_ratio_to_the_paper_stands_beside_its_figure(result: ProblemResult) -> None:
    """Of the row at level 0.02 against .047 and .437: at 4000 samples and of Err_resim."""
    scores = result.rows[1].scores
    lines = [line.split() for line in shown(result, 80).splitlines() if line.startswith("cinn  ")]
    assert lines[0][-2:] == ["0.047†", f"{scores['err_post_4000'].mean / 0.047:.2f}"]
    place = lines[1].index("0.437†")
    assert lines[1][place + 1] == f"{scores['err_resim'].mean / 0.437:.2f}"
    assert "Ratio: ours over the paper's" in shown(result, 80)
    unknown = replace(result, problem="of a plug-in")
    assert "Ratio" not in shown(unknown, 80)


def test_small_biases_take_little_room(result: ProblemResult) -> None:
    scores = {**result.rows[0].scores, "err_post_unbiased": summarise(np.full(100, -2.64e-5))}
    text = shown(replace(result, rows=(replace(result.rows[0], scores=scores),)), 80)
    assert "-3e-05" in text


def test_a_pipe_gets_no_control_sequences(result: ProblemResult) -> None:
    assert "\x1b" not in shown(result, 80)


def test_no_color_is_honoured(result: ProblemResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[32m" not in shown(result, 80, terminal=True)
    assert ";32m" not in shown(result, 80, terminal=True)
    monkeypatch.delenv("NO_COLOR")
    assert "32m" in shown(result, 80, terminal=True)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_encodings_without_our_signs(result: ProblemResult, encoding: str) -> None:
    text = shown(result, 80, encoding=encoding)
    assert text.isascii()
    assert "0.047+" in text
    assert "-----" in text


def test_glyphs_by_encoding() -> None:
    assert glyphs("utf-8") is UNICODE
    assert glyphs("no-such-encoding") is ASCII


def test_the_papers_figures_are_marked_under_another_treatment_of_counts(result: ProblemResult) -> None:
    assert "0.047†" in shown(result, 80)
    assert "0.047†" not in shown(replace(result, counts="continuous"), 80)
    assert "†" not in shown(replace(result, has_counts=False), 80)


def test_failures_and_unfinished_rows_are_explained(result: ProblemResult) -> None:
    text = shown(result, 80)
    assert "mdn failed: RuntimeError: a | b (details: logs/x.log)" in text
    assert "Not finished: flow-matching;" in text


def test_the_reading_says_who_is_best_and_who_falls_short(result: ProblemResult) -> None:
    sentences = reading(result, UNICODE)
    assert sentences[0] == "cinn comes closest to the true posterior, at 2.2× the floor."
    assert "1 scores worse at 4000 samples: inn" in sentences[1]
    assert reading(replace(result, rows=()), UNICODE) == []


def test_the_reading_of_one_published_model(result: ProblemResult) -> None:
    sentences = reading(replace(result, rows=result.rows[:1]), UNICODE)
    assert sentences[1] == "inn scores worse at 4000 samples than published (counts there: continuous)."


def test_before_anything_is_scored_there_is_no_word_of_ratios(result: ProblemResult) -> None:
    assert "Ratio" not in shown(replace(result, rows=(Row("cinn", "skipped"),)), 80)


def test_json_has_null_where_there_is_no_figure(result: ProblemResult) -> None:
    models = {m["name"]: m for m in json.loads(render([result], "json"))["models"]}
    assert models["mdn"]["err_post"] == {"mean": None, "median": None, "ci95": None, "unbiased_mean": None}
    assert models["mdn"]["parameters"] is None
    assert models["flow-matching"]["status"] == "skipped"
    low, high = models["cinn"]["err_post"]["ci95"]
    assert low < models["cinn"]["err_post"]["mean"] < high


def test_several_results_are_a_list(result: ProblemResult) -> None:
    assert len(json.loads(render([result, result], "json"))) == 2


def test_csv_and_markdown(result: ProblemResult) -> None:
    rows = list(csv.DictReader(io.StringIO(render([result], "csv"))))
    assert [r["model"] for r in rows] == ["floor", "inn", "cinn", "mdn", "flow-matching"]
    assert float(rows[1]["err_post_q25"]) < float(rows[1]["err_post_q75"])
    assert rows[3]["error"] == "RuntimeError: a | b"
    text = render([result], "md")
    tables = text.split("###")[1:]
    for table in tables:
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len(lines) == 2 + 5
        assert len({line.count("|") for line in lines}) == 1
    assert "a \\| b" in text


@pytest.mark.parametrize("name", ["x", "x.txt", "json", ".json/x"])
def test_unknown_extensions(name: str) -> None:
    with pytest.raises(ValueError, match=r"accepted extensions are \.json, \.csv, \.md"):
        export_format(name)


def test_published_figures() -> None:
    assert published("ballistics", "cvae").err_post == 4.359
    assert published("ballistics", "cvae").err_resim is None
    assert published("kinematics", "spline").err_post is None
    assert published("another", "inn").err_post is None


def test_baselines_are_not_ranked_and_their_chains_are_described(result: ProblemResult) -> None:
    """A row without parameters has neither star nor praise, however low its scores."""
    chains = replace(
        row("mcmc", 0.001),
        facts=replace(FACTS, parameters=0),
        worst_r_hat=1.0567,
        least_ess=312.4,
    )
    chains = replace(
        chains, scores={**chains.scores, "r_hat": summarise([1.0, 1.0567]), "ess": summarise([312.4, 900.0])}
    )
    text = shown(replace(result, rows=(chains, *result.rows)), 200)
    starred = [line for line in text.splitlines() if line.startswith("mcmc ") and UNICODE.best in line]
    assert not starred
    assert "cinn comes closest" in text
    assert "mcmc (a baseline, not ranked): R-hat at most 1.057" in text
    assert "effective sample size at least 312, median 606" in text
    assert "R-hat" not in shown(result, 200)
