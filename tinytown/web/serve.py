"""The server: takes connections on its listeners until it is told to stop, and ends with none left.

hypercorn's own `serve` is not used: there one packet from anybody ends the whole process, connections that rest
are never closed under Quart, and one client that stops reading holds the stop for ever. What is kept of it is
the protocol (`http1`). There is no ASGI lifespan: whoever serves starts its services before, and ends them after.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import trio
from hypercorn.trio.worker_context import WorkerContext

from tinytown.web.accepting import Eager
from tinytown.web.connection import Connection, Patience
from tinytown.web.http1 import protocol_config
from tinytown.web.problems import TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.web.accepting import Listener
    from tinytown.web.asgi import Asgi
    from tinytown.web.connection import Stream

log = logging.getLogger("townhall.http")

_REFUSED = json.dumps(
    {
        "type": f"{TYPES}503",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "Townhall has as many connections as it takes",
        "code": "too_many_connections",
    }
).encode()
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 5\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(_REFUSED), _REFUSED)
)


class Server:
    """Serves one application on its listeners."""

    def __init__(
        self,
        app: Asgi,
        listeners: Sequence[Listener],
        *,
        most: int = 2000,
        grace: float = 5.0,
        patience: Patience | None = None,
    ) -> None:
        """`most` connections at a time; `grace` seconds for answers that are under way at the end."""
        self._app = app
        self._listeners = listeners
        self._most = most
        self._grace = grace
        self._patience = patience or Patience()
        self._config = protocol_config()
        self._context = WorkerContext(None)
        self._live: set[Connection] = set()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._live)

    async def run(self, stop: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop`, then let running answers end within the grace. Its listeners are closed then.

        Connections that rest are closed at once; an answer that is not complete by the end of the grace is cut.
        """
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                accepting.start_soon(self._accept, connections)
                task_status.started()
                await stop.wait()
                accepting.cancel_scope.cancel()
            await self._context.terminated.set()
            for connection in list(self._live):
                connection.retire()
            connections.cancel_scope.deadline = trio.current_time() + self._grace

    async def _accept(self, connections: trio.Nursery) -> None:
        await trio.serve_listeners(self._take, [Eager(each) for each in self._listeners], handler_nursery=connections)

    async def _take(self, stream: Stream) -> None:
        if len(self._live) >= self._most:
            await self._turn_away(stream)
            return
        connection = Connection(stream, self._app, self._config, self._context, self._patience)
        self._live.add(connection)
        try:
            await connection.serve()
        finally:
            self._live.discard(connection)

    async def _turn_away(self, stream: Stream) -> None:
        """Say that there is no room; whoever is slow to listen is not waited for."""
        with trio.move_on_after(1):
            try:
                await stream.send_all(_FULL)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                log.debug("A client that was turned away had gone")
        await trio.aclose_forcefully(stream)
