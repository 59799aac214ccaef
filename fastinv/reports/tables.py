"""Results as tables on a terminal, in a pipe, with or without colour and Unicode."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import Box
from rich.console import Console, JustifyMethod
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from fastinv.reports.columns import MODELS, NAME, POSTERIOR, RATIO, RESIMULATION, Column, Group, best_rows
from fastinv.reports.published import published
from fastinv.reports.reading import reading
from fastinv.reports.results import ProblemResult, Row
from fastinv.reports.text import Glyphs, count, glyphs, printable

WIDE = 146


def print_results(results: Sequence[ProblemResult], console: Console) -> None:
    """Print the tables and notes of each problem, as wide as the console allows."""
    signs = glyphs(console.encoding)
    for result in results:
        console.print()
        console.print(Text(_title(result, signs), style="bold"), soft_wrap=not console.is_terminal)
        for group in _layout(console.width):
            console.print()
            console.print(Text(group.heading, style="italic"))
            console.print(_table(result, group, signs, console))
        console.print()
        for note in _notes(result, signs):
            console.print(Text(note), soft_wrap=not console.is_terminal)


def _layout(width: int) -> tuple[Group, ...]:
    if width >= WIDE:
        both = Group(
            "Err_post: squared MMD to the true posterior; "
            "Err_resim: squared distance to y* after simulating again",
            POSTERIOR.columns + RESIMULATION.columns,
        )
        return both, MODELS
    return POSTERIOR, RESIMULATION, MODELS


def _table(result: ProblemResult, group: Group, signs: Glyphs, console: Console) -> Table:
    """The group's table, with as many columns as fit, the dearest kept."""
    columns = [NAME, *group.columns]
    while True:
        table = _build(result, columns, signs)
        natural = Measurement.get(console, console.options.update(max_width=10_000), table).maximum
        if natural <= console.width or len(columns) <= 2:
            return table
        columns.remove(min(columns, key=lambda c: c.keep))


def _build(result: ProblemResult, columns: Sequence[Column], signs: Glyphs) -> Table:
    table = new_table(signs)
    table.padding = (0, 0, 0, 0)
    gaps = [0 if column.tight or column is columns[-1] else 1 for column in columns]
    for i, (column, gap) in enumerate(zip(columns, gaps, strict=True)):
        side: JustifyMethod = "left" if i == 0 else "right"
        head = Padding(Text(column.head), (0, gap, 0, 0))
        table.add_column(head, justify=side, no_wrap=True, vertical="bottom")
    rows = result.rows
    best = [best_rows(column, rows) for column in columns]
    for row in (result.floor, *rows):
        cells = (
            _cell(column, result, row, signs, row.name in names)
            for column, names in zip(columns, best, strict=True)
        )
        padded = (Padding(cell, (0, gap, 0, 0)) for cell, gap in zip(cells, gaps, strict=True))
        table.add_row(*padded, style="dim" if row is result.floor else "")
    return table


def _cell(column: Column, result: ProblemResult, row: Row, signs: Glyphs, best: bool) -> Text:
    text = column.text(result, row, signs)
    if text is None and row.status != "ok" and column.keep == 9:
        return Text(row.status, style="bold red" if row.status == "failed" else "yellow")
    if best:
        return Text(f"{text}{signs.best}", style="bold green")
    return Text(signs.dash if text is None else text)


def new_table(signs: Glyphs) -> Table:
    """An empty table with nothing but a rule under its head."""
    empty = "    \n"
    box = Box(empty * 2 + f" {signs.rule}  \n" + empty * 5, ascii=signs.rule == "-")
    return Table(box=box, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", show_edge=False)


def _title(result: ProblemResult, signs: Glyphs) -> str:
    seeds = ", ".join(map(str, result.seeds))
    return (
        f"{result.problem}: preset {result.preset}, seed{'s' if len(result.seeds) > 1 else ''} {seeds}, "
        f"{count(result.observations)} observations {signs.times} {count(result.samples)} samples, "
        f"kernel {result.kernel}" + (f", counts {result.counts}" if result.has_counts else "")
    )


def _notes(result: ProblemResult, signs: Glyphs) -> list[str]:
    notes = [
        *reading(result, signs),
        f"{signs.best} best of its column. The floor sets true posterior samples against true ones.",
    ]
    if len(result.seeds) > 1:
        notes.append(f"Intervals cover {len(result.seeds)} training seeds and the observations.")
    if result.clamped:
        notes.append("Outliers were clamped at Q3 + 1.5 (Q3 - Q1) before averaging.")
    shown = [published(result.problem, row.name) for row in result.rows]
    if any(p.err_post and row.scores for p, row in zip(shown, result.rows, strict=True)):
        notes.append(RATIO)
    if result.has_counts and result.counts != "continuous" and any(p.err_post for p in shown):
        notes.append(f"{signs.other} The paper treated the count as continuous; here it is {result.counts}.")
    for row in (result.floor, *result.rows):
        if row.status == "failed":
            where = f" (details: {row.log})" if row.log else ""
            notes.append(printable(f"{row.name} failed: {row.error}{where}"))
    if waiting := [row.name for row in result.rows if row.status == "skipped"]:
        notes.append(f"Not finished: {', '.join(waiting)}; the same command goes on from here.")
    return notes
