"""What may stand in a snapshot: the form of every value, so that nothing that was restored can hurt later.

A save file comes from a repository, so it is somebody else's until it was looked at. What a script takes apart by
a pattern, what the server counts up, what becomes part of a key or a point in time is held to its form here. What
people and agents wrote, messages above all, may be any bytes: everybody who reads those expects it.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from tinytown.errors import BadMessage, InvalidName
from tinytown.ids import SUPERVISOR_ID, agent_name, is_id
from tinytown.mission_records import Mission, SourceText, Watch, WorkItem
from tinytown.records import Agent, Event, Record, Task
from tinytown.text import one_line
from tinytown.transport.keys import STATES
from tinytown.transport.snapshot_content import CLAIMED, SAVED, SNOOZED, Content, Place, Records
from tinytown.transport.store import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinytown.transport.snapshot_content import Stream

MOST_NUMBER = 1 << 53
"""Beyond it a script's numbers, which are floats, are no longer exact."""
LATEST_MS = 4_102_444_800_000
"""The year 2100. An id of a stream beyond all time would be the last: the server could append nothing more."""

_R = TypeVar("_R", bound=Record)

_ANY = re.compile(rb".*", re.DOTALL)
_ID = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ACTOR = re.compile(_ID.pattern + rb"|[a-z][a-z-]{0,39}")
_COUNTER = re.compile(rb"[A-Za-z0-9-]{1,1000}")
_NUMBER = re.compile(rb"0|[1-9][0-9]{0,14}")
_COUNT = re.compile(rb"[0-9]{1,9}\|[0-9]{1,15}")
_LANE = re.compile(rb"[1-4]")
_WORD = re.compile(rb"[a-z][a-z0-9_]{0,39}")
_TYPE = re.compile(rb"[a-z][a-z0-9_.]{0,79}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII)
_ENTRY = re.compile(rb"(0|[1-9][0-9]{0,14})-(0|[1-9][0-9]{0,18})")

_ASIDE: Mapping[bytes, re.Pattern[bytes]] = {
    b"agent": _ID,
    b"lane": _LANE,
    b"key": _COUNTER,
    b"at": _NUMBER,
    b"attempts": _NUMBER,
    b"reason": _ANY,
    b"raw": _ANY,
}

FORMS: Mapping[str, tuple[re.Pattern[bytes], ...]] = {
    "schema": (_NUMBER,),
    "agent": (_ANY,),
    "task": (_ANY,),
    "names": (_ANY, _ID),
    "tasks": (_ID,),
    "tasks_in": (_ID,),
    "agent_tasks": (_ID,),
    "agents_in": (_ID,),
    "held": (_ID,),
    "urgent": (_ANY,),
    "high": (_ANY,),
    "inbox": (_ANY,),
    "low": (_ANY,),
    "tags": (_NUMBER,),
    "snoozed": (SNOOZED,),
    "attempts": (_COUNTER, _COUNT),
    "recoveries": (_COUNTER, _COUNT),
    "live": (_ANY,),
    "seen": (_ANY,),
    "backlog": (_ID,),
    "waiting": (_ID,),
    "dependents": (_ID,),
    "mission": (_ANY,),
    "mission_work": (_ID, _ANY),
    "mission_watch": (_ID, _ANY),
    "mission_text": (_ID, _ANY),
    "mission_events": (_ANY,),
    "missions": (_ID,),
    "epochs": (_ACTOR, _NUMBER),
    # Gathered, and never in a file.
    "inflight": (_NUMBER, CLAIMED),
    "placed": (_ANY, _ANY),
}
"""The form of what lies under each key: of a value, a member, or of a field and its value."""

NAMED: Mapping[str, Mapping[bytes, re.Pattern[bytes]]] = {
    "dlq": _ASIDE,
    "quarantine": _ASIDE,
    "events": {b"type": _TYPE, b"ms": _NUMBER},
}
"""What each entry of a stream must have. It may have more, under other names."""


class Fault(Exception):
    """What is wrong with a content, and where. It never leaves the snapshot's modules."""


def check(content: Content) -> Records:
    """The records of a content in which every value has its form; `Fault` names the first that has not."""
    for place, value in content.everything().items():
        try:
            _check_part(place)
            if place.name in FORMS:
                _check_forms(FORMS[place.name], value)
        except Fault as fault:
            raise _at(place, str(fault)) from None
    for place, stream in content.streams.items():
        _check_stream(place, stream)
    for place, scores in content.zsets.items():
        if any(not 0 <= score < MOST_NUMBER for score in scores.values()):
            raise _at(place, "a score is beyond all numbers that can stand there")
    return _records(content)


_PER = {key.name: key.per for key in SAVED} | {"inflight": "agent"}


def _check_part(place: Place) -> None:
    per = _PER.get(place.name, "")
    if per in STATES:
        if place.part not in set(STATES[per]):
            raise Fault("there is no such state")
    elif per and not is_id(place.part):
        raise Fault("its last part is no id")


def _check_forms(forms: tuple[re.Pattern[bytes], ...], value: object) -> None:
    for form, items in zip(forms, _columns(value), strict=False):
        if form is not _ANY:
            matches = form.fullmatch
            for item in items:
                if matches(item) is None:
                    raise Fault(f"it holds {shown(item)}, which cannot stand there")


def _columns(value: object) -> tuple[Iterable[bytes], ...]:
    if isinstance(value, bytes):
        return ((value,),)
    if isinstance(value, dict):
        return value.keys(), value.values()
    assert isinstance(value, list | set)
    return (value,)


def _check_stream(place: Place, stream: Stream) -> None:
    before = (0, 0)
    for name, entry in stream.entries.items():
        at = _position(place, name)
        if at <= before:
            raise _at(place, f"entry {shown(name)} does not come after the one before it")
        before = at
        if not entry or len(entry) % 2:
            raise _at(place, f"entry {shown(name)} lacks a value")
        told = dict(zip(entry[::2], entry[1::2], strict=True))
        for field_name, form in NAMED[place.name].items():
            value = told.get(field_name)
            if value is None or form.fullmatch(value) is None:
                raise _at(place, f"entry {shown(name)} has no '{field_name.decode()}' that can stand there")
        if any(_WORD.fullmatch(field_name) is None for field_name in told):
            raise _at(place, f"entry {shown(name)} has a field with a name that cannot be")
    last = _position(place, stream.last)
    if last < before or last == (0, 0) or _position(place, stream.deleted) > last:
        raise _at(place, "its last id comes before ids that it has or had")
    if not len(stream.entries) <= stream.added < MOST_NUMBER:
        raise _at(place, "it counts fewer entries than it has")


def _position(place: Place, name: bytes) -> tuple[int, int]:
    found = _ENTRY.fullmatch(name)
    if found is None or int(found[1]) > LATEST_MS:
        raise _at(place, f"{shown(name)} is no id of an entry")
    return int(found[1]), int(found[2])


def _records(content: Content) -> Records:
    records = Records({}, {}, {})
    names: set[str] = set()
    for place, raw in content.strings.items():
        if place.name == "agent":
            agent = _record(Agent, place, raw)
            if agent.id != SUPERVISOR_ID:
                _check_name(place, agent, names)
            records.agents[place.part] = Seen(agent, raw)
        elif place.name == "task":
            records.tasks[place.part] = Seen(_record(Task, place, raw), raw)
        elif place.name == "mission":
            records.missions[place.part] = _record(Mission, place, raw)
    _check_missions(content, records)
    return records


_PARTS_OF_A_MISSION: Mapping[str, type[WorkItem | Watch | SourceText]] = {
    "mission_work": WorkItem,
    "mission_watch": Watch,
    "mission_text": SourceText,
}


def _check_missions(content: Content, records: Records) -> None:
    for place, held in content.hashes.items():
        record = _PARTS_OF_A_MISSION.get(place.name)
        if record is not None:
            for name, raw in held.items():
                # Each stands under its id; of a text that is the id of its item.
                _record(record, Place(place.name, name.decode("ascii")), raw)
            _of_a_mission(place, records)
    for place, events in content.lists.items():
        if place.name == "mission_events":
            for raw in events:
                _record(Event, place, raw)
            _of_a_mission(place, records)


def _of_a_mission(place: Place, records: Records) -> None:
    if place.part not in records.missions:
        raise _at(place, "there is no such mission")


def _check_name(place: Place, agent: Agent, names: set[str]) -> None:
    try:
        agent_name(agent.name)
    except InvalidName as error:
        raise _at(place, error.message) from None
    if agent.name in names:
        raise _at(place, f"a second agent is called '{agent.name}'")
    names.add(agent.name)


_BASES = {
    record: [(item.name, str(item.type).partition(" | ")[0]) for item in fields(record)]
    for record in (Agent, Task, Mission, WorkItem, Watch, SourceText, Event)
}


def _record(record: type[_R], place: Place, raw: bytes) -> _R:
    try:
        found = record.decode(raw)
    except BadMessage as error:
        raise _at(place, error.message) from None
    for name, base in _BASES[record]:  # type: ignore[index]
        value = getattr(found, name)
        if value is None:
            continue
        if (
            (base == "Timestamp" and not _is_time(value))
            or (base in ("AgentId", "TaskId", "MissionId", "WorkItemId", "WatchId") and not is_id(value))
            or (base == "int" and not (-MOST_NUMBER if name == "priority" else 0) <= value < MOST_NUMBER)
            or (name == "id" and record is not Event and value != place.part)
        ):
            raise _at(place, f"'{name}' cannot be {shown(value)}")
    return found


def _is_time(text: str) -> bool:
    from datetime import datetime

    if _TIME.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _at(place: Place, what: str) -> Fault:
    row = next((key for key in SAVED if key.name == place.name), None)
    return Fault(f"{row.suffix if row else place.name}{place.part}: {what}")


def shown(value: object) -> str:
    """Something of a file, short and harmless, as an error repeats it."""
    return one_line(repr(value[:60] if isinstance(value, bytes | str) else value).removeprefix("b"), 60)
