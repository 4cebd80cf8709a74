"""Results as JSON: what `tt --json` shows, for programs that ask over HTTP.

Records and messages are as they stand in Redis; what is None is left out. A result that is about one record is that
record, with the rest beside it. What a dataclass keeps out of its `repr` is secret and kept out here, too. The members
of the original townhall are there too, where they have other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

from tinytown.messages import Message
from tinytown.records import Record
from tinytown.transport.shelves import Shelved

if TYPE_CHECKING:
    from tinytown.messages import JsonObject, JsonValue


@dataclass(frozen=True, slots=True)
class Shape:
    """How a kind of result differs from the plain object of its fields.

    `head` is the field whose own members come first, beside those of the others. Of the others those in `left_out`
    do not appear, and those in `renamed` have another name. `also` are further members: a path of fields each, `[]`
    for every item of a list. Where there is a head, empty texts and lists are left out.
    """

    head: str = ""
    left_out: tuple[str, ...] = ()
    renamed: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)


_TASK_AND_AGENT = Shape(
    head="task",
    left_out=("agent",),
    also={
        "assigned_to_name": "agent.name",
        "task_id": "task.id",
        "agent_id": "agent.id",
        "agent_name": "agent.name",
    },
)

_TASK_VIEW = Shape(head="task", renamed={"agent_name": "assigned_to_name"}, also={"task_id": "task.id"})

_MISSION = Shape(head="mission", also={"mission_id": "mission.id"})

SHAPES: Mapping[str, Shape] = {
    "TaskView": _TASK_VIEW,
    "EndedTask": _TASK_VIEW,
    "AgentStatus": Shape(head="agent", also={"inbox_len": "pending"}),
    "AgentDetail": Shape(head="agent", also={"inbox_len": "pending"}),
    "Spawned": Shape(head="agent", also={"agent_id": "agent.id"}),
    "Killed": Shape(head="agent", also={"agent": "agent.name"}),
    "Interrupted": Shape(head="agent", also={"agent": "agent.name"}),
    "Resumed": Shape(head="agent", also={"agent": "agent.name"}),
    "Stopped": Shape(),
    "Assigned": _TASK_AND_AGENT,
    "ClaimedFromBacklog": _TASK_AND_AGENT,
    "AddedToBacklog": Shape(head="task", also={"task_id": "task.id"}),
    "AssignedAll": Shape(also={"task_ids": "tasks[].id"}),
    "RemovedFromBacklog": Shape(renamed={"id": "task_id"}),
    "BacklogItems": Shape(renamed={"tasks": "backlog"}),
    "Sent": Shape(head="message", left_out=("to",), also={"message_id": "message.id", "to_name": "to.name"}),
    "InboxEntry": Shape(head="message", renamed={"sender_name": "from_name"}),
    "InboxView": Shape(renamed={"entries": "messages"}),
    "LetterView": Shape(head="letter", renamed={"sender_name": "from_name"}),
    "MissionSummary": _MISSION,
    "MissionView": _MISSION,
    "MissionStarted": _MISSION,
    "MissionStopped": _MISSION,
    "MissionResumed": _MISSION,
    "MissionNoted": _MISSION,
    "PlannedItem": Shape(head="item", also={"kind": "item.item_kind"}),
    "ItemView": Shape(head="item", also={"kind": "item.item_kind"}),
    "ItemDecided": Shape(head="item", left_out=("mission_id",), also={"kind": "item.item_kind"}),
    "WatchView": Shape(head="watch"),
    "Pruned": Shape(also={"names": "removed[].agent.name"}),
    "Recovered": Shape(also={"names": "agents[].name"}),
}
"""By the name of the class; all others are the plain objects of their fields."""


def present(value: object) -> JsonValue:
    """The JSON value of a result."""
    # What there is most of comes first.
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (tuple, list, set, frozenset)):
        return [present(item) for item in value]
    if isinstance(value, (Record, Message)):
        return value.to_json()
    if isinstance(value, Shelved):
        return _shelved(value)
    if is_dataclass(value):
        return _shaped(value)
    if isinstance(value, Mapping):
        return {str(key): present(item) for key, item in value.items()}
    return str(value)


_PLAIN = Shape()


@cache
def _members(kind: type) -> tuple[Shape, tuple[tuple[str, str], ...]]:
    """The shape of a class, and of the fields that it shows beside its head the names, here and there."""
    shape = SHAPES.get(kind.__name__, _PLAIN)
    hidden = {shape.head, *shape.left_out}
    return shape, tuple(
        (each.name, shape.renamed.get(each.name, each.name))
        for each in fields(kind)
        if each.repr and each.name not in hidden
    )


def _shaped(value: object) -> JsonObject:
    shape, members = _members(cast("type", type(value)))
    shown: JsonObject = dict(cast("JsonObject", present(getattr(value, shape.head)))) if shape.head else {}
    for name, there in members:
        found = getattr(value, name)
        if found is None or (shape.head and found in ("", ())):
            continue
        shown[there] = present(found)
    for name, path in shape.also.items():
        shown[name] = present(follow(value, path))
    return shown


def follow(value: object, path: str) -> object:
    """What lies at a path of fields."""
    for at, part in enumerate(path.split(".")):
        if part.endswith("[]"):
            rest = ".".join(path.split(".")[at + 1 :])
            return [follow(item, rest) for item in getattr(value, part[:-2])]
        value = getattr(value, part)
    return value


def _shelved(letter: Shelved) -> JsonObject:
    """A message that was put aside: itself, or its bytes as text where it is none."""
    shown: JsonObject = {
        each.name: present(getattr(letter, each.name)) for each in fields(letter) if each.name not in ("raw", "message")
    }
    if letter.message is not None:
        shown["message"] = letter.message.to_json()
    else:
        shown["raw"] = letter.raw.decode("utf-8", "backslashreplace")
    return shown
