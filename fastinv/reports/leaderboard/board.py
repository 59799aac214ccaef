"""Entries in order, each problem and protocol by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fastinv.reports.entry import MAX_BYTES, Entry, EntryError, parse_entry

MAX_FILES = 10_000
RANKED_BY = "err_post"


@dataclass(frozen=True)
class Refusal:
    """A file that is not an acceptable entry, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Place:
    """An entry's place on a board.

    Attributes:
        entry: the entry.
        rank: 1 + the number of entries that are better beyond the overlap of the 95% intervals; None where
            the entry has no mean.
        shared: whether another entry has the same rank.
    """

    entry: Entry
    rank: int | None
    shared: bool

    @property
    def label(self) -> str:
        """The rank as text, "=" behind a shared one."""
        return "–" if self.rank is None else f"{self.rank}{'=' if self.shared else ''}"


@dataclass(frozen=True)
class Board:
    """All entries of one problem under one protocol, best first."""

    problem: str
    protocol_hash: str
    places: tuple[Place, ...]

    @property
    def protocol(self) -> str:
        """The protocol in words."""
        p = self.places[0].entry.protocol
        counts = "" if p["counts"] is None else f", counts {p['counts']}"
        return f"{p['observations']} observations × {p['samples']} samples, kernel {p['kernel']}{counts}"


def read_entries(folder: Path) -> tuple[list[Entry], list[Refusal]]:
    """All entries in a folder and its subfolders, and what was refused.

    Args:
        folder: with .json files; symbolic links are not followed.

    Raises:
        ValueError: no such folder, or more files than can be meant.
    """
    if not folder.is_dir():
        raise ValueError(f"there is no folder {str(folder)!r}")
    paths = sorted(path for path in folder.rglob("*.json") if path.is_file() and not path.is_symlink())
    if len(paths) > MAX_FILES:
        raise ValueError(f"{str(folder)!r} has {len(paths)} .json files; a leaderboard takes {MAX_FILES}")
    entries: list[Entry] = []
    refusals: list[Refusal] = []
    for path in paths:
        try:
            entries.append(_read(path))
        except (EntryError, OSError) as error:
            refusals.append(Refusal(str(path.relative_to(folder)), str(error)))
    return entries, refusals


def _read(path: Path) -> Entry:
    with path.open("rb") as file:
        # One byte more than is allowed tells a long file from one that just fits.
        entry = parse_entry(file.read(MAX_BYTES + 1))
    for metric, summary in entry.scores.items():
        low, mean, high = (summary[name] for name in ("low", "mean", "high"))
        if low is not None and high is not None and (mean is None or not low <= mean <= high):
            raise EntryError(f"scores.{metric}: the mean must lie within its interval")
    return entry


def boards(entries: Iterable[Entry]) -> list[Board]:
    """Boards by problem, the one with most entries first; entries of other protocols never meet.

    Of several entries of one name whose samples are the same file, the latest counts.
    """
    latest: dict[tuple[str, str, str], Entry] = {}
    for entry in sorted(entries, key=lambda e: e.created):
        latest[entry.protocol_hash, entry.name, entry.samples_sha256] = entry
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in latest.values():
        groups.setdefault((entry.problem, entry.protocol_hash), []).append(entry)
    found = [Board(problem, key, _places(group)) for (problem, key), group in groups.items()]
    return sorted(found, key=lambda b: (b.problem, -len(b.places), b.protocol_hash))


def _places(entries: Sequence[Entry]) -> tuple[Place, ...]:
    ranks = [_rank(entry, entries) for entry in entries]
    places = [
        Place(entry, rank, rank is not None and ranks.count(rank) > 1)
        for entry, rank in zip(entries, ranks, strict=True)
    ]
    return tuple(sorted(places, key=lambda p: (p.rank is None, _interval(p.entry)[1], p.entry.name)))


def _rank(entry: Entry, entries: Sequence[Entry]) -> int | None:
    low, mean, _ = _interval(entry)
    if mean == float("inf"):
        return None
    return 1 + sum(_interval(other)[2] < low for other in entries)


def _interval(entry: Entry) -> tuple[float, float, float]:
    """(low, mean, high) of what entries are ranked by; an entry without an interval has one of no width."""
    summary = entry.scores[RANKED_BY]
    mean = summary["mean"]
    if mean is None:
        return (float("inf"),) * 3
    low, high = summary["low"], summary["high"]
    return (mean, mean, mean) if low is None or high is None else (low, mean, high)
