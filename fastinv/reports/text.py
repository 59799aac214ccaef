"""Figures and signs as text, for terminals of every kind."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Glyphs:
    """Signs that a terminal may or may not be able to show.

    Attributes:
        dash: stands for a figure that does not exist.
        rule: draws the line under a table's head.
        other: marks a published figure that was obtained under another treatment of counts.
        best: marks the best figure of a column.
        times: between two factors.
    """

    dash: str
    rule: str
    other: str
    best: str
    times: str


UNICODE = Glyphs(dash="–", rule="─", other="†", best="*", times="×")
ASCII = Glyphs(dash="-", rule="-", other="+", best="*", times="x")


def glyphs(encoding: str) -> Glyphs:
    """The signs that an encoding can carry.

    Examples:
        >>> glyphs("ascii").dash
        '-'
    """
    try:
        "".join(vars(UNICODE).values()).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def figure(value: float | None) -> str | None:
    """A score with two to three significant digits, None where there is none.

    Examples:
        >>> [figure(v) for v in (0.0082, 0.03811, 4.3591, 1234.5, -0.00002, None, float("nan"))]
        ['0.0082', '0.0381', '4.36', '1234', '-2.0e-05', None, None]
    """
    if value is None or not math.isfinite(value):
        return None
    size = abs(value)
    if size == 0.0:
        return "0"
    if size < 1e-15:
        return "<1e-15"  # rounding of an exact sampler; more digits would pretend to mean something
    if size < 9.95e-5 or size >= 1e6:
        return f"{value:.1e}"
    if size < 0.995:
        return f"{value:.4f}"
    return f"{value:.2f}" if size < 9.995 else f"{value:.1f}" if size < 99.95 else f"{value:.0f}"


def ratio(value: float | None) -> str | None:
    """A factor in five characters at most, None where there is none.

    Examples:
        >>> [ratio(v) for v in (0.004, 0.5678, 1.684, 16.9, 123456.0, None)]
        ['<0.01', '0.57', '1.7', '17', '1e+05', None]
    """
    if value is None or not math.isfinite(value):
        return None
    if value < 0.0095:
        return "<0.01"
    if value < 0.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}" if value < 1e5 else f"{value:.0e}"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Examples:
        >>> [duration(s) for s in (0.4, 59.7, 61, 3725)]
        ['0.4 s', '60 s', '1 min 01 s', '1 h 02 min']
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole <= 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(value: int) -> str:
    """A whole number with thousands apart.

    Examples:
        >>> count(212345)
        '212 345'
    """
    return f"{value:,}".replace(",", " ")


def printable(text: str) -> str:
    """Without control characters: a message may come from anywhere, and a terminal obeys what it is sent.

    Examples:
        >>> printable("a\\x1b[31mb")
        'a [31mb'
    """
    return "".join(c if c.isprintable() else " " for c in text)
