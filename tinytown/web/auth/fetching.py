"""Fetching the keys of an issuer: over https, small, and nowhere but where it was said."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import trio

from tinytown.web.sockets import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MOST_BYTES = 64 << 10


def fetcher(client: httpx2.AsyncClient) -> Callable[[str], Awaitable[bytes]]:
    """What gets a small document. It raises `OSError` for whatever does not go well."""

    async def fetch(url: str) -> bytes:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise OSError("only https is fetched")
        found = bytearray()
        # Cancelled from inside, when it is too long: left in the middle, its generators would not be closed.
        with trio.CancelScope() as reading:
            try:
                async with client.stream("GET", url, follow_redirects=False) as response:
                    if response.status_code != httpx2.codes.OK:
                        raise OSError(f"the answer is {response.status_code}")
                    async for part in response.aiter_bytes():
                        found += part
                        if len(found) > MOST_BYTES:
                            reading.cancel()
            except httpx2.HTTPError as error:
                raise OSError(f"{type(error).__name__}: {error}") from error
        if reading.cancel_called:
            raise OSError(f"the answer is longer than {MOST_BYTES} bytes")
        return bytes(found)

    return fetch
