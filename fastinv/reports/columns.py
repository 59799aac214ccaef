"""The columns of a result: what each shows, for terminals, Markdown and CSV alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastinv.reports.published import COUNTS, published
from fastinv.reports.results import ProblemResult, Row
from fastinv.reports.text import Glyphs, count, figure, ratio
from fastinv.store import FLOOR

RATIO = "Ratio: ours over the paper's, Err_post at 4000 samples; below 1 is better."

Text = Callable[[ProblemResult, Row, Glyphs], str | None]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        head: its heading, two lines at most.
        text: a row's text in it, None for "there is none".
        rank: the figure that is compared to find the best row (the lowest), None where nothing is best.
        keep: columns with a lower value are dropped first on a narrow terminal.
        tight: whether one space is enough before the next column; two elsewhere.
    """

    head: str
    text: Text
    rank: Callable[[Row], float | None] | None = None
    keep: int = 5
    tight: bool = False

    @property
    def plain_head(self) -> str:
        """The heading in one line, a word that was broken put together again."""
        return " ".join(self.head.replace("-\n", "").split())


@dataclass(frozen=True)
class Group:
    """Columns that belong together under a heading."""

    heading: str
    columns: tuple[Column, ...]


def _mean(metric: str) -> Callable[[Row], float | None]:
    return lambda row: row.scores[metric].mean if metric in row.scores else None


def _score(head: str, metric: str, attribute: str, *, keep: int = 5, best: bool = False) -> Column:
    def value(row: Row) -> float | None:
        return getattr(row.scores[metric], attribute) if metric in row.scores else None

    return Column(head, lambda result, row, glyphs: figure(value(row)), value if best else None, keep)


def _interval(metric: str, keep: int) -> Column:
    def text(result: ProblemResult, row: Row, glyphs: Glyphs) -> str | None:
        if metric not in row.scores:
            return None
        low, high = figure(row.scores[metric].low), figure(row.scores[metric].high)
        return None if low is None or high is None else f"[{low} {high}]"

    return Column("95%\ninterval", text, keep=keep)


def _paper(metric: str, head: str) -> Column:
    def text(result: ProblemResult, row: Row, glyphs: Glyphs) -> str | None:
        value = getattr(published(result.problem, row.name), metric)
        if value is None:
            return None
        other = result.has_counts and result.counts != COUNTS
        return f"{value:.3f}{glyphs.other if other else ''}"

    return Column(head, text, keep=7, tight=True)


def _ratio(metric: str, paper: str) -> Column:
    """Ours over the paper's; of Err_post what both have at the paper's number of samples."""

    def value(problem: str, row: Row) -> float | None:
        theirs = getattr(published(problem, row.name), paper)
        return row.scores[metric].mean / theirs if theirs and metric in row.scores else None

    return Column("\nratio", lambda result, row, glyphs: ratio(value(result.problem, row)), keep=7)


def _unbiased(result: ProblemResult, row: Row, glyphs: Glyphs) -> str | None:
    """With one digit where it is near its floor of 0: it is noise there, and the column narrow."""
    mean = _mean("err_post_unbiased")(row)
    text = figure(mean)
    return f"{mean:.0e}" if text is not None and "e" in text else text


def _fact(head: str, text: Callable[[Row], str | None], keep: int) -> Column:
    return Column(head, lambda result, row, glyphs: text(row), keep=keep)


def _parameters(row: Row) -> str | None:
    return count(row.facts.parameters) if row.facts else None


def _latent(row: Row) -> str | None:
    return str(row.facts.latent_dim) if row.facts and row.facts.latent_dim is not None else None


def _yes(flag: str) -> Callable[[Row], str | None]:
    return lambda row: ("yes" if getattr(row.facts, flag) else "no") if row.facts else None


def _share(result: ProblemResult, row: Row, glyphs: Glyphs) -> str | None:
    lost = row.scores.get("lost")
    if lost is None:
        return None
    return "0" if lost.mean == 0.0 else f"{100 * lost.mean:.1g}%"


def _fastest_mode(result: ProblemResult, row: Row, glyphs: Glyphs) -> str | None:
    if not row.modes_ms:
        return None
    ms, mode = min((ms, mode) for mode, ms in row.modes_ms.items())
    return f"{figure(ms)} {mode}"


NAME = Column("\nmodel", lambda result, row, glyphs: row.name, keep=9, tight=True)

POSTERIOR = Group(
    "Err_post: squared MMD to the true posterior",
    (
        Column("Err_post\nmean", lambda r, row, g: figure(_mean("err_post")(row)), _mean("err_post"), keep=9),
        _interval("err_post", keep=4),
        _score("\nmedian", "err_post", "median", keep=6, best=True),
        Column("un-\nbiased", _unbiased, keep=3),
        _score("mean at\n4000", "err_post_4000", "mean", keep=8, best=True),
        _paper("err_post", "paper\n(4000)"),
        _ratio("err_post_4000", "err_post"),
    ),
)
RESIMULATION = Group(
    "Err_resim: squared distance to y* after simulating again, and sampling time",
    (
        _score("Err_resim\nmean", "err_resim", "mean", keep=9, best=True),
        _interval("err_resim", keep=4),
        _score("\nmedian", "err_resim", "median", keep=6, best=True),
        _paper("err_resim", "\npaper"),
        _ratio("err_resim", "err_resim"),
        Column("no\nimage", _share, keep=3),
        Column(
            "ms per\n1000",
            lambda r, row, g: figure(row.inference_ms),
            lambda row: row.inference_ms,
            keep=8,
        ),
        Column("fastest\nmode", _fastest_mode, lambda row: min(row.modes_ms.values(), default=None), keep=2),
    ),
)
MODELS = Group(
    "Models",
    (
        _fact("\nparameters", _parameters, keep=8),
        _fact("\ndim(z)", _latent, keep=5),
        _fact("ML\nloss", _yes("maximum_likelihood"), keep=5),
        _fact("super-\nvised", _yes("supervised"), keep=5),
        _score("cycle\nerror", "cycle_error", "mean", keep=4),
        _score("forward\nerror", "forward_error", "mean", keep=4),
        _fact("training\ns", lambda row: None if row.training_s is None else f"{row.training_s:.1f}", keep=7),
    ),
)


def best_rows(column: Column, rows: tuple[Row, ...]) -> set[str]:
    """Names of the trained models with the lowest figure in a column; empty for fewer than two to compare."""
    if column.rank is None:
        return set()
    ranked = {
        row.name: v for row in rows if not row.baseline and (v := column.rank(row)) is not None and v == v
    }
    ranked.pop(FLOOR, None)
    if len(ranked) < 2:
        return set()
    lowest = min(ranked.values())
    return {name for name, value in ranked.items() if value == lowest}
