"""The twin of the Redis server: in this process, on trio's clock.

For tests about time (leases, retries, restarts after minutes) that a real server could only answer in real time.
With the autojump clock an hour passes at once, and `TIME`, expiry, `XREAD BLOCK` and the ids of streams follow it.
It is a *verified* fake: `tests/transport/test_twin.py` runs one suite on it and on a real server.

It is fakeredis underneath, with real Lua. Not there: blocking pops, and speed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any
from weakref import WeakKeyDictionary

import fakeredis
import fakeredis._helpers
import fakeredis._socket._base
import fakeredis.commands_mixins.server_mixin
import fakeredis.model._stream
import redis
import trio
from fakeredis._helpers import SimpleError
from fakeredis._socket._fakesocket import FakeSocket
from trio.testing import MockClock

from tinytown.errors import RedisUnreachable, TownError
from tinytown.transport.address import Address
from tinytown.transport.connection import Reply, ReplyError, Value, error_of, pack, settled

_BLOCKING = {b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BLMPOP", b"BZPOPMIN", b"BZPOPMAX", b"BZMPOP"}


class _TrioTime:
    """The `time` module as fakeredis sees it: its wall clock goes with trio's, where that is a mock."""

    def __init__(self) -> None:
        # The wall clock at which each mock clock began: that of the machine when it was first asked for.
        self._began: WeakKeyDictionary[MockClock, float] = WeakKeyDictionary()

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    def time(self) -> float:
        try:
            clock = trio.lowlevel.current_clock()
        except RuntimeError:
            return time.time()
        if not isinstance(clock, MockClock):
            return time.time()
        now = clock.current_time()
        return self._began.setdefault(clock, time.time() - now) + now


_clock = _TrioTime()

for _module in (
    fakeredis._helpers,
    fakeredis._socket._base,
    fakeredis.commands_mixins.server_mixin,
    fakeredis.model._stream,
):
    _module.time = _clock  # type: ignore[attr-defined]


class _Socket(FakeSocket):
    """One client of the fake server: the server's own words for errors, and what scripts of Redis 7 may use."""

    def _decode_error(self, error: SimpleError) -> TownError:
        return error_of(error.value)

    def _get_server_runtime(self, server: fakeredis.FakeServer) -> Any:
        runtime = super()._get_server_runtime(server)
        runtime.globals()[b"redis"][b"sha1hex"] = lambda text: hashlib.sha1(text).hexdigest().encode()
        return runtime

    def _empty_stream_read_reply(self, result: object) -> object:
        return result or None

    def eval(self, script: bytes, numkeys: int, *keys_and_args: bytes) -> object:
        if script.startswith(b"#!"):
            # The line stays, as a comment, so that errors name the right one.
            known_as = hashlib.sha1(script).hexdigest().encode()
            script = b"--" + script
            self._server.script_cache[known_as] = script
        return super().eval(script, numkeys, *keys_and_args)


class TwinServer:
    """The data, and all connections to it."""

    def __init__(self) -> None:
        self.address = Address.unix("/twin/redis.sock")
        self.is_up = True
        self._server = fakeredis.FakeServer(server_type="valkey", version=(8, 0))
        self._connections: list[Twin] = []
        self._changes = trio.lowlevel.ParkingLot()

    def connect(self) -> Twin:
        """A new connection."""
        return Twin(self)

    def join(self, connection: Twin) -> None:
        """Publish to this connection as well."""
        self._connections.append(connection)

    @contextmanager
    def outage(self) -> Iterator[None]:
        """For the time of the block nothing is done, and `RedisUnreachable` is raised; then all reconnect."""
        self.is_up = False
        self._changes.unpark_all()
        try:
            yield
        finally:
            self.is_up = True
            for connection in self._connections:
                connection.reconnected()

    def client(self) -> _Socket:
        return _Socket(self._server, 0, client_class=redis.Redis, client_info={"resp": 3})

    def ask(self, client: _Socket, command: Sequence[Value], *, waits: bool = False) -> Reply | TownError:
        """The reply to one command, or the error it is; whoever listens has heard what it published.

        One that `waits` for a change makes none: two of them would wake each other for ever.
        """
        if not self.is_up:
            raise RedisUnreachable("The twin is down.")
        client.sendall(pack(tuple(command)))
        reply: Reply | TownError = client.responses.get_nowait()
        if not waits:
            self._changes.unpark_all()
        for connection in self._connections:
            connection.listen()
        return reply

    async def wait_change(self) -> None:
        """Wait for the next command of anybody."""
        await self._changes.park()


