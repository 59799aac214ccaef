"""Profiles as tables, charts and exports, on terminals of every kind."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

from rich.console import Console

from fastinv.reports.profile import print_kernels, print_profile
from fastinv.reports.profile_chart import chart, letters
from fastinv.reports.profile_export import profile_object, to_csv, to_json
from fastinv.timing.kernels import KernelRow
from fastinv.timing.measure import Timing
from fastinv.timing.records import Effect, ModeProfile, Point, Profile
from fastinv.timing.roofline import Machine


def timing(ms: float, *warnings: str) -> Timing:
    return Timing(ms, 0.9 * ms, 1.1 * ms, 20, 1.3 * ms, 0.95 * ms, 1.05 * ms, 2 * ms, 6, 1, warnings)


def ok(mode: str, ms: float, **more: object) -> ModeProfile:
    points = (
        Point(1, timing(ms / 10)),
        Point(1000, timing(ms)),
        Point(10**6, None, "does not fit: needs 9 GiB"),
    )
    return ModeProfile(
        mode, latency=timing(ms), single=timing(ms / 10), peak_bytes=3 << 20, of_limit=0.5, prepare_s=0.1,
        points=points, **more,  # type: ignore[arg-type]
    )  # fmt: skip


PROFILE = Profile(
    "cinn", "kinematics", 199_440, "cpu", 2, Machine(2e11, 4e11, 3e10), 4e8,
    (
        ok("eager", 8.0),
        ok("packed", 4.0),
        ModeProfile("cudagraph", "unavailable", "needs a CUDA device"),
        ModeProfile("compiled", "wrong", "3.0% of its samples are off"),
        ok("bf16", 2.0, err_post=Effect(0.01, 0.012, -0.001, 0.004), err_resim=Effect(0.1, 0.1, -0.01, 0.01)),
    ),
    True,
)  # fmt: skip


def printed(width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_profile(PROFILE, Console(file=file, width=width, force_terminal=False))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_everything_fits_80_columns_in_ascii_and_without_colour() -> None:
    text = printed(encoding="ascii")
    assert "\x1b" not in text
    lines = text.split("\n\n", 2)[2].splitlines()
    notes = next(i for i, line in enumerate(lines) if line.startswith("Limit of this machine"))
    assert max(len(line) for line in lines[:notes]) <= 80
    assert "199 440 parameters, cpu, 2 threads" in text


def test_a_mode_without_a_time_shows_its_reason_and_no_speed() -> None:
    text = printed()
    row = next(line for line in text.splitlines() if line.startswith("compiled"))
    assert row.split() == ["compiled", "–", "wrong"]
    assert "compiled: 3.0% of its samples are off" in text
    assert "cudagraph: needs a CUDA device" in text
    packed = next(line for line in text.splitlines() if line.startswith("packed"))
    assert packed.split() == ["packed", "4.00", "3.60", "4.40", "5.20", "2.00", "0.4000", "50%", "3.0", "0.1"]
    assert "Fastest in float32: packed, 4.00 ms" in text
    assert "no room" in text
    assert "[-0.0010 0.0040]" in text


def test_the_chart_shows_every_series() -> None:
    series = {m.mode: [(p.batch, p.per_second) for p in m.points if p.per_second] for m in PROFILE.modes}
    lines = chart({k: v for k, v in series.items() if v}, width=78)  # type: ignore[misc]
    assert max(map(len, lines)) <= 78
    body = "\n".join(lines[:12])
    assert all(letter in body for letter in "epb")
    assert "e eager   p packed   b bf16   + several" in lines[-1]
    # Throughput of eager is 1.25k/s at 1 and 125k/s at 1000: the second point is higher and to the right.
    rows = [i for i, line in enumerate(lines[:12]) if "e" in line[8:]]
    assert lines[rows[0]].index("e") > lines[rows[-1]].index("e")


def test_a_chart_of_nothing_and_of_one_point() -> None:
    assert chart({"eager": []}) == []
    assert any("e" in line[8:] for line in chart({"eager": [(10.0, 10.0)]})[:12])
    assert "+" in "".join(chart({"a": [(10.0, 5.0)], "b": [(10.0, 5.0)]})[:12])


def test_letters_are_unique() -> None:
    names = ["eager", "compiled", "compiled-max", "cudagraph", "bf16", "bf16-packed", "bf16-cudagraph"]
    assert len(set(letters(names).values())) == len(names)


def test_exports_are_whole() -> None:
    kernels = [
        KernelRow("MMD", "native", "pairs", 1e6, timing(2.0)),
        KernelRow("MMD", "triton", "pairs", 1e6, None, "no"),
    ]
    content = json.loads(to_json(profile_object([PROFILE], kernels, {"version": "0"})))
    assert content["models"][0]["best"] == "packed"
    assert content["models"][0]["modes"][1]["latency"]["median_ms"] == 4.0
    assert content["models"][0]["modes"][2]["latency"] is None
    rows = list(csv.DictReader(io.StringIO(to_csv([PROFILE], kernels))))
    assert len(rows) == 5 + 3 * 3 + 2
    bare = replace(PROFILE, modes=tuple(replace(mode, points=()) for mode in PROFILE.modes))
    written = csv.DictReader(io.StringIO(to_csv([bare], [])))
    singles = [float(row["median_ms"]) for row in written if row["samples"] == "1"]
    assert singles == [m.single.median_ms for m in bare.modes if m.single]
    assert singles
    assert rows[0]["median_ms"] == "8.0"
    assert rows[-2]["per_second"] == "500000000.0"


def test_kernels_print_reasons() -> None:
    file = io.StringIO()
    rows = [
        KernelRow("MMD", "native", "pairs", 1e6, timing(2.0)),
        KernelRow("MMD", "triton", "pairs", 1e6, None, "no GPU"),
    ]
    print_kernels(rows, Console(file=file, width=80))
    assert "500M pairs" in file.getvalue()
    assert "MMD, triton: no GPU" in file.getvalue()


def test_kernels_figures_are_not_cut_at_80_columns() -> None:
    file = io.StringIO()
    title = "exact kinematics, 5 x 1000 samples"
    rows = [
        KernelRow(title, "reference", "samples", 5000.0, timing(39.2)),
        KernelRow(title, "native", "samples", 5000.0, timing(0.5742)),
    ]
    print_kernels(rows, Console(file=file, width=80))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "0.5742" in file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in file.getvalue()


def test_an_interrupted_profile_is_printed() -> None:
    """The last mode has fewer points than those before."""
    eager, packed, *rest = PROFILE.modes
    file = io.StringIO()
    half = replace(packed, points=packed.points[:1])
    print_profile(replace(PROFILE, modes=(eager, half, *rest)), Console(file=file, width=80))
    (row,) = (line for line in file.getvalue().splitlines() if line.strip().startswith("1 000  "))
    assert row.split()[-2] == "–"
