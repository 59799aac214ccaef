"""The page of a run: tables, figures, settings and provenance in one file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fastinv
from fastinv.reports.columns import MODELS, POSTERIOR, RATIO, RESIMULATION, Column, best_rows
from fastinv.reports.published import COUNTS, published
from fastinv.reports.reading import reading
from fastinv.reports.results import ProblemResult, Row
from fastinv.reports.text import UNICODE, count

if TYPE_CHECKING:
    import jinja2

    from fastinv.reports.html.inline import InlineFigure

MAX_SETTING = 300
# Headings that need the name of their error where they stand alone.
AMBIGUOUS = ("95% interval", "median", "unbiased", "mean at 4000", "paper (4000)", "paper", "ratio")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Cell:
    """A cell of the table.

    Attributes:
        text: what it shows.
        key: what rows are sorted by: a number, or text; empty where there is nothing.
        head: heading of its column, shown beside it on a phone.
        starts: whether it begins a line where a row is printed in several.
        best: whether it is the best of its column.
    """

    text: str
    key: str
    head: str
    starts: bool
    best: bool = False

    @property
    def classes(self) -> str:
        """What the style sheet has to know of it."""
        kinds = {"starts": self.starts, "best": self.best, "none": not self.key}
        return " ".join(name for name, holds in kinds.items() if holds)


@dataclass(frozen=True)
class _Shown:
    """A column with a heading that can stand alone, as it does on a phone."""

    head: str
    starts: bool
    column: Column


@dataclass(frozen=True)
class TableRow:
    """A row of the table, with an anchor that others can link to."""

    anchor: str
    name: str
    status: str
    is_floor: bool
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Section:
    """All that the page says of one problem."""

    anchor: str
    result: ProblemResult
    summary: str
    reading: tuple[str, ...]
    heads: tuple[_Shown, ...]
    rows: tuple[TableRow, ...]
    failures: tuple[tuple[str, str], ...]
    ratio: str
    other_counts: bool
    alone: tuple[str, ...]
    figures: tuple[InlineFigure, ...]


def environment() -> jinja2.Environment:
    """Templates that escape everything; text in a page may come from files that anyone made."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("fastinv.reports.html"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def script_policy(script: str) -> str:
    """The content security policy's word for the one script that a page may run."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def render_page(
    name: str,
    results: Sequence[ProblemResult],
    figures: Sequence[InlineFigure],
    notes: Sequence[str],
    settings: Mapping[str, Any],
) -> str:
    """The page.

    Args:
        name: of the run.
        results: its tables.
        figures: its figures.
        notes: what is missing from the figures, and why.
        settings: of the run.

    Returns:
        HTML that loads nothing from anywhere.
    """
    templates = environment()
    script = templates.get_template("sort.js").render()
    provenance = results[0].provenance if results else {}
    return templates.get_template("report.html").render(
        name=name,
        version=fastinv.__version__,
        policy=script_policy(script),
        script=script,
        style=templates.get_template("style.css").render(),
        sections=[_section(result, figures) for result in results],
        shared=[figure for figure in figures if not figure.problem],
        notes=notes,
        settings=list(_flat(settings)),
        provenance=list(_flat(provenance)),
    )


def _section(result: ProblemResult, figures: Sequence[InlineFigure]) -> Section:
    columns = _columns()
    best = [best_rows(shown.column, result.rows) for shown in columns]
    known = any(published(result.problem, row.name).err_post and row.scores for row in result.rows)
    other = result.has_counts and result.counts != COUNTS
    drawn = tuple(figure for figure in figures if figure.problem == result.problem)
    return Section(
        anchor=_anchor(result.problem),
        result=result,
        summary=_summary(result),
        reading=tuple(reading(result, UNICODE)),
        heads=tuple(columns),
        rows=tuple(_row(result, row, columns, best) for row in (result.floor, *result.rows)),
        failures=tuple((row.name, row.error or "") for row in result.rows if row.status == "failed"),
        ratio=RATIO if known else "",
        other_counts=other and known,
        alone=_alone(drawn),
        figures=drawn,
    )


def _alone(figures: Sequence[InlineFigure]) -> tuple[str, ...]:
    """Narrow figures that have no other one beside them."""
    found: list[str] = []
    left = ""  # the figure that waits for one at its right
    for figure in figures:
        if figure.wide:
            found, left = [*found, left] if left else found, ""
        else:
            left = "" if left else figure.name
    return (*found, left) if left else tuple(found)


def _summary(result: ProblemResult) -> str:
    seeds = ", ".join(map(str, result.seeds))
    text = (
        f"Preset {result.preset}, seed {seeds}, {count(result.observations)} observations × "
        f"{count(result.samples)} samples, kernel {result.kernel}"
    )
    text += f", counts {result.counts}" if result.has_counts else ""
    return f"{text}, outliers clamped." if result.clamped else f"{text}."


def _row(result: ProblemResult, row: Row, columns: Sequence[_Shown], best: Sequence[set[str]]) -> TableRow:
    cells = []
    for one, names in zip(columns, best, strict=True):
        column = one.column
        text = column.text(result, row, UNICODE)
        value = column.rank(row) if column.rank is not None else None
        key = _key(text) if value is None else repr(value)
        shown = UNICODE.dash if text is None else text
        leads = row is not result.floor and row.name in names
        cells.append(Cell(shown, key, one.head, one.starts, leads))
    return TableRow(
        anchor=f"{_anchor(result.problem)}-{_anchor(row.name)}",
        name=row.name,
        status=row.status,
        is_floor=row is result.floor,
        cells=tuple(cells),
    )


def _key(text: str | None) -> str:
    """What a text is sorted by: the first number in it, else itself.

    Examples:
        >>> _key("212 345"), _key("[0.02 0.03]"), _key("<1e-15"), _key("yes"), _key(None)
        ('212345', '0.02', '1e-15', 'yes', '')
    """
    if text is None:
        return ""
    number = _NUMBER.search(re.sub(r"(?<=\d) (?=\d{3}\b)", "", text))
    return number[0] if number is not None else text


def _columns() -> list[_Shown]:
    groups = (("Err_post ", POSTERIOR), ("Err_resim ", RESIMULATION), ("", MODELS))
    found = []
    for prefix, group in groups:
        for i, column in enumerate(group.columns):
            head = column.plain_head
            found.append(_Shown(prefix + head if head in AMBIGUOUS else head, i == 0, column))
    return found


def _anchor(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as (dotted name, text)."""
    for name, value in values.items():
        if isinstance(value, Mapping) and len(prefix) < 100:
            yield from _flat(value, f"{prefix}{name}.")
            continue
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        yield f"{prefix}{name}", text if len(text) <= MAX_SETTING else f"{text[:MAX_SETTING]}…"
