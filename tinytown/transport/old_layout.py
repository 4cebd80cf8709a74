"""The keys of the original's first version, from before a key named its town: what there is, and what it says.

What must be true: reading changes nothing. A record is given only in a form that a save would take, at rest: nothing
runs for it any more. What cannot be read is told apart, and is never thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, TypeVar, cast

from tinytown import times
from tinytown.errors import BadMessage
from tinytown.ids import SUPERVISOR_ID, is_id
from tinytown.lifecycle import AgentEvent
from tinytown.messages import JsonObject, decode_json
from tinytown.records import Agent, Task
from tinytown.transport.keys import CATALOGUE, OF_ANY_TOWN, OLD_KINDS, old_key, town_of
from tinytown.transport.snapshot_content import Content, Place
from tinytown.transport.snapshot_rules import Fault, check

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from tinytown.times import Timestamp
    from tinytown.transport.connection import Connection, Reply
    from tinytown.transport.keys import Keys

_PAGE = 1000
"""Keys that the server looks at in one step of a search."""
_KINDS = (*OLD_KINDS, "backlog")
_TYPES = {key.name: key.type for key in CATALOGUE}

_R = TypeVar("_R", Agent, Task)


@dataclass(frozen=True, slots=True)
class OldKey:
    """A key of the old layout. `raw` is the content of a text, `items` that of a list; both None for other types.

    `taken` is the type of what lies under the new key already, empty where nothing does.
    """

    key: str
    kind: str
    part: str
    new: str
    raw: bytes | None
    items: tuple[bytes, ...] | None
    taken: str


@dataclass(frozen=True, slots=True)
class OldLayout:
    """All keys of the old layout in the order of the manual, and the names of the other towns in this Redis."""

    keys: tuple[OldKey, ...]
    neighbours: tuple[str, ...]


async def find_old(connection: Connection, keys: Keys) -> OldLayout:
    """What there is to be brought to this town. Looks at the names of all keys in Redis; changes nothing."""
    names: set[str] = set()
    neighbours: set[str] = set()
    async for name in _all_names(connection):
        town = town_of(name)
        if town is not None and town != keys.town and name.endswith(":id"):
            neighbours.add(town)
        if old_key(name) is not None:
            names.add(name)
    found = []
    for name in names:
        kind, part = old_key(name) or ("", "")
        # A town called like a kind may be of a later version, with keys that we do not know.
        if part and kind in neighbours | {keys.town} and not is_id(part):
            continue
        found.append((_KINDS.index(kind), part, name, kind))
    ordered = [(name, kind, part, keys(kind, part)) for _, part, name, kind in sorted(found)]
    types = await _types(connection, [each for row in ordered for each in (row[0], row[3])])
    rows = [(row, types[row[0]]) for row in ordered if types[row[0]] != "none"]
    asked = [("GET", row[0]) if kind == "string" else ("LRANGE", row[0], 0, -1) for row, kind in rows if kind in _READ]
    contents = iter(await connection.pipeline(asked) if asked else [])
    old = [_old(*row, kind, types[row[3]], next(contents) if kind in _READ else None) for row, kind in rows]
    return OldLayout(tuple(old), tuple(sorted(neighbours)))


_READ = ("string", "list")


def _old(name: str, kind: str, part: str, new: str, found: str, taken: str, content: Reply) -> OldKey:
    raw = cast("bytes", content) if found == "string" and _TYPES[kind] == "string" else None
    items = tuple(cast("Iterable[bytes]", content)) if found == "list" and _TYPES[kind] == "list" else None
    return OldKey(name, kind, part, new, raw, items, "" if taken == "none" else taken)


async def _types(connection: Connection, names: list[str]) -> dict[str, str]:
    replies = await connection.pipeline([("TYPE", name) for name in names]) if names else []
    return {name: cast("bytes", kind).decode() for name, kind in zip(names, replies, strict=True)}


async def _all_names(connection: Connection) -> AsyncIterator[str]:
    cursor = b"0"
    while True:
        reply = await connection.execute("SCAN", cursor, "MATCH", OF_ANY_TOWN, "COUNT", _PAGE, repeat=True)
        cursor, found = cast("tuple[bytes, list[bytes]]", reply)
        for raw in found:
            yield raw.decode("utf-8", "replace")
        if cursor == b"0":
            return


def read_agent(old: OldKey) -> Agent:
    """The agent of an old record, stopped: no process of ours is behind it. `BadMessage` for anything else."""
    value = _value(old)
    if "cli" not in value and isinstance(value.get("model"), str):
        value["cli"] = value["model"]
    if value.get("state") == "cold":
        value["state"] = "stopped"
    agent = _timed(Agent, value)
    if not agent.state.is_terminal:
        agent = agent.after(AgentEvent.STOP)
    return replace(agent, current_task=None, in_round=False)


def read_task(old: OldKey) -> Task:
    """The task of an old record, in the state that it says. `BadMessage` for anything else.

    Without commands: the original knew none, so whoever wrote some there was not asked about them here.
    """
    return replace(_timed(Task, _value(old)), verify=(), waits=False)


def fits(record: Agent | Task, part: str) -> bool:
    """Whether the record can be kept under this id, and be saved and restored."""
    if record.id != part or not is_id(part) or part == SUPERVISOR_ID:
        return False
    try:
        check(Content(strings={Place(record.kind, part): record.encode()}))
    except Fault:
        return False
    return True


def _value(old: OldKey) -> JsonObject:
    value = decode_json(old.raw or b"")
    if not isinstance(value, dict):
        raise BadMessage(f"a record ({old.kind}) is a JSON object")
    return dict(value)


def _timed(record: type[_R], value: JsonObject) -> _R:
    """The record, its points in time as we write them: the original gives nanoseconds."""
    for item in fields(record):
        if str(item.type).partition(" | ")[0] == "Timestamp" and item.name in value:
            stamp = _stamp(value[item.name])
            if stamp is None:
                del value[item.name]
            else:
                value[item.name] = stamp
    return record.from_json(value)


def _stamp(told: object) -> Timestamp | None:
    from datetime import UTC, datetime

    try:
        at = datetime.fromisoformat(str(told))
        return times.timestamp(at.replace(tzinfo=at.tzinfo or UTC).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
