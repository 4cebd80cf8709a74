"""The router: asked by the doors what a route wants, then called with the request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from tinytown.errors import TownError
from tinytown.web.doors.body import announces_body
from tinytown.web.refusals import UnknownRoute
from tinytown.web.routes.call import Answer, Call
from tinytown.web.routes.matching import RouteMap
from tinytown.web.routes.quart_face import QuartFace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinytown.web.asgi import AsgiMessage, AsgiScope, Receive, Send
    from tinytown.web.context import Access
    from tinytown.web.events import EventHub
    from tinytown.web.hall import Hall
    from tinytown.web.metrics import Metrics
    from tinytown.web.routes.endpoint import Endpoint


class TownRouter:
    """The routes of one hall."""

    def __init__(self, hall: Hall, endpoints: Sequence[Endpoint], *, metrics: Metrics, hub: EventHub) -> None:
        self._hall = hall
        self._metrics = metrics
        self.hub = hub
        self.routes = RouteMap(endpoints)
        self._quart = QuartFace([each for each in endpoints if not (each.hot or each.is_stream)])

    async def start(self) -> None:
        """Start what serves all clients. It ends with the hall."""
        await self.hub.start()

    def access(self, method: str, path: str) -> Access:
        """What a credential must hold for this; "known" for what is not served at all."""
        try:
            return self.routes.find(method, path)[0].access
        except TownError:
            return "known"

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request. Raises `TownError` for whoever makes it a problem."""
        method, path = scope["method"], scope["path"]
        if method == "OPTIONS":
            await self._options(path).send(send)
            return
        endpoint, given = self.routes.find(method, path)
        began = trio.current_time()
        status = 500

        async def send_on(message: AsgiMessage) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._serve(endpoint, Call(self._hall, scope, given), receive, send_on)
        except TownError as error:
            status = error.http_status
            raise
        finally:
            seconds = None if endpoint.is_stream else trio.current_time() - began
            self._metrics.count(endpoint.method, endpoint.path, status, seconds)

    async def _serve(self, endpoint: Endpoint, call: Call, receive: Receive, send: Send) -> None:
        if endpoint.is_stream:
            await endpoint.stream(call, receive, send)
            return
        if announces_body(call.scope):
            call = replace(call, body=bytes((await receive()).get("body", b"")))
        answer = await (endpoint if endpoint.hot else self._quart).answer(call)
        await answer.send(send, with_body=call.scope["method"] != "HEAD")

    def _options(self, path: str) -> Answer:
        allowed = self.routes.allowed(path)
        if not allowed:
            raise UnknownRoute(f"Nothing is served at {path[:100]}")
        return Answer(204, headers=(("allow", ", ".join(allowed)),))