async def _checkpoint() -> None:
    """What every operation of a connection is; outside trio it does not suspend, so that `run_sync` runs it."""
    if trio.lowlevel.in_trio_task():
        await trio.lowlevel.checkpoint()


class Twin:
    """A `ListeningConnection` to a twin server, its own if none is given."""

    def __init__(self, server: TwinServer | None = None) -> None:
        self._server = server = server or TwinServer()
        self._mouth = server.client()
        # fakeredis lets a subscriber say nothing else, as RESP2 had it.
        self._ear = server.client()
        server.join(self)
        self._callbacks: dict[bytes, Callable[[bytes], None]] = {}
        self._reconnect_callbacks: list[Callable[[], None]] = []

    @property
    def address(self) -> Address:
        return self._server.address

    async def execute(self, *command: Value, repeat: bool = False) -> Reply:
        await _checkpoint()
        words = [word.upper() if isinstance(word, bytes) else str(word).upper().encode() for word in command]
        assert words[0] not in _BLOCKING, "the twin has no blocking pops; the product must not use them"
        if words[0] in (b"XREAD", b"XREADGROUP") and b"BLOCK" in words[: words.index(b"STREAMS")]:
            return await self._read_when_there(list(command), words)
        return settled([self._server.ask(self._mouth, command)], self.address)[0]

    async def pipeline(self, commands: Sequence[Sequence[Value]], *, repeat: bool = False) -> list[Reply]:
        await _checkpoint()
        return settled([self._server.ask(self._mouth, command) for command in commands], self.address)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Twin]:
        yield self._server.connect()

    async def subscribe(self, channel: str, callback: Callable[[bytes], None]) -> None:
        await _checkpoint()
        self._callbacks[channel.encode()] = callback
        self._ear.sendall(pack(("SUBSCRIBE", channel)))

    async def unsubscribe(self, channel: str) -> None:
        await _checkpoint()
        self._ear.sendall(pack(("UNSUBSCRIBE", channel)))
        self._callbacks.pop(channel.encode(), None)

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        self._reconnect_callbacks.append(callback)

    def reconnected(self) -> None:
        for callback in self._reconnect_callbacks:
            callback()

    def listen(self) -> None:
        """Hand out what was published."""
        while not self._ear.responses.empty():
            kind, channel, payload = self._ear.responses.get_nowait()
            if kind == b"message" and channel in self._callbacks:
                self._callbacks[channel](payload)

    async def _read_when_there(self, command: list[Value], words: list[bytes]) -> Reply:
        """An XREAD or XREADGROUP with BLOCK: ask it without, after each change, until the time is over."""
        position = words.index(b"BLOCK")
        limit = int(words[position + 1])
        del command[position : position + 2]
        first = words.index(b"STREAMS") - 1
        half = (len(command) - first) // 2
        for place in range(first + half, len(command)):
            if command[place] in ("$", b"$"):
                command[place] = self._last_id(command[place - half])
        with trio.move_on_after(limit / 1000 if limit else float("inf")):
            while True:
                reply = settled([self._server.ask(self._mouth, command, waits=True)], self.address)[0]
                if reply:
                    return reply
                await self._server.wait_change()
        return None

    def _last_id(self, stream: Value) -> Value:
        with suppress(ReplyError):
            described = settled([self._server.ask(self._mouth, ("XINFO", "STREAM", stream))], self.address)[0]
            assert isinstance(described, list)
            last = described[described.index(b"last-generated-id") + 1]
            assert isinstance(last, bytes)
            return last
        return "0-0"
