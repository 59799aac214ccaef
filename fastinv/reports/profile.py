"""Inference profiles as tables and charts."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastinv.reports.profile_chart import chart, short
from fastinv.reports.tables import new_table
from fastinv.reports.text import Glyphs, count, duration, figure, glyphs
from fastinv.timing.kernels import KernelRow
from fastinv.timing.profile import NO_ROOM
from fastinv.timing.records import ModeProfile, Point, Profile
from fastinv.timing.resources import why_no_energy


def print_profile(profile: Profile, console: Console) -> None:
    """Print a profile's tables, its chart and its notes."""
    signs = glyphs(console.encoding)
    console.print()
    console.print(Text(_title(profile), style="bold"), soft_wrap=not console.is_terminal)
    console.print()
    console.print(latency_table(profile.modes, signs))
    if any(mode.points for mode in profile.modes):
        console.print()
        console.print(_throughput(profile, signs, min(console.width, 100)))
    if any(mode.err_post for mode in profile.modes):
        console.print()
        console.print(_effects(profile, signs))
    console.print()
    for note in _notes(profile):
        console.print(Text(note), soft_wrap=not console.is_terminal)


def latency_table(modes: Sequence[ModeProfile], signs: Glyphs) -> Table:
    """Latency, memory and distance to the machine's limit; a reason where there are no figures."""
    table = new_table(signs)
    heads = (
        "\nmode", "1000\nms", "middle half\nms", "p99\nms", "times\neager", "1 sample\nms",
        "of the\nlimit", "peak\nMiB", "prepare\ns",
    )  # fmt: skip
    for i, head in enumerate(heads):
        table.add_column(head, justify="left" if i == 0 else "right", no_wrap=True, vertical="bottom")
    eager = next((m.latency.median_ms for m in modes if m.mode == "eager" and m.latency), None)
    for mode in modes:
        cells = [_or_dash(text, signs) for text in _latency_cells(mode, eager)]
        state = {"wrong": "bold red", "unavailable": "dim"}.get(mode.status, "")
        table.add_row(mode.mode, *(cells if mode.status == "ok" else [signs.dash, mode.status]), style=state)
    return table


def _latency_cells(mode: ModeProfile, eager_ms: float | None) -> list[str | None]:
    latency, single = mode.latency, mode.single
    if latency is None:
        return [None] * 8
    return [
        figure(latency.median_ms),
        f"{figure(latency.q25_ms)} {figure(latency.q75_ms)}",
        figure(latency.p99_ms),
        f"{eager_ms / latency.median_ms:.2f}" if eager_ms else None,
        figure(single.median_ms) if single else None,
        f"{mode.of_limit:.0%}" if mode.of_limit is not None else None,
        f"{mode.peak_bytes / 2**20:.1f}" if mode.peak_bytes is not None else None,
        f"{mode.prepare_s:.1f}" if mode.prepare_s is not None else None,
    ]


def _throughput(profile: Profile, signs: Glyphs, width: int) -> RenderableType:
    timed = [mode for mode in profile.modes if mode.points]
    series = {m.mode: [(float(p.batch), v) for p in m.points if (v := p.per_second)] for m in timed}
    table = new_table(signs)
    table.add_column("samples\nper call", justify="right", vertical="bottom")
    for mode in timed:
        table.add_column(mode.mode.replace("-", "-\n", 1), justify="right", no_wrap=True, vertical="bottom")
    for i, point in enumerate(max(timed, key=lambda m: len(m.points)).points):
        # A measurement that was interrupted has fewer points of its last mode.
        cells = (_speed(m.points[i]) if i < len(m.points) else signs.dash for m in timed)
        table.add_row(count(point.batch), *cells)
    lines = chart(series, width=min(width, 78))
    heading = Text("Samples per second over samples per call", style="italic")
    return Group(heading, table, Text(), Text("\n".join(lines), no_wrap=True, overflow="crop"))


def _speed(point: Point) -> str:
    if point.per_second:
        return short(point.per_second)
    if point.note.startswith(NO_ROOM):
        return "no room"
    return "left out" if point.note.startswith("left out") else "failed"


