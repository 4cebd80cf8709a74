"""A document as an objective: what it asks for, item by item. No I/O."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from tinytown.actors.missions.markdown import BREAK, blocks
from tinytown.text import one_line

LONGEST_TITLE = 200


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that a document asks for. `key` stays the same while the document's name and the entry do."""

    key: str
    title: str
    body: str
    kind: str


def document(name: str, text: str) -> list[Wanted]:
    """What the document of this name asks for.

    Each open entry of a checklist is an item, with the heading above it; ticked entries are done. A document
    without a checklist is one item: its design. One whose entries are all ticked asks for nothing.
    """
    title, heading, listed = "", "", False
    found: list[Wanted] = []
    for block in blocks(text, lambda _: True):
        line = _line(block.text)
        if block.heading:
            heading = line
            title = title or line
        elif block.box:
            listed = True
            if not block.checked and line:
                full = one_line(f"{heading}: {line}" if heading else line, LONGEST_TITLE)
                found.append(Wanted(_key(name, full), full, f"{line}\n\nFrom {name}, under '{heading or name}'.", ""))
    if listed:
        return list({each.key: each for each in found}.values())
    full = one_line(title or name, LONGEST_TITLE)
    return [Wanted(_key(name, ""), full, text, "design")]


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace(BREAK, " ")).strip()


def _key(name: str, entry: str) -> str:
    mark = f"#{hashlib.sha256(entry.encode()).hexdigest()[:8]}" if entry else ""
    return f"doc:{name}{mark}"
