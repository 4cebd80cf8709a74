"""One client's connection. Nothing that the other side does, or leaves undone, may hold more than this.

What must be true: every wait for the client has an end, whatever goes wrong stays in here, and when the last line
is reached no task of the connection is left.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import trio
from hypercorn.events import Closed, RawData, Updated
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from tinytown.web.http1 import Http1, Requests

if TYPE_CHECKING:
    from hypercorn.config import Config
    from hypercorn.events import Event
    from hypercorn.trio.worker_context import WorkerContext

    from tinytown.web.asgi import Asgi

log = logging.getLogger("townhall.http")

Stream: TypeAlias = "trio.SocketStream | trio.SSLStream[trio.SocketStream]"

READ_BYTES = 1 << 16
WRITE_BYTES = 1 << 16
"""Of one write; the time for a write counts for so many bytes."""

LINGER = 1.0
LINGER_BYTES = 4 << 20
"""How long, and for how much, a client that was refused is listened to. Closed at once, its own system would throw
the answer away as soon as it sends on."""

LAST_WORDS = 5.0
"""Seconds that an application has after its client has gone."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client is waited for, in seconds."""

    idle: float = 5.0
    """For the whole head of a request, from the end of the answer before it."""
    write: float = 20.0
    """For the client to take 64 KiB."""
    handshake: float = 5.0


class Connection:
    """One client, from its first byte to its last. `serve` it once."""

    def __init__(self, stream: Stream, app: Asgi, config: Config, context: WorkerContext, patience: Patience) -> None:
        self._stream = stream
        self._transport = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        self._app = app
        self._config = config
        self._context = context
        self._patience = patience
        self._reading = trio.CancelScope()
        self._writing = trio.Lock()
        self._rests = False
        self._over = False
        self._broken = False

    async def serve(self) -> None:
        """Answer its requests. Returns when it is closed, and raises nothing but `trio.Cancelled`."""
        try:
            if await self._shake_hands():
                await self._converse()
        except* OSError:
            # It went away between two calls.
            pass
        except* Exception:
            log.exception("A connection failed")
        finally:
            await trio.aclose_forcefully(self._stream)

    def retire(self) -> None:
        """Close it if nothing is under way. Once the context is terminated, it closes after a running answer."""
        if self._rests:
            self._reading.cancel()

    async def _shake_hands(self) -> bool:
        if not isinstance(self._stream, trio.SSLStream):
            return True
        try:
            with trio.fail_after(self._patience.handshake):
                await self._stream.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            return False
        return True

    async def _converse(self) -> None:
        plain = self._transport.socket
        async with trio.open_nursery() as requests:
            self._http = Http1(
                self._app,  # type: ignore[arg-type]  # only handed through to `Requests`
                self._config,
                self._context,
                Requests(requests, self._app, self._config.max_app_queue_size),  # type: ignore[arg-type]
                ConnectionState(self._peer(plain)),
                isinstance(self._stream, trio.SSLStream),
                parse_socket_addr(plain.family, plain.getpeername()),
                parse_socket_addr(plain.family, plain.getsockname()),
                self._obey,
            )
            self._rest(rests=True)
            gone = await self._read()
            requests.cancel_scope.deadline = trio.current_time() + LAST_WORDS
            await self._http.handle(Closed())
        if not gone and not self._broken:
            await self._part()

    def _peer(self, plain: trio.socket.SocketType) -> dict[str, object]:
        """What is known of who connects: the certificate it showed, or the process behind a Unix socket."""
        if isinstance(self._stream, trio.SSLStream):
            return {"tls_peer": self._stream.getpeercert() or None}
        if plain.family == socket.AF_UNIX and hasattr(socket, "SO_PEERCRED"):
            raw = plain.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            return {"peer_uid": struct.unpack("3i", raw)[1]}
        return {}

    async def _read(self) -> bool:
        """Hand on what arrives until the connection is over; says whether it was the client who ended it."""
        with self._reading:
            while not self._over:
                try:
                    data = await self._stream.receive_some(READ_BYTES)
                except (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError):
                    return True
                await self._http.handle(RawData(bytes(data)))
                if not data:
                    return True
        return False

    async def _obey(self, event: Event) -> None:
        """What the protocol wants to happen to the connection."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Closed):
            self._end()
        elif isinstance(event, Updated):
            self._rest(rests=event.idle)

    def _rest(self, *, rests: bool) -> None:
        self._rests = rests
        self._reading.deadline = trio.current_time() + self._patience.idle if rests else math.inf

    def _end(self, *, broken: bool = False) -> None:
        """Let the reader come to its end: it alone closes, wherever it is waiting."""
        self._over = True
        self._broken = self._broken or broken
        self._reading.cancel()

    async def _write(self, data: bytes) -> None:
        # A lock that is free costs no turn of the scheduler in this way.
        try:
            self._writing.acquire_nowait()
        except trio.WouldBlock:
            await self._writing.acquire()
        try:
            for start in range(0, len(data), WRITE_BYTES):
                if self._broken:
                    return
                await self._send(data[start : start + WRITE_BYTES])
        finally:
            self._writing.release()

    async def _send(self, data: bytes) -> None:
        rest = data[self._send_at_once(data) :]
        if not rest:
            return
        try:
            with trio.fail_after(self._patience.write):
                await self._stream.send_all(rest)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            self._end(broken=True)
        except trio.Cancelled:
            # Half of it may be out: whatever followed would be read as something else.
            self._end(broken=True)
            raise

    def _send_at_once(self, data: bytes) -> int:
        """How many bytes the system took without a wait, which is all of them unless the client is slow.

        A turn of the scheduler and a deadline cost as much as the rest of a write. Reading gives way to others often
        enough for both.
        """
        if self._transport is not self._stream:
            return 0
        try:
            return os.write(self._transport.socket.fileno(), data)
        except OSError:
            # It is full, or gone: the stream knows what to do about either.
            return 0

    async def _part(self) -> None:
        """Say that nothing more comes; listen on to a client that still sends, so that it reads its answer."""
        try:
            await self._transport.send_eof()
            left = LINGER_BYTES if self._http.client_sends else 0
            with trio.move_on_after(LINGER):
                while left > 0 and (data := await self._transport.receive_some(READ_BYTES)):
                    left -= len(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            return
