"""What was put aside: dead letters, which failed too often, and the quarantine of what cannot be read or kills.

Nothing leaves either by itself. A person sends a message again, which moves it back to the end of its lane with
nothing counted against it, or drops it; either is one script, so that of two who ask at once one does it.
"""

from __future__ import annotations

from contextlib import aclosing, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, cast

from tinytown import times
from tinytown.errors import BadMessage
from tinytown.ids import AgentId, TaskId
from tinytown.messages import LANES, Message, Priority, TaskAssign
from tinytown.transport import scripts
from tinytown.transport.journal import exclusive

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from tinytown.config import Limits
    from tinytown.times import Timestamp
    from tinytown.transport.connection import Connection, Reply, Value
    from tinytown.transport.keys import Keys

_PAGE = 100
"""Entries read at once: each may hold a whole message."""


class Shelf(StrEnum):
    """The two lists; the values are the names of their keys."""

    DEAD = "dlq"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Shelved:
    """One message that was put aside.

    `id` is the message's own, or `sha1-…` of its bytes where it has none. `place` is its position in its list.
    `message` is None when the bytes are none.
    """

    shelf: Shelf
    place: str
    id: str
    agent: AgentId
    lane: Priority
    at: Timestamp
    attempts: int
    reason: str
    raw: bytes
    message: Message | None = None


class Shelves:
    """The dead letters and the quarantine of one town."""

    def __init__(self, connection: Connection, keys: Keys, limits: Limits) -> None:
        self._connection = connection
        self._keys = keys
        self._limits = limits

    async def counts(self) -> dict[Shelf, int]:
        """How many lie in each."""
        lengths = await self._connection.pipeline([("XLEN", self._keys(shelf)) for shelf in Shelf], repeat=True)
        return dict(zip(Shelf, cast("list[int]", lengths), strict=True))

    async def latest(
        self, shelf: Shelf, most: int, *, before: str | None = None, agent: AgentId | None = None
    ) -> list[Shelved]:
        """The last `most`, oldest first: of all, or of those ahead of a place; of all agents, or of one."""
        end = "+" if before is None else exclusive(before)
        newest_first: list[Shelved] = []
        while len(newest_first) < most:
            # Of one agent nobody knows how far back they lie.
            size = _PAGE if agent is not None else min(_PAGE, most - len(newest_first))
            reply = await self._connection.execute("XREVRANGE", self._keys(shelf), end, "-", "COUNT", size, repeat=True)
            page = [_shelved(shelf, entry) for entry in cast("list[Reply]", reply)]
            newest_first += [letter for letter in page if agent in (None, letter.agent)]
            if len(page) < size:
                break
            end = exclusive(page[-1].place)
        return newest_first[:most][::-1] if most > 0 else []

    async def all(self) -> AsyncGenerator[Shelved, None]:
        """Each of them, dead letters first, oldest first; close it with `aclosing`."""
        for shelf in Shelf:
            begin = "-"
            while True:
                reply = await self._connection.execute(
                    "XRANGE", self._keys(shelf), begin, "+", "COUNT", _PAGE, repeat=True
                )
                found = [_shelved(shelf, entry) for entry in cast("list[Reply]", reply)]
                for letter in found:
                    yield letter
                if len(found) < _PAGE:
                    break
                begin = exclusive(found[-1].place)

    async def tasks(self) -> set[TaskId]:
        """The tasks that messages told of which lie here."""
        if not any((await self.counts()).values()):
            return set()
        async with aclosing(self.all()) as letters:
            bodies = [letter.message.body async for letter in letters if letter.message is not None]
        return {TaskId(body.task_id) for body in bodies if isinstance(body, TaskAssign)}

    async def redeliver(self, letters: Sequence[Shelved], by: str) -> list[int]:
        """Put them back at the end of their lanes. For each: 1 done, 0 gone meanwhile, or why not.

        A negative code is one that `mailbox.refuse` explains; that message stays where it is.
        """
        limits = self._limits
        arguments: list[Value] = [limits.inbox_messages, limits.town_messages, limits.events, by]
        for letter in letters:
            arguments += (letter.shelf, letter.place)
        reply = await scripts.REDELIVER.run(self._connection, self._keys.prefix, arguments)
        return cast("list[int]", reply)

    async def discard(self, letters: Sequence[Shelved], by: str) -> list[bool]:
        """Drop them for good; for each whether it was still there."""
        arguments: list[Value] = [self._limits.events, by]
        for letter in letters:
            arguments += (letter.shelf, letter.place, letter.agent, letter.id)
        reply = await scripts.DISCARD.run(self._connection, self._keys.prefix, arguments)
        return [code == 1 for code in cast("list[int]", reply)]


def _shelved(shelf: Shelf, entry: Reply) -> Shelved:
    place, flat = cast("tuple[bytes, list[bytes]]", entry)
    given = {flat[at].decode("ascii", "replace"): flat[at + 1] for at in range(0, len(flat), 2)}
    raw = given.get("raw", b"")
    message = None
    with suppress(BadMessage):
        # Bytes that are no message may lie here for that very reason.
        message = Message.decode(raw)
    return Shelved(
        shelf=shelf,
        place=place.decode(),
        id=given.get("key", b"").decode("utf-8", "replace"),
        agent=AgentId(given.get("agent", b"").decode("utf-8", "replace")),
        lane=LANES[int(given.get("lane", b"3")) - 1],
        at=times.timestamp(int(given.get("at", b"0")) / 1000),
        attempts=int(given.get("attempts", b"0")),
        reason=given.get("reason", b"").decode("utf-8", "replace"),
        raw=raw,
        message=message,
    )
