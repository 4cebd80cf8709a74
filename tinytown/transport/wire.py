"""The bytes under a multiplexed connection: a plain socket, or one inside TLS.

Both are dialled by `dial` and look alike to the link above them. The plain one may also be written at once,
without a task switch; that is what a lone command in an idle runtime is answered by.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Protocol

import trio

from tinytown.transport.address import connectable
from tinytown.transport.connection import unreachable

if TYPE_CHECKING:
    import ssl

    from tinytown.transport.address import Address

CHUNK = 65536
"""Bytes asked for in one read: the replies of some hundred commands."""

_CONNECT_PAUSE = 0.01
"""Seconds until the next try when a Unix socket's backlog is full: it answers EAGAIN and never tells when."""

_KEEPALIVE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""A peer that is gone without a word is noticed within 30 s, even when nothing but a blocking command waits."""


class Wire(Protocol):
    """A connected stream of bytes. Reading ends with `b""`; every failure is an `OSError`."""

    def send_now(self, payload: bytes) -> int:
        """Send what can be sent without waiting, and return how many bytes that was; 0 when it fails."""
        ...

    async def send(self, payload: bytes) -> None:
        """Send all of it."""
        ...

    async def receive(self) -> bytes:
        """The next bytes, as soon as there are any."""
        ...

    async def close(self) -> None:
        """End it, whatever state it is in, without waiting for the other side."""
        ...


async def dial(address: Address, within: float) -> Wire:
    """Connect within so many seconds.

    Raises `RedisUnreachable`, `RedisRefused` (its certificate) or `InvalidConfig` (a TLS file of ours).
    """
    try:
        with trio.move_on_after(within):
            return await _dial(address)
    except OSError as error:
        raise unreachable(address, error) from error
    raise unreachable(address, TimeoutError(f"it did not take the connection within {within:g} s"))


async def _dial(address: Address) -> Wire:
    if address.path is not None:
        with connectable(address.path) as name:
            return PlainWire(await _dial_unix(name))
    context = None if address.tls is None else address.tls.context()
    try:
        stream = await trio.open_tcp_stream(address.host, address.port)
    except OSError as error:
        cause = error.__cause__
        # Of a host's several addresses, what the last one said tells more than "all attempts failed".
        last = cause.exceptions[-1] if isinstance(cause, BaseExceptionGroup) else cause
        raise last if isinstance(last, OSError) else error from None
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _KEEPALIVE.items():
        if hasattr(socket, option):
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
    if context is None:
        return PlainWire(socket.socket(fileno=stream.socket.detach()))
    return await _encrypt(stream, context, address.host)


async def _dial_unix(name: str) -> socket.socket:
    # Not trio's own connect: it takes EAGAIN for "in progress", and would hand out a socket that is not connected.
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(0)
        while True:
            await trio.lowlevel.checkpoint()
            try:
                connection.connect(name)
            except BlockingIOError:
                await trio.sleep(_CONNECT_PAUSE)
            else:
                return connection
    except BaseException:
        connection.close()
        raise


async def _encrypt(stream: trio.SocketStream, context: ssl.SSLContext, host: str) -> Wire:
    encrypted = trio.SSLStream(stream, context, server_hostname=host)
    try:
        await encrypted.do_handshake()
    except trio.BrokenResourceError as error:
        await trio.aclose_forcefully(encrypted)
        # trio wraps what OpenSSL said; the reader wants to know about the certificate.
        cause = error.__cause__
        raise cause if isinstance(cause, OSError) else ConnectionResetError("the TLS handshake failed") from error
    except BaseException:
        await trio.aclose_forcefully(encrypted)
        raise
    return TlsWire(encrypted)


class PlainWire:
    """A Unix or TCP socket, driven directly: trio's own stream classes cost a third of the throughput."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        self._socket = connection

    def send_now(self, payload: bytes) -> int:
        """See `Wire.send_now`."""
        try:
            return self._socket.send(payload)
        except OSError:
            return 0

    async def send(self, payload: bytes) -> None:
        """See `Wire.send`."""
        rest = memoryview(payload)
        while True:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self._socket)
            else:
                if not rest:
                    return

    async def receive(self) -> bytes:
        """See `Wire.receive`."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                return self._socket.recv(CHUNK)
            except BlockingIOError:
                continue

    async def close(self) -> None:
        """See `Wire.close`."""
        trio.lowlevel.notify_closing(self._socket)
        self._socket.close()


class TlsWire:
    """A TCP socket inside TLS."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream

    def send_now(self, payload: bytes) -> int:
        """See `Wire.send_now`."""
        return 0

    async def send(self, payload: bytes) -> None:
        """See `Wire.send`."""
        try:
            await self._stream.send_all(payload)
        except trio.BrokenResourceError as error:
            raise ConnectionResetError(str(error) or "the connection broke") from error

    async def receive(self) -> bytes:
        """See `Wire.receive`."""
        try:
            return bytes(await self._stream.receive_some(CHUNK))
        except trio.BrokenResourceError as error:
            raise ConnectionResetError(str(error) or "the connection broke") from error

    async def close(self) -> None:
        """See `Wire.close`."""
        await trio.aclose_forcefully(self._stream)
