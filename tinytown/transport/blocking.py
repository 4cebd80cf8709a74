"""The connection of the short-lived `tt` commands: one plain socket, no event loop.

Its operations are `async` only to fit the contract; none of them ever suspends, so `run_sync` runs any operation
built on them to its end. What must stay true: this module imports neither trio, asyncio nor redis-py, and for a
Unix socket not even `socket` (10 ms of every `tt`), only what that is made of.

A connection whose command was cut short (Ctrl-C, no reply in time) is out of step and is therefore closed; the
next command opens a new one.
"""

from __future__ import annotations

import _socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import hiredis

from tinytown.errors import RedisUnreachable, TownError
from tinytown.transport.address import connectable
from tinytown.transport.connection import (
    Misplaced,
    NotReady,
    error_of,
    greeting,
    lost,
    pack,
    pauses,
    settled,
    unreachable,
    unwelcome,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
    from types import TracebackType
    from typing import Self

    from tinytown.transport.address import Address
    from tinytown.transport.connection import Reply, Value

T = TypeVar("T")

_CHUNK = 65536
_NOTHING = object()
_CONNECT_PAUSE = 0.01
"""Seconds until the next try when a Unix socket's backlog is full (EAGAIN, which says nothing about when)."""


def run_sync(operation: Coroutine[object, object, T]) -> T:
    """Run an operation that never suspends to its end and return its result.

    Raises what the operation raises, and `RuntimeError` when it does suspend: it used something that needs trio.
    """
    try:
        operation.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    operation.close()
    raise RuntimeError(
        f"{operation!r} waits for an event loop; only operations on a BlockingConnection run without one"
    )


class BlockingConnection:
    """A connection for one thread. It connects at the first command; `close` it, or use it in a `with` block.

    `reply_within` is the longest silence, in seconds, while a reply is due; after it the connection is dropped and
    the command raises `RedisUnreachable`. `None` waits without end.
    """

    def __init__(self, address: Address, *, reply_within: float | None = 5.0) -> None:
        self._address = address
        self._reply_within = reply_within
        self._socket: _socket.socket | None = None
        self._reader = _reader()

    @property
    def address(self) -> Address:
        """Where it leads."""
        return self._address

    async def execute(self, *command: Value, repeat: bool = False) -> Reply:
        """Ask one command; see `Connection.execute`."""
        packed = pack(command)
        return self._persist(lambda: self._converse(packed, 1), repeat=repeat)[0]

    async def pipeline(self, commands: Sequence[Sequence[Value]], *, repeat: bool = False) -> list[Reply]:
        """Ask several commands in one write; see `Connection.pipeline`."""
        packed = b"".join([pack(tuple(command)) for command in commands])
        return self._persist(lambda: self._converse(packed, len(commands)), repeat=repeat)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[BlockingConnection]:
        """A second connection, without a limit on silence; see `Connection.dedicated`."""
        with BlockingConnection(self._address, reply_within=None) as connection:
            yield connection

    def close(self) -> None:
        """End the connection. The next command would open a new one."""
        open_socket, self._socket = self._socket, None
        self._reader = _reader()
        if open_socket is not None:
            open_socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _persist(self, attempt: Callable[[], list[Reply]], *, repeat: bool) -> list[Reply]:
        """Try until the server is ready, for as long as a reply may take, and once more if `repeat` allows it."""
        between = pauses()
        deadline = time.monotonic() + (5.0 if self._reply_within is None else self._reply_within)
        while True:
            try:
                return attempt()
            except NotReady as error:
                if isinstance(error, Misplaced):
                    self.close()
                pause = next(between)
                if time.monotonic() + pause >= deadline:
                    raise
                time.sleep(pause)
            except RedisUnreachable:
                if not repeat:
                    raise
                repeat = False

    def _converse(self, packed: bytes, count: int) -> list[Reply]:
        """Send the packed commands and read as many replies; raise the first error among them."""
        if self._socket is None:
            self._connect()
        return settled(self._exchange(packed, count), self._address)

    def _exchange(self, packed: bytes, count: int) -> list[Reply | TownError]:
        """One write, `count` replies. Whatever cuts it short closes the connection."""
        assert self._socket is not None
        replies: list[Reply | TownError] = []
        take = self._reader.gets
        try:
            self._socket.sendall(packed)
            while len(replies) < count:
                reply = take()
                if reply is _NOTHING:
                    self._reader.feed(_some(self._socket.recv(_CHUNK)))
                elif not isinstance(reply, hiredis.PushNotification):
                    replies.append(reply)
        except TimeoutError:
            self.close()
            raise lost(self._address, f"no answer within {self._reply_within:g} s") from None
        except (OSError, EOFError, hiredis.ProtocolError) as error:
            self.close()
            raise lost(self._address, getattr(error, "strerror", None) or str(error)) from error
        except BaseException:
            self.close()
            raise
        return replies

    def _connect(self) -> None:
        try:
            self._socket = _dial(self._address, self._reply_within)
        except OSError as error:
            raise unreachable(self._address, error) from error
        try:
            for command in greeting(self._address):
                self._converse(pack(command), 1)
        except TownError as error:
            self.close()
            raise unwelcome(self._address, error) from None


def _some(chunk: bytes) -> bytes:
    if not chunk:
        raise EOFError("the server closed the connection")
    return chunk


def _reader() -> hiredis.Reader:
    return hiredis.Reader(replyError=error_of, notEnoughData=_NOTHING)


def _dial(address: Address, within: float | None) -> _socket.socket:
    """A connected socket whose waits end after `within` seconds."""
    if address.path is not None:
        with connectable(address.path) as name:
            return _dial_unix(name, within)
    import socket

    connection = socket.create_connection((address.host, address.port), within)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if address.tls is None:
        return connection
    try:
        return address.tls.context().wrap_socket(connection, server_hostname=address.host)
    except BaseException:
        connection.close()
        raise


def _dial_unix(name: str, within: float | None) -> _socket.socket:
    deadline = None if within is None else time.monotonic() + within
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(within)
        while True:
            try:
                connection.connect(name)
            except BlockingIOError:
                if deadline is not None and time.monotonic() >= deadline:
                    raise
                time.sleep(_CONNECT_PAUSE)
            else:
                return connection
    except BaseException:
        connection.close()
        raise
