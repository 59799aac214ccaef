"""The page of a run: escaped, offline, and right in a real browser."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fastinv.reports import ProblemResult, Row, load_results
from fastinv.reports.figures import collect
from fastinv.reports.html import InlineFigure, render_page
from fastinv.reports.html.page import _alone
from fastinv.reports.making import make_report
from fastinv.store import RunReader

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with RunReader(run_folder) as run:
        made = make_report(run, load_results(run), page=True)
    assert made.page is not None
    assert made.notes == ()
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(made.page, encoding="utf-8")
    return path


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))


def test_the_page_loads_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    elements = _Elements(text).elements
    for tag, attributes in elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base"), tag
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_ids_are_unique_and_links_lead_somewhere(page: Path) -> None:
    elements = _Elements(page.read_text(encoding="utf-8")).elements
    ids = Counter(a["id"] for _, a in elements if "id" in a)
    assert not [name for name, n in ids.items() if n > 1]
    targets = {a["href"][1:] for tag, a in elements if tag == "a" and a.get("href")}  # type: ignore[index]
    assert {"kinematics-floor", "ballistics-cinn"} <= targets <= ids.keys()
    for tag, attributes in elements:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, "content") in ids, (tag, name)


def test_all_figures_are_there_with_a_name_and_a_description(page: Path, run_folder: Path) -> None:
    svgs = [a for tag, a in _Elements(page.read_text(encoding="utf-8")).elements if tag == "svg"]
    assert all(a["role"] == "img" and a["aria-labelledby"] and a["aria-describedby"] for a in svgs)
    names = [str(a["aria-labelledby"]).removesuffix("-title") for a in svgs]
    kinds = ("posteriors", "errors", "speed", "coverage", "calibration", "learning")
    with RunReader(run_folder) as run:
        best = {data.problem.name: data.corners[0] for data in (collect(run, r) for r in load_results(run))}
    assert names == [
        *(f"{p}-{kind}" for p in ("kinematics", "ballistics") for kind in (*kinds, f"corner-{best[p]}")),
        "priors",
    ]


def test_text_from_files_is_escaped() -> None:
    rows = (Row(HOSTILE, "failed", HOSTILE), Row("fine", "skipped"))
    result = ProblemResult(
        HOSTILE, HOSTILE, (0,), HOSTILE, True, HOSTILE, 1, 2, HOSTILE, False, Row("floor", "ok"), rows,
        {HOSTILE: {HOSTILE: HOSTILE}, "command": [HOSTILE]},
    )  # fmt: skip
    text = render_page(HOSTILE, [result], [], [HOSTILE], {HOSTILE: HOSTILE})
    elements = _Elements(text).elements
    assert sum(tag == "script" for tag, _ in elements) == 1
    assert not any(tag == "img" for tag, _ in elements)
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    assert text.count("&lt;script&gt;") > 10


def test_a_run_without_any_result_has_a_page_too() -> None:
    result = ProblemResult(
        "kinematics", "quick", (0,), "factorised", False, "paper", 1, 2, "", False,
        Row("floor", "skipped"), (), {},
    )  # fmt: skip
    assert "kinematics" in render_page("empty", [result], [], [], {})


def _models(browser, column: int = 0) -> list[str]:  # type: ignore[no-untyped-def]
    script = (
        "return [...document.querySelectorAll('table')[0].tBodies[0].rows].map("
        f"(row) => row.cells[{column}].dataset.key)"
    )
    return list(browser.run(script))


def test_in_a_browser_it_sorts_without_complaints(browser, page: Path) -> None:  # type: ignore[no-untyped-def]
    browser.open(page, 1280)
    assert _models(browser) == ["floor", "inn", "cinn", "mdn"]
    click = "document.querySelectorAll('table')[0].tHead.rows[0].cells[{}].querySelector('button').click()"
    for direction, turn in (("ascending", 1), ("descending", -1)):
        browser.run(click.format(1))
        values = [float(v) for v in _models(browser, 1)[1:]]
        assert values == sorted(values)[::turn]
        assert _models(browser)[0] == "floor"
        state = (
            "return document.querySelectorAll('table')[0].tHead.rows[0].cells[1].getAttribute('aria-sort')"
        )
        assert browser.run(state) == direction
    browser.run(click.format(0))
    assert _models(browser) == ["floor", "cinn", "inn", "mdn"]
    assert "sorted by model" in browser.run("return document.getElementById('said').textContent")
    assert browser.complaints() == []


@pytest.mark.parametrize("width", [360, 412, 768, 1280])
def test_in_a_browser_it_fits_the_width(browser, page: Path, width: int) -> None:  # type: ignore[no-untyped-def]
    browser.open(page, width)
    assert browser.run("return document.documentElement.scrollWidth") <= width
    if width < 700:
        assert (
            browser.run("const t = document.querySelector('.table'); return t.scrollWidth - t.clientWidth")
            <= 1
        )


@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_it_prints_on_a_page(browser, page: Path, dark: bool) -> None:  # type: ignore[no-untyped-def]
    """190 mm between the margins of A4 are 718 pixels; who reads it dark prints it on white all the same."""
    browser.open(page, 718, dark=dark, paper=True)
    assert browser.run("return document.documentElement.scrollWidth") <= 718
    parts = "[...document.querySelectorAll('.results tr > *')]"
    wide = f"{parts}.filter((cell) => cell.scrollWidth > cell.clientWidth + 1)"
    assert browser.run(f"return {wide}.map((cell) => cell.dataset.head + ': ' + cell.textContent)") == []
    # Cells stand under their headings, group by group.
    starts = browser.run(
        "return [...document.querySelectorAll('.results .starts')].map((e) => e.getBoundingClientRect().left)"
    )
    assert len(set(starts)) == 1
    assert len(starts) == 3 * 2 * 5  # groups, problems, rows with the head
    assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("return getComputedStyle(document.querySelector('nav')).display") == "none"


@pytest.mark.parametrize(
    ("widths", "alone"),
    [("", ""), ("wnnw", ""), ("wnw", "b"), ("nnn", "c"), ("nwnnnw", "ae"), ("w", "")],
)
def test_a_narrow_figure_without_a_neighbour_is_alone(widths: str, alone: str) -> None:
    names = "abcdef"
    figures = [InlineFigure(n, "", "", "", "", w == "w") for n, w in zip(names, widths, strict=False)]
    assert "".join(_alone(figures)) == alone


def test_in_a_browser_the_keyboard_sorts(browser, page: Path) -> None:  # type: ignore[no-untyped-def]
    browser.open(page, 1280)
    browser.run(
        "document.querySelectorAll('table')[0].tHead.rows[0].cells[1].querySelector('button').focus()"
    )
    for kind in ("keyDown", "keyUp"):
        browser.tell(
            "Input.dispatchKeyEvent",
            type=kind,
            key="Enter",
            code="Enter",
            windowsVirtualKeyCode=13,
            text="\r",
        )
    values = [float(v) for v in _models(browser, 1)[1:]]
    assert values == sorted(values)


CONTRAST = """
const parts = (c) => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const luminance = ([r, g, b]) => {
  const f = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
};
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = parts(getComputedStyle(e).backgroundColor);
    if (c[3] === 255) return c;
  }
  return [255, 255, 255, 255];
};
let worst = 99;
for (const e of document.querySelectorAll('p, a, th, td, button, h1, h2, h3, figcaption, dt, dd, summary')) {
  if (!e.textContent.trim()) continue;
  const a = luminance(parts(getComputedStyle(e).color)), b = luminance(ground(e));
  worst = Math.min(worst, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
}
return worst;
"""


@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_all_text_has_contrast(browser, page: Path, dark: bool) -> None:  # type: ignore[no-untyped-def]
    browser.open(page, 1280, dark=dark)
    assert browser.run(CONTRAST) >= 4.5


def test_in_a_browser_strangers_text_runs_nothing(browser, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    row = Row(HOSTILE, "failed", HOSTILE)
    result = ProblemResult(
        "kinematics", "quick", (0,), "factorised", False, "paper", 1, 2, HOSTILE, False, Row("floor", "ok"),
        (row, replace(row, name="javascript:alert(1)")), {},
    )  # fmt: skip
    path = tmp_path / "hostile.html"
    path.write_text(render_page(HOSTILE, [result], [], [HOSTILE], {}), encoding="utf-8")
    browser.open(path, 360)
    assert browser.run("return document.documentElement.scrollWidth") <= 360
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert browser.complaints() == []
