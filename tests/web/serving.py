"""A server of ours on a real socket of loopback, and a client that can do what no client should."""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
import trio.testing

from tinytown.web.asgi import Asgi, AsgiScope, Receive, Send
from tinytown.web.connection import Patience
from tinytown.web.serve import Server
from tinytown.web.sockets import listen

LONG = 20.0
"""Seconds after which a test gives up; nothing takes nearly as long."""

PATIENT = Patience(idle=60.0, write=60.0)


@dataclass
class Served:
    """A server that runs. `tasks` is how many there were when it had no client."""

    port: int
    server: Server
    stop: trio.Event
    over: trio.Event
    nursery: trio.Nursery
    tasks: int = 0

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def ask(self, path: str = "/", method: str = "GET", body: bytes = b"") -> Answer:
        """One good request on a connection of its own."""
        stream = await self.connect()
        async with stream:
            await stream.send_all(request(path, method, body))
            return await answer(stream)

    async def wait_quiet(self) -> None:
        """Wait until no connection and no task of one is left."""
        with trio.fail_after(LONG):
            while self.server.connections or trio.lowlevel.current_statistics().tasks_living > self.tasks:
                await trio.sleep(0.005)


@asynccontextmanager
async def served(
    app: Asgi, *, patience: Patience = PATIENT, grace: float = LONG, most: int = 100
) -> AsyncIterator[Served]:
    """Serve an application for the time of the block. At its end the server stops and has to come to an end."""
    (listener,) = await listen("127.0.0.1", 0, None)
    assert isinstance(listener, trio.SocketListener)
    server = Server(app, [listener], patience=patience, grace=grace, most=most)
    async with trio.open_nursery() as nursery:
        stop, over = trio.Event(), trio.Event()

        async def run(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            await server.run(stop, task_status=task_status)
            over.set()

        port = listener.socket.getsockname()[1]
        await nursery.start(run)
        found = Served(port, server, stop, over, nursery)
        await trio.testing.wait_all_tasks_blocked()
        found.tasks = trio.lowlevel.current_statistics().tasks_living
        yield found
        stop.set()
        with trio.fail_after(LONG):
            await over.wait()


def request(path: str = "/", method: str = "GET", body: bytes = b"", *headers: str) -> bytes:
    """The bytes of a good request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


async def answer(stream: trio.abc.ReceiveStream, rest: bytearray | None = None) -> Answer:
    """Read one answer; what follows it stays in `rest`."""
    buffer = bytearray() if rest is None else rest
    with trio.fail_after(LONG):
        while b"\r\n\r\n" not in buffer:
            buffer += await _more(stream)
        head, _, tail = bytes(buffer).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = bytearray(tail)
        if "content-length" in headers:
            length = int(headers["content-length"])
            while len(body) < length:
                body += await _more(stream)
            buffer[:] = body[length:]
            del body[length:]
        elif headers.get("transfer-encoding") == "chunked":
            while not body.endswith(b"0\r\n\r\n"):
                body += await _more(stream)
            buffer.clear()
    return Answer(int(first.split()[1]), headers, bytes(body))


async def _more(stream: trio.abc.ReceiveStream) -> bytes:
    found = await stream.receive_some()
    assert found, "closed before the answer was complete"
    return bytes(found)


async def read_to_end(stream: trio.abc.ReceiveStream) -> bytes:
    """All that comes until the other side closes; a reset is an end, too."""
    found = bytearray()
    with trio.fail_after(LONG):
        try:
            while data := await stream.receive_some():
                found += data
        except trio.BrokenResourceError:
            pass
    return bytes(found)


def reset(stream: trio.SocketStream) -> None:
    """Close with a reset."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


# Applications.


async def plain(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Reads the body and says how long it was."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await reply(send, b"%d" % size)


async def hasty(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Answers 413 without a look at the body."""
    await reply(send, b"too much", 413)


async def endless(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Streams for ever, until the client goes."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    async with trio.open_nursery() as nursery:

        async def write() -> None:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
                await trio.lowlevel.checkpoint()

        nursery.start_soon(write)
        while (await receive())["type"] != "http.disconnect":
            pass
        nursery.cancel_scope.cancel()


async def silent(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Answers when the client has gone, that is never."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def failing(scope: AsgiScope, receive: Receive, send: Send) -> None:
    """Fails: at once, or in the middle of its answer."""
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
    raise RuntimeError("out of order")


async def reply(send: Send, body: bytes, status: int = 200, **more: Any) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
