"""Where the protocol is found over HTTP, behind the same doors as everything else.

    /mcp                    Streamable HTTP; all revisions, by the header that names one
    /mcp/sse  /mcp/messages the older pair: a stream, and messages to it
    /.well-known/oauth-protected-resource[/mcp]   what a credential for it has to be

A server that offers nothing else has the first three at `/`, `/sse` and `/messages`, too. This module is imported by
every townhall and stays light: the protocol's library is imported by the first request that needs it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

import trio

from tinytown.web.asgi import header
from tinytown.web.refusals import MethodNotAllowed, UnknownRoute

if TYPE_CHECKING:
    from tinytown.web.app import Router
    from tinytown.web.asgi import Asgi, AsgiMessage, AsgiScope, Receive, Send
    from tinytown.web.context import Access
    from tinytown.web.hall import Hall
    from tinytown.web.mcp.http import HttpFace

PREFIX = "/mcp"
METADATA = "/.well-known/oauth-protected-resource"

Part = Literal["stream", "sse", "messages", "metadata"]

_PARTS: dict[str, Part] = {
    PREFIX: "stream",
    f"{PREFIX}/": "stream",
    f"{PREFIX}/sse": "sse",
    f"{PREFIX}/messages": "messages",
    METADATA: "metadata",
    f"{METADATA}{PREFIX}": "metadata",
}
_ALONE: dict[str, Part] = {"/": "stream", "/sse": "sse", "/messages": "messages"}
_METHODS = {
    "stream": ("GET", "POST", "DELETE"),
    "sse": ("GET",),
    "messages": ("POST",),
    "metadata": ("GET", "HEAD"),
}
_METADATA_SECONDS = 3600


class McpRouter:
    """A router with the protocol, and what else is served `behind` it; without that, the protocol alone."""

    def __init__(self, hall: Hall, behind: Router | None = None) -> None:
        self._hall = hall
        self._behind = behind
        self._parts = _PARTS if behind is not None else _PARTS | _ALONE
        self._face: HttpFace | None = None
        self._starting = trio.Lock()

    async def start(self) -> None:
        """Start what is behind; the protocol itself begins with its first request, or with this one if it is alone."""
        if self._behind is None:
            await self._started()
        elif hasattr(self._behind, "start"):
            await self._behind.start()

    def access(self, method: str, path: str) -> Access:
        """Any credential that is good: what it may do is asked for each call."""
        part = self._parts.get(path)
        if part is not None:
            return "public" if part == "metadata" else "known"
        return "known" if self._behind is None else self._behind.access(method, path)

    def is_calls(self, path: str) -> bool:
        """Requests to this path are calls of the protocol: counted and recorded each by what it does."""
        return self._parts.get(path, "metadata") != "metadata"

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path: str = scope["path"]
        part = self._parts.get(path)
        if part is None:
            if self._behind is None:
                raise UnknownRoute(f"Nothing is served at {path[:100]}", hint=f"The endpoint is {PREFIX}.")
            await self._behind(scope, receive, send)
            return
        if scope["method"] not in _METHODS[part]:
            raise MethodNotAllowed(f"{scope['method']} is not served here", allow=_METHODS[part])
        if part == "metadata":
            await self._tell(scope, send)
            return
        face = await self._started()
        if part == "stream":
            await face.stream(scope, receive, send)
        elif part == "sse":
            await face.sse(scope, receive, send)
        else:
            await face.messages(scope, receive, send)

    async def _started(self) -> HttpFace:
        async with self._starting:
            if self._face is None:
                # In a thread: others are served while the library is imported.
                self._face = await trio.to_thread.run_sync(self._make_face)
                await self._hall.nursery.start(self._face.run)
        return self._face

    def _make_face(self) -> HttpFace:
        from tinytown.web.mcp.http import HttpFace

        return HttpFace(self._hall)

    async def _tell(self, scope: AsgiScope, send: Send) -> None:
        from tinytown.runtime.caller import Scope

        auth = self._hall.settings.auth
        said: dict[str, object] = {
            "resource": f"{_base(scope)}{PREFIX}",
            "resource_name": "Tinytown",
            "bearer_methods_supported": ["header"],
            "scopes_supported": [str(each) for each in Scope],
        }
        if auth.mode == "oidc":
            said["authorization_servers"] = [auth.issuer]
        body = json.dumps(said).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"public, max-age=%d" % _METADATA_SECONDS),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def challenged(app: Asgi, router: object) -> Asgi:
    """The application, which tells whoever calls the protocol without a good credential where to learn of one."""
    if not isinstance(router, McpRouter):
        return app

    async def with_challenge(scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not router.is_calls(scope["path"]):
            await app(scope, receive, send)
            return

        async def send_on(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                message = {**message, "headers": [_pointed(scope, *pair) for pair in message["headers"]]}
            await send(message)

        await app(scope, receive, send_on)

    return with_challenge


def _pointed(scope: AsgiScope, name: bytes, value: bytes) -> tuple[bytes, bytes]:
    if name.lower() != b"www-authenticate":
        return name, value
    where = f'resource_metadata="{_base(scope)}{METADATA}{PREFIX}"'.encode("latin-1")
    return name, value + (b", " if b"=" in value else b" ") + where


def _base(scope: AsgiScope) -> str:
    """The origin that the client used; the doors know its name."""
    host = (header(scope, b"host") or b"localhost").decode("latin-1")
    return f"{scope.get('scheme', 'http')}://{host}"
