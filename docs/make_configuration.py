"""Writes the tables of `docs/configuration.md` from the settings' own fields, their defaults, rules and comments.

Run `python docs/make_configuration.py` after a setting was added or changed. A test fails when the committed
tables are stale. A table stands between `<!-- table: limits -->` and `<!-- end -->`; the prose around it is left
alone.
"""

# ruff: noqa: INP001 - a script, not part of a package

from __future__ import annotations

import ast
import re
import sys
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from pathlib import Path

from tinytown import config_sections
from tinytown.config import Settings
from tinytown.times import span

DOCUMENT = Path(__file__).with_name("configuration.md")

_MARKED = re.compile(r"(<!-- table: (?P<name>[a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def sections() -> dict[str, type]:
    """The sections whose fields carry a rule, by the name of their table."""
    found = {}
    for item in fields(Settings):
        default = item.default_factory() if item.default_factory is not MISSING else None
        if default is not None and is_dataclass(default) and all("rule" in each.metadata for each in fields(default)):
            found[item.name] = type(default)
    return found


def comments(section: type) -> dict[str, str]:
    """The text that stands below each field of a class."""
    tree = ast.parse(Path(config_sections.__file__).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == section.__name__)
    found = {}
    for field_node, following in pairwise(body):
        if (
            isinstance(field_node, ast.AnnAssign)
            and isinstance(field_node.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[field_node.target.id] = " ".join(str(following.value.value).split())
    return found


def table(name: str, section: type) -> str:
    """The Markdown table of one section."""
    said = comments(section)
    rows = ["| key | default | |", "| --- | --- | --- |"]
    for item in fields(section):
        default = _shown(item.name, item.default, item.metadata["rule"].expected)
        rows.append(f"| `{name}.{item.name}` | {default} | {said.get(item.name, '')} |")
    return "\n".join(rows)


def _shown(name: str, value: object, expected: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and expected.startswith("seconds"):
        return span(value) if value >= 1 else f"{value * 1000:.0f}ms"
    if isinstance(value, int) and expected.startswith("bytes"):
        return f"{value // 2**20} MiB" if value % 2**20 == 0 else f"{value // 1024} KiB"
    if value is None or value in ("", ()):
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def rewritten(document: str) -> str:
    """The document with every table as the settings are now; `ValueError` unless each is there once."""
    known = sections()
    marked = sorted(found["name"] for found in _MARKED.finditer(document))
    if marked != sorted(known):
        raise ValueError(f"the document has tables of {marked}, the settings have {sorted(known)}")
    return _MARKED.sub(lambda found: f"{found[1]}{table(found['name'], known[found['name']])}\n{found[3]}", document)


def main() -> int:
    """Rewrites the tables; with `--check` only says whether they are stale (exit 1)."""
    before = DOCUMENT.read_text(encoding="utf-8")
    after = rewritten(before)
    if "--check" in sys.argv[1:]:
        return int(before != after)
    DOCUMENT.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
