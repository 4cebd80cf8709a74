"""What a snapshot holds of a town, and the town at rest.

A town is saved as it would be if every runtime had let go of its agents at that moment: nothing is claimed, nobody
works. So a snapshot says the same whether the town was running or not, and what is restored from it starts nothing
by itself. `bring_to_rest` makes a content so, by the moves of `lifecycle.py`, and does nothing the second time.

The indexes are made from the records, always: a snapshot cannot say one thing in a record and another in an index.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from tinytown.errors import BadMessage
from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import decode_json
from tinytown.times import seconds_of
from tinytown.transport.agent_index import born
from tinytown.transport.keys import CATALOGUE, LANE_KEYS
from tinytown.transport.store import Seen

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from tinytown.mission_records import Mission
    from tinytown.records import Agent, Task

LEFT_OUT: Mapping[str, str] = {
    "town_id": "says whose data this is on this Redis; a restored town stays who it is",
    "incarnation": "says that the data of this host did not vanish; that is not for another host to say",
    "at_work": "is empty when nobody works",
    "roster": "is changed by every restore, so that no spawn counts agents that are gone",
    "tokens": "is secret, and for rounds that run now",
    "api_keys": "opens doors of this town, and is for nobody who reads a save",
    "api_key_uses": "goes with the API keys",
    "audit": "tells who did what here, and is for nobody who reads a save",
    "control": "is for one life of an agent, and a snapshot holds none",
    "inflight": "is saved as waiting, at the head of its lane, as when a runtime lets go of it",
    "leases": "goes with what is claimed",
    "prompted": "goes with what is claimed",
    "ready": "is found out when an agent is placed",
    "standing": "tells of running processes",
    "placed": "tells of running processes",
    "unplaced": "tells of agents that shall start at once; restored ones are stopped",
    "runtimes": "tells of running processes",
    "runtime": "tells of running processes",
    "answers": "is for programs that ask again within a day",
    "answers_until": "goes with the answers",
    "mission_active": "tells of missions that go on by themselves; restored ones wait for a person",
    "activity": "is of the original, and nothing reads it",
    "stop": "is of the original, and nothing reads it",
    "bell": "is a channel",
    "handed": "is a channel",
    "broadcast": "is a channel",
}
"""The rows of the catalogue that no snapshot has, and why."""

SAVED = tuple(key for key in CATALOGUE if key.name not in LEFT_OUT)
GATHERED = tuple(key for key in CATALOGUE if key.name not in LEFT_OUT or key.name in ("inflight", "placed"))
"""What has to be read to know the town at rest."""

CLAIMED = re.compile(rb"([1-4]) ([A-Za-z0-9-]+)\n(.*)", re.DOTALL)
"""A message in the in-flight hash: lane, under what name it is counted, bytes."""
SNOOZED = re.compile(rb"([0-9a-f-]{36}) [0-9]{1,18} ([1-4]) [A-Za-z0-9-]+\n(.*)", re.DOTALL)
"""A message among the snoozed: agent, tag, lane, under what name it is counted, bytes."""
_OUR_ID = re.compile(rb'\{"id":"([A-Za-z0-9-]+)"')


class Place(NamedTuple):
    """A key by its name in the catalogue and its last part, empty for a key that a town has one of."""

    name: str
    part: str = ""


@dataclass(slots=True)
class Stream:
    """Entries by their ids, oldest first, each with its names and values in turn; and what the server counts."""

    entries: dict[bytes, tuple[bytes, ...]]
    last: bytes = b"0-0"
    added: int = 0
    deleted: bytes = b"0-0"


_Held: TypeAlias = "bytes | list[bytes] | dict[bytes, bytes] | set[bytes] | dict[bytes, int] | Stream"


@dataclass(slots=True)
class Content:
    """What lies under the keys of a town, by type. No value is empty."""

    strings: dict[Place, bytes] = field(default_factory=dict)
    lists: dict[Place, list[bytes]] = field(default_factory=dict)
    hashes: dict[Place, dict[bytes, bytes]] = field(default_factory=dict)
    sets: dict[Place, set[bytes]] = field(default_factory=dict)
    zsets: dict[Place, dict[bytes, int]] = field(default_factory=dict)
    streams: dict[Place, Stream] = field(default_factory=dict)

    def everything(self) -> dict[Place, _Held]:
        """All of it in one."""
        return {**self.strings, **self.lists, **self.hashes, **self.sets, **self.zsets, **self.streams}

    def parts(self, name: str) -> list[Place]:
        """The places of all records of a kind."""
        return [place for place in self.strings if place.name == name]


@dataclass(slots=True)
class Records:
    """The records of a content, decoded, beside the bytes they were read from."""

    agents: dict[str, Seen[Agent]]
    tasks: dict[str, Seen[Task]]
    missions: dict[str, Mission]


def bring_to_rest(content: Content, records: Records) -> None:
    """Let go of everything that is at work, and make the indexes anew."""
    _release_claims(content)
    for agent_id, seen in records.agents.items():
        after = _rested_agent(seen.record)
        if after != seen.record:
            raw = content.strings[Place("agent", agent_id)] = seen.overwrite(after)
            records.agents[agent_id] = Seen(after, raw)
    for task_id, task in records.tasks.items():
        if task.record.state is TaskState.RUNNING:
            # It was changed when somebody changed it, not when it was saved: or no two saves would be the same.
            returned = replace(task.record.returned(), updated_at=task.record.updated_at)
            raw = content.strings[Place("task", task_id)] = task.overwrite(returned)
            records.tasks[task_id] = Seen(returned, raw)
    _index(content, records)
    _forget_the_settled(content)


def _rested_agent(agent: Agent) -> Agent:
    is_mailbox = agent.id == SUPERVISOR_ID and not agent.cli and agent.state is AgentState.IDLE
    if not agent.state.is_terminal and not is_mailbox:
        agent = agent.after(AgentEvent.STOP)
    return replace(agent, in_round=False, current_task=None)


def _release_claims(content: Content) -> None:
    """What `unplace` does: claims go back uncounted, and the epochs of those who were placed rise."""
    for place in [place for place in content.hashes if place.name == "inflight"]:
        claims = content.hashes.pop(place)
        for tag in sorted(claims, key=int, reverse=True):
            found = CLAIMED.fullmatch(claims[tag])
            assert found is not None, "checked before"
            lane = Place(LANE_KEYS[int(found[1]) - 1], place.part)
            content.lists[lane] = [found[3], *content.lists.get(lane, ())]
    epochs = content.hashes.get(Place("epochs"), {})
    for actor in content.hashes.pop(Place("placed"), {}):
        if actor in epochs:
            epochs[actor] = b"%d" % (int(epochs[actor]) + 1)


_INDEXES = frozenset({"names", "held", "agents_in", "tasks", "tasks_in", "agent_tasks", "missions"})


def _index(content: Content, records: Records) -> None:
    for kind in (content.hashes, content.sets, content.zsets):
        for place in [place for place in kind if place.name in _INDEXES]:
            del kind[place]
    _index_agents(content, [seen.record for seen in records.agents.values()])
    _index_tasks(content, [seen.record for seen in records.tasks.values()], records.agents)
    if records.missions:
        content.zsets[Place("missions")] = {
            mission.id.encode(): round(seconds_of(mission.created_at) * 1000) for mission in records.missions.values()
        }


def _index_agents(content: Content, agents: Iterable[Agent]) -> None:
    for agent in agents:
        raw = agent.id.encode()
        if agent.state.is_terminal:
            content.sets.setdefault(Place("held"), set()).add(raw)
        if agent.id != SUPERVISOR_ID:
            content.hashes.setdefault(Place("names"), {})[agent.name.encode()] = raw
            content.zsets.setdefault(Place("agents_in", agent.state), {})[raw] = born(agent)


def _index_tasks(content: Content, tasks: Iterable[Task], agents: Container[str]) -> None:
    known: set[bytes] = set()
    for task in tasks:
        raw = task.id.encode()
        known.add(raw)
        content.zsets.setdefault(Place("tasks"), {})[raw] = round(seconds_of(task.created_at) * 1000)
        content.sets.setdefault(Place("tasks_in", task.state), set()).add(raw)
        if task.assigned_to is not None and task.assigned_to in agents:
            content.sets.setdefault(Place("agent_tasks", task.assigned_to), set()).add(raw)
    backlog = [raw for raw in dict.fromkeys(content.lists.pop(Place("backlog"), ())) if raw in known]
    if backlog:
        content.lists[Place("backlog")] = backlog
    # Tasks that wait for others.
    waiting = content.sets.pop(Place("waiting"), set()) & known
    if waiting:
        content.sets[Place("waiting")] = waiting


def _forget_the_settled(content: Content) -> None:
    """Ids of unsettled messages that are nowhere: too many of them, and the town would seem to be full."""
    live = content.sets.pop(Place("live"), None)
    if live and (left := live & {name for _, raw in messages(content) for name in _names(raw)}):
        content.sets[Place("live")] = left


def messages(content: Content) -> Iterable[tuple[AgentId, bytes]]:
    """Every message that waits or is snoozed, with the agent whose it is; of a content at rest."""
    for place, raws in content.lists.items():
        if place.name in LANE_KEYS:
            for raw in raws:
                yield AgentId(place.part), raw
    for member in content.zsets.get(Place("snoozed"), ()):
        found = SNOOZED.fullmatch(member)
        assert found is not None, "checked before"
        yield AgentId(found[1].decode()), found[3]


def _names(raw: bytes) -> tuple[bytes, ...]:
    """What a message can be called where its id is kept: its id, and for one of no plain id also what it is."""
    # Our own encoder writes it first; to decode what others wrote is slow.
    found = _OUR_ID.match(raw)
    if found:
        return (found[1],)
    from hashlib import sha1

    names = (b"sha1-" + sha1(raw, usedforsecurity=False).hexdigest().encode(),)
    try:
        value = decode_json(raw)
    except BadMessage:
        return names
    told = value.get("id") if isinstance(value, dict) else None
    return (*names, told.encode()) if isinstance(told, str) else names
