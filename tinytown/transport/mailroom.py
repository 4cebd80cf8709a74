"""Whole mailboxes: what lies in one, and moving it elsewhere.

What must be true: a mailbox is moved in one script, together with the records that say whose the work is, and only
if it still holds what was read. So no message is dropped, none is in two places, and none arrives somewhere without
the task it hands over. A message keeps its lane, its order, its id and what was counted for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, cast

from tinytown.errors import BadMessage, Conflict
from tinytown.messages import Message
from tinytown.transport import scripts
from tinytown.transport.mailbox import pairs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinytown.ids import AgentId
    from tinytown.transport.connection import Connection, Reply, Value
    from tinytown.transport.keys import Keys
    from tinytown.transport.store import Change, Store

_CLAIMED = re.compile(rb"(\d) [\w-]+\n")
_SNOOZED = re.compile(rb"(\S+) \d+ (\d) [\w-]+\n")
_IN_HAND = -5


class Letter(NamedTuple):
    """One message as it lies in a mailbox. `message` is None for bytes that are none. `failures` are failed turns."""

    lane: int
    raw: bytes
    message: Message | None
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Contents:
    """All that lies in a mailbox: what a turn holds, the lanes in the order of reading, what waits for a time.

    `in_hand` is how many of them a turn holds.
    """

    agent_id: AgentId
    letters: tuple[Letter, ...]
    in_hand: int

    @property
    def fingerprint(self) -> str:
        """A text that is the same for the same messages in the same order, and for no others."""
        from hashlib import sha1

        digest = sha1(usedforsecurity=False)
        for letter in self.letters:
            digest.update(b"%d %d " % (letter.lane, len(letter.raw)))
            digest.update(letter.raw)
        return digest.hexdigest()


class Mailroom:
    """The whole mailboxes of one town."""

    def __init__(self, connection: Connection, keys: Keys, store: Store) -> None:
        self._connection = connection
        self._keys = keys
        self._store = store

    async def contents(self, agent_ids: Sequence[AgentId]) -> list[Contents]:
        """What lies in these mailboxes. Changes nothing."""
        commands: list[tuple[Value, ...]] = [("ZRANGE", self._keys("snoozed"), 0, -1)]
        for agent_id in agent_ids:
            commands.append(("HGETALL", self._keys("inflight", agent_id)))
            commands += [("LRANGE", lane, 0, -1) for lane in self._keys.lanes(agent_id)]
        snoozed, *replies = await self._connection.pipeline(commands, repeat=True)
        waiting = _by_agent(cast("list[bytes]", snoozed))
        found = []
        for place, agent_id in enumerate(agent_ids):
            claimed, *lanes = replies[place * 5 : place * 5 + 5]
            held = _claimed(claimed)
            letters = [
                (lane, raw)
                for lane, lying in enumerate(lanes, 1)
                for raw in (*(each for number, each in held if number == lane), *cast("list[bytes]", lying))
            ]
            letters += waiting.get(agent_id, [])
            found.append(Contents(agent_id, await self._letters(letters), len(held)))
        return found

    async def lying(self, agent_id: AgentId) -> list[Letter]:
        """What lies in the lanes of one mailbox, in the order of reading: all that `Change.take` can take."""
        lanes = await self._connection.pipeline(
            [("LRANGE", lane, 0, -1) for lane in self._keys.lanes(agent_id)], repeat=True
        )
        return [
            Letter(number, raw, _decoded(raw))
            for number, lane in enumerate(lanes, 1)
            for raw in cast("list[bytes]", lane)
        ]

    async def move(
        self, change: Change, contents: Contents, kept: Sequence[bool], to: AgentId | None, *, by_force: bool
    ) -> None:
        """Commit the change, and with it move what is `kept` of a mailbox to another one; the rest is done with.

        Raises what `Store.commit` raises, `Raced` also when the mailbox holds something else by now, and `Conflict`
        when a turn holds messages of it; `by_force` takes them from the turn.
        """
        words: list[Value] = change.words(self._store.limits)
        words += (contents.agent_id, to or "", int(by_force), contents.fingerprint)
        words.append("".join("1" if each else "0" for each in kept))
        reply = await scripts.MOVE.run(self._connection, self._keys.prefix, words)
        if cast("list[int]", reply)[0] == _IN_HAND:
            raise Conflict(
                f"Agent {contents.agent_id} is in a turn, which holds messages of its mailbox",
                hint="Wait for its end, or take them from it with --force.",
            )
        change.judge(reply, self._store.limits)

    async def _letters(self, found: Sequence[tuple[int, bytes]]) -> tuple[Letter, ...]:
        letters = [Letter(lane, raw, _decoded(raw)) for lane, raw in found]
        ids = [letter.message.id for letter in letters if letter.message is not None]
        if not ids:
            return tuple(letters)
        counted = await self._connection.execute("HMGET", self._keys("attempts"), *ids, repeat=True)
        failures = {
            message_id: int(count.partition(b"|")[0])
            for message_id, count in zip(ids, cast("list[bytes | None]", counted), strict=True)
            if count
        }
        return tuple(
            letter._replace(failures=failures.get(letter.message.id, 0)) if letter.message else letter
            for letter in letters
        )


def _claimed(reply: Reply) -> list[tuple[int, bytes]]:
    """Lane and bytes of what a turn holds, in the order in which it was claimed."""
    found = []
    for _, value in sorted(pairs(reply), key=lambda pair: int(pair[0])):
        match = _CLAIMED.match(value)
        if match is not None:
            found.append((int(match[1]), value[match.end() :]))
    return found


def _by_agent(members: Iterable[bytes]) -> dict[str, list[tuple[int, bytes]]]:
    """Lane and bytes of what waits for a time, of each agent, longest due first."""
    found: dict[str, list[tuple[int, bytes]]] = {}
    for member in members:
        match = _SNOOZED.match(member)
        if match is not None:
            found.setdefault(match[1].decode(), []).append((int(match[2]), member[match.end() :]))
    return found


def _decoded(raw: bytes) -> Message | None:
    try:
        return Message.decode(raw)
    except BadMessage:
        return None
