"""HTTP/1.1 by hypercorn's protocol code, without what of it we do not serve: HTTP/2, websockets, upgrades.

hypercorn takes clear-text HTTP/2 and websockets from anybody, with no switch, and several packets of either end a
whole server. Here every request is one plain exchange. Three more things differ: the head of an answer leaves in
one write with the first of its body; an application is not told of a disconnect when it was itself that ended
the exchange (Quart-Trio would cancel itself over it, inside of its last send); and an application that fails
costs its own exchange, never the connection of another.

It leans on parts of hypercorn that are not public: the version is pinned exactly, and the hostile clients of
`tests/web/test_hostile.py` watch over it.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, cast

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import Request, Response, StreamClosed
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from tinytown.web.asgi import AsgiMessage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hypercorn.protocol.events import Event as StreamEvent
    from hypercorn.typing import ASGIReceiveEvent, ASGISendEvent, H11SendableEvent, Scope

    from tinytown.web.asgi import Asgi, Headers

log = logging.getLogger("townhall.http")

HEAD_BYTES = 16 * 1024
"""The head of a request; a longer one is answered with 431."""

REQUESTS_EACH = 1000
"""Requests on one connection before it is closed, so that none lives for ever."""


_VERSIONS = (b"1.0", b"1.1")

_TEXT = rb"[\x21-\x7e\x80-\xff]"
_PLAIN = re.compile(rb"(?:[-!#$%%&'*+.^_`|~0-9A-Za-z]+\0(?:%b(?:[ \t\x21-\x7e\x80-\xff]*%b)?)?\n)*" % (_TEXT, _TEXT))
"""Names and values, a line for each pair, that may stand in an answer as they are (RFC 9110 §5.1 and §5.5)."""


def protocol_config() -> Config:
    """What hypercorn's parts want to know. It logs nothing by itself."""
    config = Config()
    config.errorlog = None
    config.accesslog = None
    config.include_server_header = False
    config.h11_max_incomplete_size = HEAD_BYTES
    config.keep_alive_max_requests = REQUESTS_EACH
    return config


def are_plain(headers: Headers) -> bool:
    """No name and no value has anything in it that h11 would refuse, or that could end its line."""
    lines = b"".join([b"%b\0%b\n" % pair for pair in headers])
    return lines.count(b"\n") == len(headers) and _PLAIN.fullmatch(lines) is not None


class Http1(H11Protocol):
    """The requests of one connection, one after the other."""

    _head = b""

    async def _check_protocol(self, event: h11.Request) -> None:
        """No upgrade, and no HTTP/2 that begins as if it were a request."""

    async def _create_stream(self, request: h11.Request) -> None:
        if request.http_version not in _VERSIONS:
            await self._send_error_response(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
            await self.send(Closed())
            return
        self.stream = Exchange(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1

    async def stream_send(self, event: StreamEvent) -> None:
        """As hypercorn does, but all headers of an answer are checked in one go, not each name and value by itself.

        That is a tenth of what a short answer costs. What does not pass as a whole is left to h11 to refuse.
        """
        if not isinstance(event, Response) or event.status_code < HTTPStatus.OK:
            await super().stream_send(event)
            return
        headers = [*event.headers, *self.config.response_headers("h11")]
        if self.keep_alive_requests >= self.config.keep_alive_max_requests:
            headers.append((b"connection", b"close"))
        await self._send_h11_event(
            h11.Response(headers=headers, status_code=event.status_code, _parsed=are_plain(headers))
        )

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        try:
            encoded = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = encoded
            return
        whole, self._head = self._head + encoded, b""
        if whole:
            await self.send(RawData(data=whole))

    @property
    def client_sends(self) -> bool:
        """The client has not sent all of its request, as far as this side has looked."""
        return self.connection.their_state not in (h11.DONE, h11.MUST_CLOSE, h11.CLOSED, h11.IDLE)


class Exchange(HTTPStream):
    """One request and its answer."""

    async def handle(self, event: StreamEvent) -> None:
        """As hypercorn does, but the end of a complete answer is no disconnect."""
        if isinstance(event, StreamClosed) and self.state is ASGIHTTPState.CLOSED:
            self.closed = True
            return
        await super().handle(event)


class Requests:
    """Starts the application for each request of one connection, in that connection's nursery."""

    def __init__(self, nursery: trio.Nursery, app: Asgi, queue: int) -> None:
        self._nursery = nursery
        self._app = app
        self._queue = queue

    async def spawn_app(
        self,
        app: object,
        config: Config,
        scope: Scope,
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Called by hypercorn; gives what hands a message to the application."""
        put, take = trio.open_memory_channel[AsgiMessage](self._queue)
        self._nursery.start_soon(self._answer, scope, take.receive, send)
        return cast("Callable[[ASGIReceiveEvent], Awaitable[None]]", put.send)

    async def _answer(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[AsgiMessage]],
        send: Callable[[ASGISendEvent | None], Awaitable[None]],
    ) -> None:
        try:
            await self._app(cast("AsgiMessage", scope), receive, cast("Callable[[AsgiMessage], Awaitable[None]]", send))
        except* Exception:
            log.exception("The application failed")
        # An answer that was not begun becomes an empty 500; one that was not ended is cut off.
        await send(None)
