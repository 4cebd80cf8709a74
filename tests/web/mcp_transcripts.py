"""Whole sessions as they go over the wire, for each transport and each revision of the protocol.

Recorded ones are kept beside this file. Ids, versions, times and places stand as words in them, and of long lists
only what does not depend on the rest of the town. To record them anew after a change that was meant:

    RECORD_TRANSCRIPTS=1 pytest tests/web/test_mcp_transcripts.py
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any, Protocol

import httpx2
import trio
from halls import Open
from mcp_parts import TOWNHALL
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

DIRECTORY = Path(__file__).parent / "transcripts"
SESSIONS = HANDSHAKE_PROTOCOL_VERSIONS
STATELESS = MODERN_PROTOCOL_VERSIONS

CASES = [
    *(("stdio", revision) for revision in (*SESSIONS, *STATELESS)),
    *(("http", revision) for revision in (*SESSIONS, *STATELESS)),
    *(("sse", revision) for revision in SESSIONS),
]

Message = dict[str, Any]

_CLIENT = {"name": "transcript", "version": "1"}
_TOOLS = ("why",)
"""The tools that are shown; all would be a copy of the catalogue."""


def script(revision: str) -> list[Message]:
    """What the client says, in its order; requests are numbered later."""

    def ask(method: str, **params: Any) -> Message:
        return {"method": method, "params": params}

    beginning = [ask("server/discover")] if revision in STATELESS else []
    uri = "tinytown://agents"
    subscriptions = [ask(f"resources/{verb}", uri=uri) for verb in ("subscribe", "unsubscribe")]
    return [
        *beginning,
        *([] if revision in STATELESS else [ask("ping")]),
        ask("tools/list"),
        ask("tools/call", name="agent.list", arguments={}),
        ask("tools/call", name="task.show", arguments={"task_id": "ffffffff"}),
        ask("tools/call", name="why", arguments={"about": 1}),
        ask("tools/call", name="no.such", arguments={}),
        ask("resources/list"),
        ask("resources/templates/list"),
        ask("resources/read", uri=uri),
        ask("resources/read", uri="tinytown://nowhere"),
        *([] if revision in STATELESS else subscriptions),
        ask("prompts/list"),
        ask("prompts/get", name="agent.role_hint", arguments={"agent_name": "nobody"}),
        ask(
            "completion/complete",
            ref={"type": "ref/prompt", "name": "agent.role_hint"},
            argument={"name": "agent_name", "value": ""},
        ),
        ask("no/such"),
    ]


class Wire(Protocol):
    """A connection for one session."""

    async def ask(self, message: Message) -> Message:
        """Send a request; gives the answer."""

    async def tell(self, message: Message) -> None:
        """Send a notification."""


async def record(wire: Wire, revision: str) -> list[tuple[str, Message]]:
    """Hold a whole session; gives both sides of it."""
    said: list[tuple[str, Message]] = []

    async def ask(message: Message) -> None:
        message = {"jsonrpc": "2.0", "id": len(said) // 2 + 1, **message}
        if revision in STATELESS:
            message["params"] = {**message["params"], "_meta": envelope(revision)}
        said.append(("client", message))
        said.append(("server", await wire.ask(message)))

    if revision in SESSIONS:
        await ask(
            {
                "method": "initialize",
                "params": {"protocolVersion": revision, "capabilities": {}, "clientInfo": _CLIENT},
            }
        )
        await wire.tell({"jsonrpc": "2.0", "method": "notifications/initialized"})
    for message in script(revision):
        await ask(message)
    return said


def envelope(revision: str) -> Message:
    """What each request of the newest revision carries."""
    prefix = "io.modelcontextprotocol"
    return {
        f"{prefix}/protocolVersion": revision,
        f"{prefix}/clientInfo": _CLIENT,
        f"{prefix}/clientCapabilities": {},
    }


def written(said: list[tuple[str, Message]]) -> str:
    """A session as it is kept: a line for each message."""
    return "".join(f"{side}: {json.dumps(settled(message), sort_keys=True)}\n" for side, message in said)


def settled(message: Message) -> Message:
    """The message, with what differs from run to run, or with the rest of the town, taken out."""
    text = json.dumps(message)
    text = re.sub(r'"version": "\d+\.\d+[^"]*"', '"version": "<version>"', text)
    found: Message = json.loads(text)
    result = found.get("result", {})
    if "tools" in result:
        result["tools"] = [each for each in result["tools"] if each["name"] in _TOOLS]
    for kind, address in (("resources", "uri"), ("resourceTemplates", "uriTemplate")):
        if kind in result:
            result[kind] = [each for each in result[kind] if "missions" not in each[address]]
    return found


# The wires.


class PipeWire:
    """Standard input and output."""

    def __init__(self, process: trio.Process) -> None:
        self._process = process
        self._lines = bytearray()

    async def tell(self, message: Message) -> None:
        assert self._process.stdin is not None
        await self._process.stdin.send_all(json.dumps(message).encode() + b"\n")

    async def ask(self, message: Message) -> Message:
        assert self._process.stdout is not None
        await self.tell(message)
        while b"\n" not in self._lines:
            self._lines += await self._process.stdout.receive_some()
        line, _, rest = bytes(self._lines).partition(b"\n")
        self._lines[:] = rest
        found: Message = json.loads(line)
        return found


class HttpWire:
    """Streamable HTTP."""

    def __init__(self, http: httpx2.AsyncClient, revision: str) -> None:
        self._http = http
        self._revision = revision
        self._more: dict[str, str] = {}

    async def _post(self, message: Message) -> httpx2.Response:
        headers = {"accept": "application/json, text/event-stream", **self._more}
        if self._revision in STATELESS:
            headers |= {"mcp-protocol-version": self._revision, "mcp-method": message["method"]}
            name = message["params"].get("name") or message["params"].get("uri")
            if name and message["method"] in ("tools/call", "prompts/get", "resources/read"):
                headers["mcp-name"] = name
        said = await self._http.post("/mcp", json=message, headers=headers)
        if "mcp-session-id" in said.headers:
            self._more = {"mcp-session-id": said.headers["mcp-session-id"], "mcp-protocol-version": self._revision}
        return said

    async def tell(self, message: Message) -> None:
        assert (await self._post(message)).status_code == 202

    async def ask(self, message: Message) -> Message:
        said = await self._post(message)
        if said.headers["content-type"].startswith("application/json"):
            return dict(said.json())
        (data,) = [line.removeprefix("data:") for line in said.text.splitlines() if line.startswith("data: {")]
        return dict(json.loads(data))


class SseWire:
    """The older pair."""

    def __init__(self, http: httpx2.AsyncClient, lines: AsyncIterator[str], endpoint: str) -> None:
        self._http = http
        self._data = lines
        self._endpoint = endpoint

    async def tell(self, message: Message) -> None:
        assert (await self._http.post(self._endpoint, json=message)).status_code == 202

    async def ask(self, message: Message) -> Message:
        await self.tell(message)
        return dict(json.loads(await anext(self._data)))


@asynccontextmanager
async def wired(transport: str, revision: str, opened: Open) -> AsyncIterator[Wire]:
    """A wire to the town that is open."""
    if transport == "http":
        yield HttpWire(opened.client, revision)
    elif transport == "sse":
        async with opened.client.stream("GET", "/mcp/sse") as response:
            data = (line.removeprefix("data: ") async for line in response.aiter_lines() if line.startswith("data: "))
            yield SseWire(opened.client, data, await anext(data))
            await data.aclose()
    else:
        command = [TOWNHALL, "mcp-stdio", "--town", opened.hall.town.root]
        async with trio.open_nursery() as nursery:
            start: Callable[..., Awaitable[trio.Process]] = nursery.start
            process = await start(
                lambda task_status: trio.run_process(
                    command, stdin=PIPE, stdout=PIPE, task_status=task_status, check=False
                )
            )
            yield PipeWire(process)
            assert process.stdin is not None
            await process.stdin.aclose()
