"""Live events: the journal as server-sent events, for as many clients as there are connections.

One task follows the journal for all. Each event is written once, and every client has a bounded queue of what it has
not been sent. A client that does not keep up is cut, and comes back with the id of the last event that it saw; what
it missed is read from the journal, which outlives townhall.
"""

from __future__ import annotations

import json
import logging
import re
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from tinytown.errors import TownError
from tinytown.transport.connection import pauses
from tinytown.web.routes.call import misfit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tinytown.records import Event
    from tinytown.transport.journal import Journal
    from tinytown.web.asgi import Headers, Receive, Send
    from tinytown.web.hall import Hall
    from tinytown.web.routes.call import Call

log = logging.getLogger("townhall")

HEARTBEAT = 15.0
"""Seconds without an event after which a client is sent a comment, so that whatever is in between stays open."""
RETRY_MS = 2000
MOST_FRAMES = 1000
MOST_BYTES = 512 << 10
"""What may wait for one client. The frames are shared by all."""

_PAGE = 500
POSITION = "^((0|[1-9][0-9]{0,14})(-(0|[1-9][0-9]{0,18}))?)?$"
"""The id of an event; nothing is none."""

_NAME = re.compile(r"[\w.-]{1,80}", re.ASCII)
_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def frame_of(event: Event) -> bytes:
    """An event as it is sent."""
    name = event.type if _NAME.fullmatch(event.type) else "unknown"
    text = json.dumps(event.to_json(), ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.id}\nevent: {name}\ndata: {text}\n\n".encode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a client wants. Ids are whole; `type` is a type, or the noun of several."""

    agent: str | None = None
    task: str | None = None
    mission: str | None = None
    type: str | None = None

    def wants(self, event: Event) -> bool:
        """Whether the event is one of them."""
        return (
            self.agent in (None, event.agent)
            and self.task in (None, event.task)
            and self.mission in (None, event.mission)
            and (self.type is None or event.type == self.type or event.type.startswith(f"{self.type}."))
        )


class Client:
    """What waits for one client."""

    __slots__ = ("bytes", "filter", "frames", "is_cut", "wake")

    def __init__(self, wanted: Filter) -> None:
        self.filter = wanted
        self.frames: deque[bytes] = deque()
        self.bytes = 0
        self.is_cut = False
        self.wake = trio.Event()

    def offer(self, frame: bytes) -> bool:
        """Let it wait for this client; False when too much waits already, and the client is cut."""
        self.is_cut = len(self.frames) >= MOST_FRAMES or self.bytes + len(frame) > MOST_BYTES
        if not self.is_cut:
            self.frames.append(frame)
            self.bytes += len(frame)
        self.wake.set()
        return not self.is_cut

    def take(self) -> bytes:
        """All that waits."""
        found = b"".join(self.frames)
        self.frames.clear()
        self.bytes = 0
        return found


class EventHub:
    """The live events of one hall. `listeners` hear every event first."""

    def __init__(self, hall: Hall, *, listeners: tuple[Callable[[Event], None], ...] = ()) -> None:
        self._hall = hall
        self._listeners = listeners
        self.clients: set[Client] = set()
        self.cut = 0
        """Clients that did not keep up."""
        self.position = "0"
        """The last event that every client has been offered."""

    @property
    def _journal(self) -> Journal:
        return self._hall.town.journal

    async def start(self) -> None:
        """Follow the journal from here on, until the hall closes."""
        self.position = await self._journal.position()
        self._hall.nursery.start_soon(self._follow)
        self._hall.nursery.start_soon(self._end)

    async def _follow(self) -> None:
        breaks = pauses()
        while True:
            try:
                async with aclosing(self._journal.follow(self.position)) as events:
                    async for event in events:
                        breaks = pauses()
                        self._publish(event)
            except TownError as error:
                log.warning("live events: %s", error)
                await trio.sleep(next(breaks))

    async def _end(self) -> None:
        await self._hall.stopping.wait()
        for client in self.clients:
            client.wake.set()

    def _publish(self, event: Event) -> None:
        self.position = event.id
        for listener in self._listeners:
            listener(event)
        frame = frame_of(event)
        behind = [each for each in self.clients if each.filter.wants(event) and not each.offer(frame)]
        for client in behind:
            self.clients.discard(client)
            self.cut += 1

    async def serve(self, call: Call, receive: Receive, send: Send) -> None:
        """Send events until the client goes, falls behind, or townhall stops.

        Raises `Unprocessable`, `AgentNotFound`, `TaskNotFound` before anything is sent.
        """
        asked = call.parameters("agent", "task", "mission", "type", "after")
        seen, after = call.header("last-event-id") or "", asked.get("after", "")
        for name, place in (("Last-Event-ID", seen), ("after", after)):
            if re.fullmatch(POSITION, place) is None:
                raise misfit(name, "expected the id of an event")
        last = seen or after
        wanted = await self._filter(call, asked)
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if call.scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
            await self._attend(Client(wanted), last, send)
            nursery.cancel_scope.cancel()

    async def _filter(self, call: Call, asked: Mapping[str, str]) -> Filter:
        store = call.town.store
        agent = (await store.find_agent(asked["agent"])).id if asked.get("agent") else None
        task = (await store.find_task(asked["task"])).id if asked.get("task") else None
        return Filter(agent, task, asked.get("mission") or None, asked.get("type") or None)

    async def _attend(self, client: Client, last: str, send: Send) -> None:
        # From here on nothing is missed: what is in the journal until now is read, the rest is offered.
        now = self.position
        self.clients.add(client)
        try:
            await _write(send, f"retry: {RETRY_MS}\nid: {last or now}\n\n".encode())
            if last:
                async for frames in self._replay(client.filter, last, now):
                    await _write(send, frames)
            while not (client.is_cut or self._hall.stopping.is_set()):
                if client.frames:
                    await _write(send, client.take())
                    continue
                client.wake = trio.Event()
                with trio.move_on_after(HEARTBEAT) as silence:
                    await client.wake.wait()
                if silence.cancelled_caught:
                    await _write(send, b": still here\n\n")
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self.clients.discard(client)

    async def _replay(self, wanted: Filter, last: str, now: str) -> AsyncIterator[bytes]:
        """What has happened behind `last` up to `now`; before it a reset when some of it is forgotten."""
        if await self._is_forgotten(last, now):
            yield b"event: reset\ndata: {}\n\n"
        position = last
        while _place(position) < _place(now):
            events = await self._journal.after(position, _PAGE)
            if not events:
                return
            position = events[-1].id
            known = b"".join(
                frame_of(event) for event in events if wanted.wants(event) and _place(event.id) <= _place(now)
            )
            if known:
                yield known

    async def _is_forgotten(self, last: str, now: str) -> bool:
        """Whether the journal no longer reaches back to this event, or never had it."""
        if _place(last) == (0, 0):
            return False
        if _place(last) > _place(now):
            return True
        oldest = await self._journal.after("0", 1)
        return not oldest or _place(oldest[0].id) > _place(last)


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


async def _write(send: Send, frames: bytes) -> None:
    await send({"type": "http.response.body", "body": frames, "more_body": True})


def _place(event_id: str) -> tuple[int, int]:
    ms, _, number = event_id.partition("-")
    return int(ms), int(number or 0)
