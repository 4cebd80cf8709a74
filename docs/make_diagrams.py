"""Writes the state diagrams of `docs/architecture.md` and `docs/missions.md` from the tables of `tinytown.lifecycle`.

The diagrams are never edited by hand: run `python docs/make_diagrams.py` after a table was changed. A test fails
when the committed ones are stale.

A diagram stands between `<!-- diagram: agent -->` and `<!-- end -->`; whatever is around these marks is prose and
is left alone. Events between the same two states share one arrow, which keeps the picture readable.
"""

# ruff: noqa: INP001 - a script, not part of a package

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tinytown.lifecycle import MACHINES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from enum import StrEnum

DOCUMENTS: Mapping[Path, tuple[str, ...]] = {
    Path(__file__).with_name("architecture.md"): tuple(MACHINES),
    Path(__file__).with_name("missions.md"): ("mission", "work item", "watch"),
}
"""Which diagrams each document has."""

_MARKED = re.compile(r"(<!-- diagram: (?P<name>[a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def diagram(table: Mapping[StrEnum, Mapping[StrEnum, StrEnum]]) -> str:
    """The table as a Mermaid state diagram. The first state of a table is the one that records begin in."""
    lines = ["stateDiagram-v2", f"    [*] --> {next(iter(table))}"]
    for state, row in table.items():
        arrows: dict[StrEnum, list[str]] = {}
        for event, following in row.items():
            arrows.setdefault(following, []).append(event.value.replace("_", " "))
        lines += [f"    {state} --> {following}: {', '.join(events)}" for following, events in arrows.items()]
        if not row:
            lines.append(f"    {state} --> [*]")
    return "\n".join(lines)


def redrawn(document: str, names: Collection[str] = tuple(MACHINES)) -> str:
    """The document with its diagrams as the tables have them now; `ValueError` unless each of these is there once."""
    marked = sorted(found["name"] for found in _MARKED.finditer(document))
    if marked != sorted(names):
        raise ValueError(f"the document has diagrams of {marked}, the tables are {sorted(names)}")

    def draw(found: re.Match[str]) -> str:
        return f"{found[1]}```mermaid\n{diagram(MACHINES[found['name']])}\n```\n{found[3]}"

    return _MARKED.sub(draw, document)


def main() -> int:
    """Redraws the diagrams; with `--check` only says whether they are stale (exit 1)."""
    stale = False
    for path, names in DOCUMENTS.items():
        before = path.read_text(encoding="utf-8")
        after = redrawn(before, names)
        stale = stale or before != after
        if "--check" not in sys.argv[1:]:
            path.write_text(after, encoding="utf-8")
    return int(stale and "--check" in sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
