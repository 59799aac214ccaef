"""Result files that grow piece by piece: JSON for machines, and the Markdown made from it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Page = Callable[[dict[str, Any]], str]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; all columns but the first are aligned to the right."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def update(prefix: Path, changes: dict[str, Any], markdown: Page) -> None:
    """Sets keys of PREFIX.json, one level deep for dictionaries, and writes PREFIX.md anew.

    Args:
        prefix: path of the result without its suffix.
        changes: what was measured; a dictionary replaces the entries that it has and leaves others.
        markdown: makes the page from the whole result.
    """
    target = prefix.with_suffix(".json")
    result: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    for key, value in changes.items():
        if isinstance(value, dict) and key != "machine":
            result[key] = {**result.get(key, {}), **value}
        else:
            result[key] = value
    # Not above: suites that use `table` also run with older versions of fastinv, which lack this.
    from fastinv.replacing import replacing

    prefix.parent.mkdir(parents=True, exist_ok=True)
    # In one step: whoever stops us must not leave half a file, from which nothing could go on.
    with replacing(target) as unfinished:
        unfinished.write_text(json.dumps(result, indent=1) + "\n")
    prefix.with_suffix(".md").write_text(markdown(result).rstrip() + "\n")


def finished(prefix: Path, settings: dict[str, str]) -> set[str]:
    """Models that a result made with the same settings has already.

    Raises:
        SystemExit: the file is of other settings.
    """
    path = prefix.with_suffix(".json")
    if not path.exists():
        return set()
    found: dict[str, Any] = json.loads(path.read_text())
    if found.get("settings") != settings:
        raise SystemExit(f"{Path(sys.argv[0]).stem}: {path} has other settings: {found.get('settings')}")
    return set(found["models"])


def tell(
    result: dict[str, Any],
    output: Path | None,
    markdown: Page,
    figure: Callable[[Path], object] | None = None,
) -> int:
    """How a script ends: the page on stdout, the files if they are wanted, and 0.

    Args:
        result: what was measured.
        output: path of the result without its suffix, None for no files.
        markdown: makes the page.
        figure: draws the figure beside the files.
    """
    print(markdown(result))
    if output is not None:
        update(output, result, markdown)
        if figure is not None:
            figure(output)
    return 0
