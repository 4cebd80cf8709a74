"""What the town's MCP server costs beside a bare one of the protocol's library: in one run, in turns.

    python bench/mcp_server.py [--rounds 7] [--sessions 200] [--calls 10] [--agents 10]

Both servers are processes of their own on loopback, behind the same HTTP server of ours. The bare one has no doors, no
town and no Redis: its one tool, called as ours is, answers the JSON that ours had. Two figures:

* a session's start, list of tools and first call, one after the other: the ratio of the times;
* `--sessions` sessions that call `town.get_status` at once, `--calls` times each: the ratio of the calls a second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from statistics import median

import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "web"))

from apart import UNCOUNTED, started, town_apart

START_TARGET, CALLS_TARGET = 3.0, 0.5
REVISION = "2025-11-25"
TOOL = "town.get_status"


# The bare server.


async def serve_bare(answer: str, ready: int) -> None:
    """Serve one tool that always gives this answer."""
    from mcp.server import Server
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_types import CallToolResult, ListToolsResult, TextContent, Tool

    from tinytown.web.connection import Patience
    from tinytown.web.serve import Server as HttpServer
    from tinytown.web.sockets import listen

    found = json.loads(answer)
    tool = Tool(name=TOOL, description="The status", input_schema={"type": "object"})

    async def tools(context: object, params: object) -> ListToolsResult:
        return ListToolsResult(tools=[tool])

    async def call(context: object, params: object) -> CallToolResult:
        return CallToolResult(content=[TextContent(text=json.dumps(found))], structured_content=found)

    manager = StreamableHTTPSessionManager(Server("bare", on_list_tools=tools, on_call_tool=call))
    (listener,) = await listen("127.0.0.1", 0, None)
    server = HttpServer(
        manager.handle_request, [listener], patience=Patience(idle=60.0, write=60.0), grace=1.0, most=2000
    )
    async with manager.run():
        os.write(ready, f"{listener.socket.getsockname()[1]}\n".encode())
        await server.run(trio.Event())


# The client: as little as will do, so that the servers are what is measured.


class Session:
    """One session on one connection."""

    def __init__(self, stream: trio.SocketStream, port: int, token: str) -> None:
        self._stream = stream
        self._head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
            "Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"
        )
        self._number = 0

    @classmethod
    async def open(cls, port: int, token: str) -> Session:
        """Connect and shake hands."""
        session = cls(await trio.open_tcp_stream("127.0.0.1", port), port, token)
        hello = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        head, _ = await session.ask("initialize", hello)
        (named,) = [line for line in head.split("\r\n") if line.lower().startswith("mcp-session-id:")]
        session._head += f"{named}\r\nMCP-Protocol-Version: {REVISION}\r\n"
        await session.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return session

    async def ask(self, method: str, params: dict[str, object]) -> tuple[str, dict[str, object]]:
        """Ask; gives the head of the answer, and the answer."""
        self._number += 1
        head, body = await self.post({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        (data,) = [line for line in body.split(b"\n") if line.startswith((b"data: {", b"{"))]
        found = json.loads(data.removeprefix(b"data: "))
        if "result" not in found:
            raise SystemExit(f"{method}: {found}")
        return head, found["result"]

    async def call(self) -> dict[str, object]:
        """Call the tool."""
        return (await self.ask("tools/call", {"name": TOOL, "arguments": {}}))[1]

    async def post(self, message: dict[str, object]) -> tuple[str, bytes]:
        """Send a message and read the whole answer."""
        body = json.dumps(message).encode()
        await self._stream.send_all(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        data = bytearray()
        while b"\r\n\r\n" not in data:
            data += await self._more()
        raw, _, rest = bytes(data).partition(b"\r\n\r\n")
        head = raw.decode()
        if not head.startswith("HTTP/1.1 20"):
            raise SystemExit(head)
        found = bytearray(rest)
        lengths = [int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        while len(found) < lengths[0] if lengths else not found.endswith(b"0\r\n\r\n"):
            found += await self._more()
        return head, bytes(found)

    async def _more(self) -> bytes:
        got = await self._stream.receive_some(65_536)
        if not got:
            raise SystemExit("the server closed the connection")
        return bytes(got)

    async def close(self) -> None:
        """Go."""
        await self._stream.aclose()


async def start(port: int, token: str) -> float:
    """Seconds of a session's start, list of tools and first call."""
    began = time.perf_counter()
    session = await Session.open(port, token)
    await session.ask("tools/list", {})
    await session.call()
    took = time.perf_counter() - began
    await session.close()
    return took


async def throughput(port: int, token: str, sessions: int, calls: int) -> float:
    """Calls a second of so many sessions."""
    opened = [await Session.open(port, token) for _ in range(sessions)]

    async def work(session: Session) -> None:
        for _ in range(calls):
            await session.call()

    began = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for session in opened:
            nursery.start_soon(work, session)
    took = time.perf_counter() - began
    for session in opened:
        await session.close()
    return sessions * calls / took


# The run.


async def measure(ours: tuple[int, str], bare: tuple[int, str], asked: argparse.Namespace) -> None:
    """All rounds, and the figures."""
    for server in (ours, bare):
        await start(*server)
    starts = [(await start(*ours), await start(*bare)) for _ in range(asked.rounds * 5)]
    loads = [
        (
            await throughput(*ours, asked.sessions, asked.calls),
            await throughput(*bare, asked.sessions, asked.calls),
        )
        for _ in range(asked.rounds)
    ]
    print(f"MCP over HTTP, {asked.agents} agents, medians of {asked.rounds} rounds: ours, bare, ratio")
    mine, theirs = (1000 * median(column) for column in zip(*starts, strict=True))
    ratio = median(ours / bare for ours, bare in starts)
    print(f"  start, list, first call   {mine:6.1f} ms {theirs:6.1f} ms {ratio:6.2f} x  (at most {START_TARGET:g})")
    mine, theirs = (median(column) for column in zip(*loads, strict=True))
    ratio = median(ours / bare for ours, bare in loads)
    shown = f"  {asked.sessions} sessions, calls/s     {mine:6.0f}    {theirs:6.0f}    {ratio:6.2f} x"
    print(f"{shown}  (at least {CALLS_TARGET:g})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--serve-bare", nargs=2, metavar=("FILE", "FD"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve_bare:
        trio.run(serve_bare, Path(asked.serve_bare[0]).read_text(), int(asked.serve_bare[1]))
        return

    with town_apart(UNCOUNTED) as town:
        town.agents(asked.agents)
        with town.townhall("mcp-http") as ours:
            token = town.tt("auth", "token")
            answer = town.base / "answer.json"
            answer.write_text(json.dumps(trio.run(status, ours.port, token)))
            bare = [sys.executable, Path(__file__), "--serve-bare", answer]
            with started(bare, town.environ, town.root) as theirs:
                trio.run(measure, (ours.port, token), (theirs.port, "-"), asked)


async def status(port: int, token: str) -> object:
    """What our tool answers."""
    session = await Session.open(port, token)
    found = (await session.call())["structuredContent"]
    await session.close()
    return found


if __name__ == "__main__":
    main()
