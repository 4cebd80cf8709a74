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

FIRST_PAGE = 100
LAST_PAGE = 1000
"""Events of the first page that is read, and of each after a few: little where little is wanted, few round trips
where much is."""


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
            "XRANGE", self._key, exclusive(position), "+", "COUNT", most, repeat=True
        )
        return [event_of(entry) for entry in cast("list[Reply]", reply)]

    def backwards(
        self, position: str | None = None, *, including: bool = False, about: Sequence[str] = ()
    ) -> AsyncGenerator[list[Event], None]:
        """Page after page of the events ahead of a position (None: of all), newest first, until the first of all.

        With `including` the event at the position is the first of them. With `about` only those that have one of
        these ids among their fields, so that a page may be empty. Close it with `contextlib.aclosing`.
        """
        start = "+" if position is None else position if including else exclusive(position)
        return self._pages("XREVRANGE", start, "-", about)

    def forwards(
        self, position: str, *, including: bool = False, about: Sequence[str] = ()
    ) -> AsyncGenerator[list[Event], None]:
        """Page after page of the events behind a position, oldest first, until the last; otherwise as `backwards`."""
        return self._pages("XRANGE", position if including else exclusive(position), "+", about)

    async def _pages(self, verb: str, start: str, end: str, about: Sequence[str]) -> AsyncGenerator[list[Event], None]:
        words = [each.encode() for each in about]
        most = FIRST_PAGE
        while True:
            reply = await self._connection.execute(verb, self._key, start, end, "COUNT", most, repeat=True)
            page = cast("list[tuple[bytes, list[bytes]]]", reply)
            if page:
                yield [event_of(entry) for entry in page if not words or any(word in entry[1] for word in words)]
            if len(page) < most:
                return
            start, most = exclusive(page[-1][0].decode()), min(LAST_PAGE, most * 3)

    async def first(self) -> Event | None:
        """The oldest event that is kept; None when there is none."""
        found = await self.after("0", 1)
        return found[0] if found else None

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


def exclusive(position: str) -> str:
    """The end of a range of a stream that leaves out the entry of this id."""
    # Nothing is at the beginning, and the server refuses what would come before it.
    return position if position.strip("0-") == "" else f"({position}"


def event_of(entry: Reply | tuple[bytes, list[bytes]]) -> Event:
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
