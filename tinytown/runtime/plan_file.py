"""`tasks.toml` on the disk: found, read, made, and brought up to date without touching what a person wrote in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.errors import Conflict, NotFound, NotInitialized
from tinytown.plan import DEFAULT_PLAN, PLAN_FILE, InvalidPlan
from tinytown.text import term_safe
from tinytown.transport.disk import atomic_write
from tinytown.transport.files import TownFiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tomlkit import TOMLDocument
    from tomlkit.items import AoT, Item, Table

    from tinytown.plan import Plan

LARGEST = 16 << 20
"""Bytes of a plan: far above any that a person keeps."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task stands, in the words of the plan. `description` is for entries that are added."""

    status: str
    agent: str | None = None
    result: str | None = None
    description: str = ""
    parent: str | None = None
    depends_on: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    review: str | None = None
    verify: tuple[str, ...] = ()


def plan_path(start: Path, *, environ: Mapping[str, str]) -> Path:
    """Where the plan is: in the root of the town that `start` is in; without a town in `start` itself."""
    try:
        root = TownFiles.find(start, environ=environ).root
    except NotInitialized:
        root = start
    return root / PLAN_FILE


def read_plan(path: Path) -> str:
    """The text of a plan. Raises `NotFound` when there is none, `InvalidPlan` for what cannot be a text."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
        if len(raw) > LARGEST:
            raise InvalidPlan(f"{_shown(path)} has more than {LARGEST:,} bytes")
        return raw.decode()
    except FileNotFoundError:
        raise NotFound(f"There is no {PLAN_FILE} here", hint="Make one with: tt plan --init") from None
    except OSError as error:
        raise InvalidPlan(f"{_shown(path)} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InvalidPlan(f"{_shown(path)} is not valid UTF-8 (byte {error.start})") from None


def init_plan(path: Path) -> None:
    """Write an example of a plan; `Conflict` when there is one already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(DEFAULT_PLAN)
    except FileExistsError:
        raise Conflict(f"{PLAN_FILE} is there already", hint="See what is in it with: tt plan") from None


def write_plan(path: Path, text: str) -> None:
    """Put a text in place of the plan, whole or not at all; who may read it stays as it was."""
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        mode = 0o644
    atomic_write(path, text.encode(), mode=mode)


def updated(text: str, plan: Plan, standings: Mapping[str, Standing], added: Iterable[tuple[str, Standing]]) -> str:
    """The text of a plan with how its tasks stand by now, and with new entries at its end.

    Comments, order and everything else stay as they are. `plan` is what the text says.
    """
    import tomlkit

    document = tomlkit.parse(text)
    entries = cast("list[Table]", document.get("tasks", []))
    for entry, table in zip(plan.entries, entries, strict=True):
        standing = standings.get(entry.id)
        if standing is None:
            continue
        _set(table, "status", standing.status)
        if standing.agent is not None and standing.agent != entry.agent:
            _set(table, "agent", standing.agent)
        if standing.result:
            _set(table, "result", _text(standing.result))
        elif "result" in table:
            table.remove("result")
    for plan_id, standing in added:
        _append(document, plan_id, standing)
    return tomlkit.dumps(document)


def _append(document: TOMLDocument, plan_id: str, standing: Standing) -> None:
    import tomlkit

    inline = isinstance(document.get("tasks"), tomlkit.items.Array)
    table = cast("Table", tomlkit.inline_table() if inline else tomlkit.table())
    table["id"] = plan_id
    table["description"] = _text(standing.description)
    for key, word in (
        ("agent", standing.agent),
        ("status", standing.status),
        ("parent", standing.parent),
        ("review", standing.review),
    ):
        if word:
            table[key] = word
    for key, words in (("depends_on", standing.depends_on), ("tags", standing.tags), ("verify", standing.verify)):
        if words:
            table[key] = list(words)
    if standing.result:
        table["result"] = _text(standing.result)
    if "tasks" not in document:
        document["tasks"] = tomlkit.aot()
    if not inline:
        before = document.as_string()
        if before and not before.endswith("\n\n"):
            _last_table(document).add(tomlkit.nl())
    cast("AoT", document["tasks"]).append(table)


def _last_table(document: TOMLDocument) -> Table | TOMLDocument:
    entries = cast("AoT", document["tasks"])
    if len(entries):
        return entries[-1]
    meta = document.get("meta")
    return meta if meta is not None else document


def _set(table: Table, key: str, value: str | Item) -> None:
    """Set a key; a new one goes behind the last, before what stands between this entry and the next."""
    if key in table:
        table[key] = value
        return
    body = table.value.body
    behind = []
    while body and body[-1][0] is None:
        behind.append(body.pop())
    table[key] = value
    body.extend(reversed(behind))


def _text(text: str) -> Item:
    import tomlkit

    # In a text of several lines whoever reads TOML may take each line end for "\n"; in one line it is escaped.
    return tomlkit.string(text, multiline="\n" in text and "\r" not in text)


def _shown(path: Path) -> str:
    return term_safe(str(path), lines=False)
