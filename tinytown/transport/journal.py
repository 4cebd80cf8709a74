"""The journal: what happened, as a bounded stream. Scripts append to it; here it is read and followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tinytown import times
from tinytown.records import Event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from tinytown.transport.connection import Connection, Reply
    from tinytown.transport.keys import Keys

FOLLOW_BLOCK_MS = 30_000
"""How long one blocking read waits before it asks again; also how soon a reader notices a server that hangs."""


class Journal:
    """The journal of one town."""

    def __init__(self, connection: Connection, keys: Keys, *, length: int) -> None:
        self._connection = connection
        self._key = keys("events")
        self._length = length

    async def append(self, event: Event) -> None:
        """Tell something by itself, outside any commit."""
        ms = round(times.seconds_of(event.at) * 1000)
        await self._connection.execute(
            "XADD", self._key, "MAXLEN", "~", self._length, "*", "ms", ms, *event.to_fields(), repeat=True
        )

    async def latest(self, most: int) -> list[Event]:
        """The last `most` events, oldest first."""
        reply = await self._connection.execute("XREVRANGE", self._key, "+", "-", "COUNT", most, repeat=True)
        return [event_of(entry) for entry in reversed(cast("list[Reply]", reply))]

    async def after(self, position: str, most: int = 1000) -> list[Event]:
        """Up to `most` events behind a position (the id of an event; "0" for the beginning), oldest first."""
        reply = await self._connection.execute(
            "XRANGE", self._key, f"({position}" if position != "0" else "-", "+", "COUNT", most, repeat=True
        )
        return [event_of(entry) for entry in cast("list[Reply]", reply)]

    async def position(self) -> str:
        """The id of the last event; "0" when there is none."""
        last = await self.latest(1)
        return last[0].id if last else "0"

    async def follow(self, position: str) -> AsyncGenerator[Event, None]:
        """Every event behind a position, for ever, as it happens. Close it with `contextlib.aclosing`.

        It holds a connection of its own while it is open.
        """
        async with self._connection.dedicated() as connection:
            while True:
                reply = await connection.execute(
                    "XREAD", "BLOCK", FOLLOW_BLOCK_MS, "COUNT", 100, "STREAMS", self._key, position
                )
                for entry in _entries(reply):
                    event = event_of(entry)
                    position = event.id
                    yield event


def _entries(reply: Reply) -> Sequence[Reply]:
    """The entries of an XREAD on one stream: a map in RESP3, pairs in RESP2, nothing after the wait."""
    if not reply:
        return ()
    if isinstance(reply, dict):
        return cast("Sequence[Reply]", next(iter(reply.values())))
    stream = cast("list[list[Reply]]", reply)[0]
    return cast("Sequence[Reply]", stream[1])


def event_of(entry: Reply) -> Event:
    """The event of one stream entry."""
    position, flat = cast("tuple[bytes, list[bytes]]", entry)
    given = {
        flat[at].decode("utf-8", "replace"): flat[at + 1].decode("utf-8", "replace") for at in range(0, len(flat), 2)
    }
    ms = given.pop("ms", "") or position.decode().partition("-")[0]
    return Event(
        type=given.get("type", "unknown"),
        at=times.timestamp(int(ms) / 1000),
        id=position.decode(),
        agent=given.get("agent"),
        task=given.get("task"),
        message=given.get("message"),
        mission=given.get("mission"),
        detail=given.get("detail"),
    )