def _effects(profile: Profile, signs: Glyphs) -> RenderableType:
    table = new_table(signs)
    for i, head in enumerate(("mode", "score", "eager's", "the mode's", "difference, 95% interval")):
        table.add_column(head, justify="left" if i < 2 else "right", no_wrap=True)
    for mode in profile.modes:
        for score, effect in (("Err_post", mode.err_post), ("Err_resim", mode.err_resim)):
            if effect is not None:
                interval = f"[{figure(effect.low)} {figure(effect.high)}]"
                cells = (figure(effect.eager), figure(effect.mode), interval)
                table.add_row(mode.mode, score, *(_or_dash(text, signs) for text in cells))
    return Group(Text("What lower precision does to the scores, on the same noise", style="italic"), table)


def _or_dash(text: str | None, signs: Glyphs) -> str:
    return signs.dash if text is None else text


def _title(profile: Profile) -> str:
    threads = f", {profile.threads} threads" if profile.device == "cpu" else ""
    return (
        f"{profile.model} on {profile.problem}: {count(profile.parameters)} parameters, "
        f"{profile.device}{threads}" + ("" if profile.trained else ", untrained weights")
    )


def _notes(profile: Profile) -> list[str]:
    machine = profile.machine
    limits = (
        f"Limit of this machine, measured: {machine.fp32_flops / 1e9:.0f} GFLOP/s in float32, "
        f"{machine.bf16_flops / 1e9:.0f} in bfloat16, {machine.bandwidth / 1e9:.0f} GB/s; 1000 samples take "
        f"{profile.flops / 1e9:.3g} GFLOP."
    )
    notes = [limits]
    if (best := profile.best) is not None and best.latency is not None:
        notes.append(
            f"Fastest in float32: {best.mode}, {figure(best.latency.median_ms)} ms for 1000 samples."
        )
    for mode in profile.modes:
        if mode.status != "ok":
            notes.append(f"{mode.mode}: {mode.reason}")
        if mode.joules_per_million is not None:
            notes.append(f"{mode.mode}: {figure(mode.joules_per_million)} J per million samples.")
        if mode.cold is not None:
            notes.append(f"{mode.mode}: {figure(mode.cold.median_ms)} ms with a cold L2 cache.")
        notes += [f"{mode.mode}, {count(p.batch)} samples: {p.note}" for p in mode.points if p.note]
    if profile.device == "cuda" and not any(mode.joules_per_million is not None for mode in profile.modes):
        notes.append(f"Energy was not measured: {why_no_energy()}.")
    seen: dict[str, str] = {}
    for mode in profile.modes:
        for what, timing in (("", mode.latency), (", one sample", mode.single)):
            for warning in timing.warnings if timing else ():
                seen.setdefault(warning, f"{mode.mode}{what}")
    return [*notes, *(f"Warning ({who}): {warning}." for warning, who in seen.items())]


def kernel_table(rows: Sequence[KernelRow], signs: Glyphs) -> Table:
    """Operations over back ends; a reason where there is no time."""
    table = new_table(signs)
    for i, head in enumerate(("\noperation", "\nback end", "\nms", "\nper second", "times\nslowest")):
        # Where the terminal is too narrow, the operation takes a second line; figures are never cut.
        table.add_column(head, justify="left" if i < 2 else "right", no_wrap=i > 0)
    for row in rows:
        if row.timing is None:
            table.add_row(row.operation, row.backend, signs.dash, signs.dash, signs.dash, style="dim")
            continue
        peers = [r.timing.median_ms for r in rows if r.operation == row.operation and r.timing]
        table.add_row(
            row.operation,
            row.backend,
            figure(row.timing.median_ms),
            f"{short(row.per_second or 0.0)} {row.unit}",
            f"{max(peers) / row.timing.median_ms:.1f}",
        )
    return table


def print_kernels(rows: Sequence[KernelRow], console: Console) -> None:
    """Print the kernels' table and why others were not timed."""
    console.print()
    console.print(kernel_table(rows, glyphs(console.encoding)))
    console.print()
    for row in rows:
        if row.reason:
            console.print(Text(f"{row.operation}, {row.backend}: {row.reason}"), soft_wrap=True)
    seen = {w: f"{row.operation}, {row.backend}" for row in rows if row.timing for w in row.timing.warnings}
    for warning, who in seen.items():
        console.print(Text(f"Warning ({who}): {warning}."), soft_wrap=True)


def live_view(modes: Sequence[ModeProfile], step: str, seconds: float, signs: Glyphs) -> RenderableType:
    """What is known so far and what is being done, for a terminal that is watched."""
    return Group(latency_table(modes, signs), Text(f"{duration(seconds)}: {step} ...", style="italic"))
