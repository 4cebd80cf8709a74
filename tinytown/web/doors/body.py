"""The body of a request, read as a whole before any handler runs: one limit and one deadline for every route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tinytown.errors import TooLarge
from tinytown.web.asgi import header
from tinytown.web.refusals import BadRequest, SlowRequest, UnsupportedMedia

if TYPE_CHECKING:
    from tinytown.web.asgi import AsgiMessage, AsgiScope, Receive

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Gone(Exception):
    """The client has gone before its request was complete."""


def announces_body(scope: AsgiScope) -> bool:
    """The head of the request says that a body follows."""
    length = header(scope, b"content-length")
    return header(scope, b"transfer-encoding") is not None or (length is not None and length != b"0")


def check_head(scope: AsgiScope, limit: int) -> None:
    """Refuse by the head alone: a body that is no JSON, or longer than `limit` bytes."""
    length = header(scope, b"content-length")
    if length is not None:
        if not length.isdigit():
            raise BadRequest("Content-Length is no number")
        if len(length) > len(str(limit)) or int(length) > limit:
            raise too_large(limit)
    if scope["method"] in WRITES and announces_body(scope):
        kind = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise UnsupportedMedia("The body of a request is JSON here")


async def read_body(receive: Receive, *, limit: int, seconds: float) -> bytes:
    """The whole body. Raises `TooLarge`, `SlowRequest`, and `Gone`."""
    parts: list[bytes] = []
    size = 0
    with trio.move_on_after(seconds):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            part: bytes = message.get("body", b"")
            size += len(part)
            if size > limit:
                raise too_large(limit)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
    raise SlowRequest("The request did not arrive as a whole in time")


def whole(body: bytes, receive: Receive) -> Receive:
    """Gives the body in one message, then what the server has to say: that the client has gone."""
    waiting: list[AsgiMessage] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_whole() -> AsgiMessage:
        return waiting.pop() if waiting else await receive()

    return receive_whole


def too_large(limit: int) -> TooLarge:
    """The refusal of a body that is too long."""
    return TooLarge(f"The body of a request may have {limit:,} bytes", hint="The limit is [limits] request_bytes.")
