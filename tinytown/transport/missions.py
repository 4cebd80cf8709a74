"""Missions: read, list, find, change. A mission with its work items and watches changes as one.

What must be true: whatever changes anything of a mission writes the mission's own record in the same commit, over the
very bytes that were read, with a higher revision. So two who act at the same time, a scheduler and a person perhaps,
never build on what the other has changed: the later one gets `Raced`, and decides again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from tinytown.errors import BadMessage, MissionNotFound
from tinytown.ids import MissionId, WorkItemId, is_id, resolve
from tinytown.lifecycle import MissionState
from tinytown.mission_records import Mission, SourceText, Watch, WorkItem
from tinytown.records import Event
from tinytown.times import seconds_of
from tinytown.transport.mailbox import pairs
from tinytown.transport.store import Raced, Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tinytown.transport.connection import Connection, Reply, Value
    from tinytown.transport.delivery import Fence
    from tinytown.transport.keys import Keys
    from tinytown.transport.store import Change, Store

EVENTS_KEPT = 100
"""Events of its own that a mission remembers, as the manual says; the journal has them, too."""

ACTIVE = frozenset({MissionState.PLANNING, MissionState.RUNNING, MissionState.BLOCKED})
"""In these a scheduler works on a mission."""

RUNG = "mission:"
"""Stands before a mission's id on the bell, on which agents are named by their ids alone."""

_AT_ONCE = 250
"""Fields in one command: a script passes on some thousand words at most."""

_P = TypeVar("_P", WorkItem, Watch)


class SeenMission(NamedTuple):
    """A mission with all that belongs to it, and the bytes that a change of it must find again."""

    mission: Mission
    items: tuple[WorkItem, ...]
    watches: tuple[Watch, ...]
    raw: bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """A mission as it shall be; `texts` are those of new items, or in the place of older ones."""

    mission: Mission
    items: tuple[WorkItem, ...]
    watches: tuple[Watch, ...]
    texts: Mapping[WorkItemId, SourceText] | None = None


