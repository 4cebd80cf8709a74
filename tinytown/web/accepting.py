"""Taking connections, many at a time.

Trio takes one in each turn of its scheduler. While a hundred clients are served a turn is long, and whoever comes
among many, as after a restart, would wait for as many turns as there are others before him.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import trio

from tinytown.web.tls import SecureListener

if TYPE_CHECKING:
    from tinytown.web.connection import Stream

Listener: TypeAlias = "trio.SocketListener | SecureListener"

AT_ONCE = 64
"""Connections that are taken in one turn: the rest waits for the next, and the others are served in between."""


class Eager(trio.abc.Listener["Stream"]):
    """A listener that takes whatever waits in one go."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        plain = listener.plain if isinstance(listener, SecureListener) else listener
        # The same socket again, to be asked without a turn of the scheduler.
        self._again = socket.socket(fileno=os.dup(plain.socket.fileno()))
        self._again.setblocking(False)  # noqa: FBT003
        self._taken: deque[Stream] = deque()

    async def accept(self) -> Stream:
        """The next connection. Up to `AT_ONCE` of them come without a checkpoint."""
        if not self._taken:
            self._taken.append(await self._listener.accept())
            # What is wrong with the socket, the next call will hear in the proper way.
            with suppress(OSError):
                while len(self._taken) < AT_ONCE:
                    self._taken.append(self._stream(self._again.accept()[0]))
        return self._taken.popleft()

    def _stream(self, taken: socket.socket) -> Stream:
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(taken))
        return self._listener.secured(stream) if isinstance(self._listener, SecureListener) else stream

    async def aclose(self) -> None:
        """Take no more."""
        self._again.close()
        for stream in self._taken:
            # At once: under a cancellation nothing that has to wait would come to its end.
            (stream.transport_stream if isinstance(stream, trio.SSLStream) else stream).socket.close()
        self._taken.clear()
        await self._listener.aclose()
