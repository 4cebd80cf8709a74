"""The types of the ASGI protocol, as far as townhall speaks it: HTTP requests, nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

AsgiScope: TypeAlias = MutableMapping[str, Any]
AsgiMessage: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[AsgiMessage]]
Send: TypeAlias = Callable[[AsgiMessage], Awaitable[None]]
Asgi: TypeAlias = Callable[[AsgiScope, Receive, Send], Awaitable[None]]

Headers: TypeAlias = list[tuple[bytes, bytes]]


def header(scope: AsgiScope, name: bytes) -> bytes | None:
    """The first header of this name, which is given in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


def headers_named(scope: AsgiScope, name: bytes) -> list[bytes]:
    """All headers of this name, which is given in lower case."""
    return [value for key, value in scope["headers"] if key == name]
