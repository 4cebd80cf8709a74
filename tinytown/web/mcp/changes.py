"""Subscriptions: who reads a resource is told when it has changed, from the journal.

One task follows the journal, from the first subscription on. What changes in quick succession is told once. A
client says again what it wants to know when it connects again: nothing is replayed.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import trio
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated

from tinytown.errors import TownError
from tinytown.transport.connection import pauses
from tinytown.web.mcp.resources import AGENTS, BACKLOG, MISSIONS, TOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.server.connection import Connection
    from mcp.server.context import ServerRequestContext
    from mcp_types import SubscriptionsListenRequestParams, SubscriptionsListenResult

    from tinytown.records import Event
    from tinytown.runtime.town import Town

log = logging.getLogger("townhall.mcp")

PAUSE = 0.2
"""Seconds in which changes are gathered before they are told."""

MOST_URIS = 1000
"""Resources that one connection may subscribe to."""


@dataclass(slots=True)
class _Subscriber:
    """What one connection wants to know of, and what of that it has not been told yet."""

    wanted: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    is_told: bool = False


class Changes:
    """Who wants to know of what, and the task that tells them."""

    def __init__(self, town: Town, nursery: trio.Nursery) -> None:
        self._town = town
        self._nursery = nursery
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._connections: dict[Connection, _Subscriber] = {}
        self._names: dict[str, str] = {}
        self._changed: set[str] = set()
        self._wake = trio.Event()
        self._following = False

    # Clients of the sessions, until 2025-11-25.

    async def subscribe(self, context: ServerRequestContext[Any, Any], uri: str) -> bool:
        """Tell the connection of this request from here on; False when it has too many already."""
        await self._follow_from_now()
        # The public session is a new object for each request; what lasts is the connection behind it.
        connection = context.session._connection
        found = self._connections.get(connection)
        if found is None:
            found = self._connections[connection] = _Subscriber()
            connection.exit_stack.callback(self._connections.pop, connection, None)
        if uri not in found.wanted and len(found.wanted) >= MOST_URIS:
            return False
        found.wanted.add(uri)
        return True

    def unsubscribe(self, context: ServerRequestContext[Any, Any], uri: str) -> None:
        """Tell it no more."""
        found = self._connections.get(context.session._connection)
        if found is not None:
            found.wanted.discard(uri)

    # Clients of the streams, from 2026-07-28 on.

    async def listen(
        self, context: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        """Serve one stream of changes."""
        await self._follow_from_now()
        return await self._listen(context, params)

    def close(self) -> None:
        """End the streams in good order."""
        self._listen.close()

    async def _follow_from_now(self) -> None:
        if self._following:
            return
        self._following = True
        try:
            await self._nursery.start(self._follow)
        except BaseException:
            self._following = False
            raise
        self._nursery.start_soon(self._tell)

    async def _follow(self, task_status: trio.TaskStatus[None]) -> None:
        position = await self._town.journal.position()
        task_status.started()
        breaks = pauses()
        while True:
            try:
                async with aclosing(self._town.journal.follow(position)) as events:
                    async for event in events:
                        breaks = pauses()
                        position = event.id
                        await self._note(event)
            except TownError as error:
                log.warning("subscriptions: %s", error)
                await trio.sleep(next(breaks))

    async def _note(self, event: Event) -> None:
        name = None
        if event.agent is not None:
            name = self._names.get(event.agent)
            if name is None:
                self._names = {str(key): found for key, found in (await self._town.store.names()).items()}
                # One that has gone is not looked for again.
                name = self._names.setdefault(event.agent, "")
        self._changed.update(touched(event, name or None))
        self._wake.set()

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            await trio.sleep(PAUSE)
            self._wake = trio.Event()
            changed, self._changed = self._changed, set()
            for uri in sorted(changed):
                await self._bus.publish(ResourceUpdated(uri=uri))
            for connection, each in list(self._connections.items()):
                each.due |= each.wanted & changed
                if each.due and not each.is_told:
                    each.is_told = True
                    self._nursery.start_soon(self._deliver, connection, each)

    async def _deliver(self, connection: Connection, subscriber: _Subscriber) -> None:
        """One task for each connection: a slow one keeps nobody waiting, and gathers no more than its resources."""
        while subscriber.due and connection in self._connections:
            uri = min(subscriber.due)
            subscriber.due.discard(uri)
            await connection.send_resource_updated(uri)
        subscriber.is_told = False


def touched(event: Event, agent_name: str | None) -> Iterator[str]:
    """The resources that an event changes. Those of one record have two addresses: by its id, and by its name."""
    noun = event.type.partition(".")[0]
    yield TOWN
    if event.agent is not None:
        yield AGENTS
        yield f"tinytown://agents/{event.agent}"
        if agent_name is not None:
            yield f"tinytown://agents/{agent_name}"
    if event.task is not None:
        yield f"tinytown://tasks/{event.task}"
    if noun in ("backlog", "task"):
        yield BACKLOG
    if event.mission is not None:
        yield MISSIONS
        yield f"tinytown://missions/{event.mission}"
