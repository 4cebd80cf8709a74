"""The protocol over HTTP: sessions of the older revisions, single exchanges of the newest, and the oldest pair.

The doors have let every request through: its name, its origin and its credential are good. What it may do is asked
here for each call, and a session belongs to the credential that opened it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import trio
from hypercorn.utils import UnexpectedMessageError
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

from tinytown.web.context import asked_of, principal_of
from tinytown.web.doors.body import Gone
from tinytown.web.mcp.changes import Changes
from tinytown.web.mcp.server import TownServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.context import ServerRequestContext

    from tinytown.runtime.town import Town
    from tinytown.web.asgi import AsgiMessage, AsgiScope, Receive, Send
    from tinytown.web.hall import Hall

IDLE_SECONDS = 1800.0
"""After which a session that nobody uses is forgotten."""

MOST_SESSIONS = 1000

_NOISY = "mcp.server.streamable_http"


class HallDesk:
    """Many clients, each with a credential that the doors have seen."""

    reveal = False
    remedy = "Use a key that has it: tt auth gen-key --scopes ..."

    def __init__(self, hall: Hall) -> None:
        self._hall = hall

    def town(self, context: ServerRequestContext[Any, Any]) -> Town:
        """The town, as far as the credential of this very request goes."""
        return self._hall.town_for(principal_of(_scope_of(context)))

    def request_id(self, context: ServerRequestContext[Any, Any]) -> str:
        """That of the HTTP request."""
        return asked_of(_scope_of(context)).request_id

    async def admit(self, context: ServerRequestContext[Any, Any]) -> None:
        """Count a call that changes something. Raises `TooManyRequests`."""
        asked = asked_of(_scope_of(context))
        if asked.count_write is not None:
            asked.count_write()

    async def note(self, context: ServerRequestContext[Any, Any], what: str, *, status: int) -> None:
        """Write the record of the call."""
        scope = _scope_of(context)
        await self._hall.audit.write(scope, replace(asked_of(scope), object=what), status)


class HttpFace:
    """All of the protocol over HTTP, for one hall."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._changes = Changes(hall.town, hall.nursery)
        self._server = TownServer(HallDesk(hall), self._changes)
        most = hall.settings.request_bytes
        _hush_the_library()
        self._manager = StreamableHTTPSessionManager(
            self._server.sdk, session_idle_timeout=IDLE_SECONDS, max_sessions=MOST_SESSIONS, max_request_body_size=most
        )
        self._sse = {
            prefix: SseServerTransport(f"{prefix}/messages", max_request_body_size=most) for prefix in ("", "/mcp")
        }

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the sessions, until the hall closes. Calls that are under way when it stops have its grace."""
        async with self._manager.run():
            task_status.started()
            await self._hall.stopping.wait()
            self._changes.close()
            await trio.sleep_forever()

    async def stream(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """One request of Streamable HTTP."""
        if scope["method"] == "GET":
            await self._until_stop(lambda send: self._manager.handle_request(_owned(scope), receive, send), send)
            return
        try:
            await self._manager.handle_request(_owned(scope), receive, send)
        except UnexpectedMessageError:
            # The library found its client gone, and would tell it so.
            raise Gone from None

    async def sse(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """The stream of the older transport: as long as it is open, so is the session."""
        transport = self._sse[_prefix(scope)]

        async def serve(send: Send) -> None:
            async with transport.connect_sse(_owned(scope), receive, send) as (incoming, outgoing):
                await self._server.sdk.run(incoming, outgoing, self._server.options())

        await self._until_stop(serve, send)

    async def _until_stop(self, serve: Callable[[Send], Awaitable[None]], send: Send) -> None:
        """Serve a stream that has no end of its own; when the hall stops it ends in good order."""
        is_open = False
        # A stream that is cut in the middle of a write cannot end in good order.
        writing = trio.Lock()

        async def send_on(message: AsgiMessage) -> None:
            nonlocal is_open
            async with writing:
                await send(message)
                if message["type"] == "http.response.start" and message["status"] == 200:
                    # The head leaves with the first bytes: a comment, so that the client knows that it is heard.
                    await send({"type": "http.response.body", "body": b":\r\n\r\n", "more_body": True})
            is_open = message["type"] == "http.response.start" or bool(message.get("more_body"))

        async def stop(whole: trio.CancelScope) -> None:
            await self._hall.stopping.wait()
            async with writing:
                whole.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop, nursery.cancel_scope)
            await serve(send_on)
            nursery.cancel_scope.cancel()
        if is_open and self._hall.stopping.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def messages(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """A message of the older transport."""
        await self._sse[_prefix(scope)].handle_post_message(_owned(scope), receive, send)


def _hush_the_library() -> None:
    """Let the library log where we do, but not that a client has gone: clients come and go."""
    ours, theirs = logging.getLogger("townhall"), logging.getLogger("mcp")
    if ours.handlers:
        theirs.handlers[:] = ours.handlers
        theirs.propagate = False
    if not any(isinstance(each, _Departures) for each in logging.getLogger(_NOISY).filters):
        logging.getLogger(_NOISY).addFilter(_Departures())


class _Departures(logging.Filter):
    """Keeps back what a client left behind that has gone."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, anyio.ClosedResourceError | anyio.BrokenResourceError | UnexpectedMessageError)


def _scope_of(context: ServerRequestContext[Any, Any]) -> AsgiScope:
    """The request of HTTP that a message came with: over HTTP there is none without."""
    found: AsgiScope = context.request.scope  # type: ignore[union-attr]
    return found


def _prefix(scope: AsgiScope) -> str:
    found: str = scope["path"].rpartition("/")[0]
    return found


def _owned(scope: AsgiScope) -> AsgiScope:
    """The request with its owner as the library knows owners. The credential itself goes no further."""
    principal = principal_of(scope)
    owner = AccessToken(token="-", client_id=principal.id, scopes=sorted(principal.scopes))  # noqa: S106
    return {**scope, "user": AuthenticatedUser(owner)}
