"""The protocol on standard input and output, one JSON message a line.

What must be true: nothing but messages is ever written to the client; a line that is none is answered or skipped and
never ends the server; the end of the input, a signal or a cancelled scope ends it, whatever it waits for.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import anyio
import trio
from mcp.shared.message import SessionMessage
from mcp_types import PARSE_ERROR, ErrorData, JSONRPCError, jsonrpc_message_adapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

MOST_LINE = 4 << 20
"""Bytes of one message. What is longer is skipped, to the end of its line."""

FLUSH_SECONDS = 2.0
"""For the last answers, after the server has ended."""

_CHUNK = 65_536

Incoming: TypeAlias = "MemoryObjectReceiveStream[SessionMessage | Exception]"
Outgoing: TypeAlias = "MemoryObjectSendStream[SessionMessage]"


def take_over() -> tuple[int, int]:
    """Descriptors of the client, to read and to write; what else prints goes to standard error from here on."""
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return reading, writing


@asynccontextmanager
async def messages(reading: int, writing: int) -> AsyncIterator[tuple[Incoming, Outgoing]]:
    """The messages of a client on two descriptors, which are closed at the end."""
    to_server, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outgoing, from_server = anyio.create_memory_object_stream[SessionMessage](0)
    async with trio.lowlevel.FdStream(reading) as source, trio.lowlevel.FdStream(writing) as sink:
        wire = _Wire(source, sink)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wire.read, to_server)
            nursery.start_soon(wire.write, from_server)
            yield incoming, outgoing
            await outgoing.aclose()
            with trio.move_on_after(FLUSH_SECONDS):
                await wire.flushed.wait()
            nursery.cancel_scope.cancel()


class _Wire:
    """Both directions of one client."""

    def __init__(self, source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
        self._source = source
        self._sink = sink
        self._turn = trio.Lock()
        self._lost = False
        self.flushed = trio.Event()

    async def read(self, to_server: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Hand every message on; the end of the input is the end of the messages."""
        async with to_server:
            lines = _Lines()
            while chunk := await self._more():
                for line in lines.feed(chunk):
                    await self._take(line, to_server)

    async def _more(self) -> bytes:
        try:
            return bytes(await self._source.receive_some(_CHUNK))
        except trio.BrokenResourceError:
            return b""

    async def _take(self, line: bytes, to_server: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        if not line.strip():
            return
        try:
            message = jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            await self._send(_parse_error())
            return
        try:
            await to_server.send(SessionMessage(message))
        except anyio.BrokenResourceError:
            # The server has ended; the rest of the input is nobody's.
            return

    async def write(self, from_server: MemoryObjectReceiveStream[SessionMessage]) -> None:
        """Write every message of the server."""
        async with from_server:
            async for each in from_server:
                await self._send(each)
        self.flushed.set()

    async def _send(self, message: SessionMessage) -> None:
        if self._lost:
            return
        text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
        try:
            async with self._turn:
                await self._sink.send_all(text.encode() + b"\n")
        except trio.BrokenResourceError:
            # Nobody reads any more; the end of the input follows.
            self._lost = True


class _Lines:
    """Bytes, cut into lines."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now. In place of one that is too long comes one that is no message."""
        found: list[bytes] = []
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            line = bytes(self._kept) + part
            self._kept.clear()
            found.append(b"?" if self._skipping or len(line) > MOST_LINE else line)
            self._skipping = False
        self._kept += rest
        if len(self._kept) > MOST_LINE:
            self._kept.clear()
            self._skipping = True
        return found


def _parse_error() -> SessionMessage:
    error = ErrorData(code=PARSE_ERROR, message="This line is no message of the protocol")
    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=None, error=error))