class Missions:
    """The missions of one town."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    async def see(self, mission_id: MissionId) -> SeenMission:
        """The mission as it is; `MissionNotFound`. `BadMessage` when a part of it cannot be read: a mission is never
        taken for one without it."""
        raw, work, watch = await self._connection.pipeline(
            [
                ("GET", self._keys("mission", mission_id)),
                ("HGETALL", self._keys("mission_work", mission_id)),
                ("HGETALL", self._keys("mission_watch", mission_id)),
            ],
            repeat=True,
        )
        if raw is None:
            raise MissionNotFound(mission_id)
        mission = Mission.decode(cast("bytes", raw))
        items = sorted(_decoded(WorkItem, work), key=lambda item: (item.number, item.key, item.id))
        watches = sorted(_decoded(Watch, watch), key=lambda each: (each.target, each.watch_kind, each.id))
        return SeenMission(mission, tuple(items), tuple(watches), cast("bytes", raw))

    async def find(self, wanted: str) -> MissionId:
        """The mission that a person means, by id or unique prefix; `MissionNotFound`, `AmbiguousId`."""
        if is_id(wanted.lower()):
            return MissionId(wanted.lower())
        found = resolve(wanted, await self._ids())
        if found is None:
            raise MissionNotFound(wanted)
        return found

    async def all(self) -> list[Mission]:
        """The record of every mission that can be read, newest first."""
        return await self.of(await self._ids())

    async def of(self, mission_ids: Sequence[MissionId]) -> list[Mission]:
        """The records of these that there are and that can be read, newest first."""
        if not mission_ids:
            return []
        keys = [self._keys("mission", each) for each in mission_ids]
        found = []
        for raw in cast("list[bytes | None]", await self._connection.execute("MGET", *keys, repeat=True)):
            if raw is not None:
                try:
                    found.append(Mission.decode(raw))
                except BadMessage:
                    # One damaged record must not hide the others; `tt doctor` lists it.
                    continue
        return sorted(found, key=lambda mission: (mission.created_at, mission.id), reverse=True)

    async def count(self) -> int:
        """How many missions there are, in whatever state."""
        return int(cast("int", await self._connection.execute("ZCARD", self._keys("missions"), repeat=True)))

    async def active(self) -> list[MissionId]:
        """The missions that a scheduler works on."""
        reply = await self._connection.execute("SMEMBERS", self._keys("mission_active"), repeat=True)
        return sorted(MissionId(raw.decode()) for raw in cast("Iterable[bytes]", reply))

    async def events(self, mission_id: MissionId, most: int = EVENTS_KEPT) -> list[Event]:
        """Its last `most` events, oldest first."""
        key = self._keys("mission_events", mission_id)
        reply = await self._connection.execute("LRANGE", key, -most, -1, repeat=True)
        return [Event.decode(raw) for raw in cast("list[bytes]", reply)]

    async def texts(self, mission_id: MissionId, item_ids: Sequence[WorkItemId]) -> dict[WorkItemId, SourceText]:
        """What these items come from."""
        if not item_ids:
            return {}
        key = self._keys("mission_text", mission_id)
        reply = cast("list[bytes | None]", await self._connection.execute("HMGET", key, *item_ids, repeat=True))
        found = zip(item_ids, reply, strict=True)
        return {item_id: SourceText.decode(raw) for item_id, raw in found if raw is not None}

    def create(self, change: Change, whole: Changed, *, beside: int | None = None) -> Change:
        """Write a new mission with all that belongs to it; `beside` so many others, if that is given."""
        mission = whole.mission
        if beside is not None:
            change.require_count(self._keys("missions"), beside)
        key = self._keys("mission", mission.id)
        change.require_absent(key).write("SET", key, mission.encode())
        change.write("ZADD", self._keys("missions"), round(seconds_of(mission.created_at) * 1000), mission.id)
        return self._write(change, SeenMission(mission, (), (), b""), whole)

    def replace(self, change: Change, seen: SeenMission, after: Changed) -> Change:
        """Write a mission over what was read: its record always, of the rest what differs.

        Without a fence it rings the scheduler, which did not do this itself.
        """
        key = self._keys("mission", after.mission.id)
        risen = replace(after.mission, revision=seen.mission.revision + 1)
        change.checks.append((key, "=", seen.raw))
        change.write("SET", key, Seen(seen.mission, seen.raw).overwrite(risen))
        return self._write(change, seen, after)

    def tell(
        self,
        change: Change,
        mission_id: MissionId,
        kind: str,
        detail: str,
        *,
        agent: str | None = None,
        task: str | None = None,
    ) -> Change:
        """Tell the journal, and the mission's own list of events. `kind` is `mission.<verb>`."""
        event = Event(kind, mission=mission_id, agent=agent, task=task, detail=detail)
        key = self._keys("mission_events", mission_id)
        change.write("RPUSH", key, event.encode()).write("LTRIM", key, -EVENTS_KEPT, -1)
        return change.tell(event)

    def _write(self, change: Change, before: SeenMission, after: Changed) -> Change:
        mission_id = after.mission.id
        verb = "SADD" if after.mission.state in ACTIVE else "SREM"
        change.write(verb, self._keys("mission_active"), mission_id)
        for name, old, new in (
            ("mission_work", before.items, after.items),
            ("mission_watch", before.watches, after.watches),
        ):
            was = {each.id: each for each in old}
            differ: list[Value] = []
            for each in new:
                if was.get(each.id) != each:
                    differ += (each.id, each.encode())
            self._set_fields(change, self._keys(name, mission_id), differ)
        texts = [word for item_id, text in (after.texts or {}).items() for word in (item_id, text.encode())]
        self._set_fields(change, self._keys("mission_text", mission_id), texts)
        if change.fence is None:
            # No bell of the change: that would note the mission among the agents with something to read.
            change.write("PUBLISH", self._keys("bell"), RUNG + mission_id)
        return change

    @staticmethod
    def _set_fields(change: Change, key: str, words: Sequence[Value]) -> None:
        for start in range(0, len(words), 2 * _AT_ONCE):
            change.write("HSET", key, *words[start : start + 2 * _AT_ONCE])

    async def _ids(self) -> list[MissionId]:
        reply = await self._connection.execute("ZRANGE", self._keys("missions"), 0, -1, repeat=True)
        return [MissionId(raw.decode()) for raw in cast("Iterable[bytes]", reply)]


async def update_mission(
    store: Store,
    missions: Missions,
    mission_id: MissionId,
    decide: Callable[[SeenMission], Changed],
    also: Callable[[Change, SeenMission, Changed], object] | None = None,
    *,
    fence: Fence | None = None,
) -> Changed:
    """Replace a mission by what `decide` makes of it, together with what `also(change, before, after)` adds.

    Decides again, on what is there by then, as often as somebody else was faster. Gives what was written.
    """
    while True:
        seen = await missions.see(mission_id)
        after = decide(seen)
        change = missions.replace(store.change(fence), seen, after)
        if also is not None:
            also(change, seen, after)
        try:
            await store.commit(change)
        except Raced:
            continue
        return after


def _decoded(record: type[_P], reply: Reply) -> list[_P]:
    return [record.decode(raw) for _, raw in pairs(reply)]
