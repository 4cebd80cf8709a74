"""What waits in the mailboxes, counted by what it asks for, without taking it and mostly without decoding it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage
from tinytown.messages import Message
from tinytown.transport.questions import Question
from tinytown.transport.scripts import PENDING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.ids import AgentId
    from tinytown.runtime.town import Town
    from tinytown.transport.connection import Value

MOST = 1000
"""Messages of one lane that are looked at; more are counted only in `waiting`."""

_CHUNK = 50
"""Agents that one script looks at: for so long nobody else is served."""

# Our own encoder writes the type fourth; anything else is decoded.
_TYPE = re.compile(rb'\{"id":"[\w-]*","from":"[\w-]*","to":"[\w-]*","type":"(\w+)"')


class Kind(StrEnum):
    """The four heaps in which people see messages."""

    TASK = "task"
    QUERY = "query"
    INFORMATIONAL = "informational"
    CONFIRMATION = "confirmation"


_KINDS = {
    "task": Kind.TASK,
    "task_assign": Kind.TASK,
    "custom": Kind.TASK,
    "shutdown": Kind.TASK,
    "query": Kind.QUERY,
    "status_request": Kind.QUERY,
    "ping": Kind.QUERY,
    "confirmation": Kind.CONFIRMATION,
}


def kind_of(message_type: str) -> Kind:
    """The heap of a message type; what asks for nothing is informational."""
    return _KINDS.get(message_type, Kind.INFORMATIONAL)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each."""

    tasks: int = 0
    queries: int = 0
    informational: int = 0
    confirmations: int = 0

    @property
    def actionable(self) -> int:
        """Those that ask for work."""
        return self.tasks + self.queries


@dataclass(frozen=True, slots=True)
class Waiting:
    """What lies in the lanes of one agent, in the order of reading.

    `raws` are the first `MOST` of each lane; `total` counts all. `in_hand` were taken by a turn that runs.
    """

    raws: tuple[bytes, ...]
    total: int
    in_hand: int

    @property
    def counts(self) -> Counts:
        """By what they ask for."""
        return counts_of(self.raws)


@dataclass(frozen=True, slots=True)
class Pending:
    """What lies in the lanes of one agent, counted: of each lane the first `MOST`; `total` counts all."""

    counts: Counts
    total: int
    in_hand: int


def counts_of(raws: Iterable[bytes]) -> Counts:
    """Messages by what they ask for; bytes that are no message are left out. Of ours the beginnings will do."""
    kinds = [kind for raw in raws if (kind := _kind(raw)) is not None]
    if not kinds:
        return Counts()
    return Counts(
        kinds.count(Kind.TASK),
        kinds.count(Kind.QUERY),
        kinds.count(Kind.INFORMATIONAL),
        kinds.count(Kind.CONFIRMATION),
    )


def pending_for(town: Town, agent_ids: Sequence[AgentId]) -> Question[list[Pending]]:
    """How much waits for each of these agents."""
    chunks = [agent_ids[at : at + _CHUNK] for at in range(0, len(agent_ids), _CHUNK)]
    return Question(
        [PENDING.command(town.keys.prefix, MOST, *chunk) for chunk in chunks],
        lambda replies: [
            Pending(counts_of(beginnings), total, in_hand)
            for reply in replies
            for beginnings, total, in_hand in cast("list[tuple[list[bytes], int, int]]", reply)
        ],
    )


async def look(town: Town, agent_ids: Sequence[AgentId]) -> list[Waiting]:
    """What waits for each of these agents, in one round trip."""
    if not agent_ids:
        return []
    commands: list[tuple[Value, ...]] = []
    for agent_id in agent_ids:
        lanes = town.keys.lanes(agent_id)
        commands += [("LRANGE", lane, 0, MOST - 1) for lane in lanes]
        commands += [("LLEN", lane) for lane in lanes]
        commands.append(("HLEN", town.keys("inflight", agent_id)))
    replies = iter(await town.connection.pipeline(commands, repeat=True))
    found = []
    for _ in agent_ids:
        raws = [raw for _ in range(4) for raw in cast("Iterable[bytes]", next(replies))]
        total = sum(cast("int", next(replies)) for _ in range(4))
        found.append(Waiting(tuple(raws), total, cast("int", next(replies))))
    return found


def _kind(raw: bytes) -> Kind | None:
    found = _TYPE.match(raw)
    if found is not None:
        return kind_of(found[1].decode())
    try:
        return kind_of(Message.decode(raw).body.type)
    except BadMessage:
        return None
