"""The protocol over HTTP: who is let in, whose a session is, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
from halls import Open, open_townhall
from mcp_parts import GENEROUS, TOWNHALL, envelope, key_with, mcp_townhall, over_http, over_sse
from serving import LONG

from tinytown.runtime.caller import Scope
from tinytown.web.hall import Hall
from tinytown.web.mcp.mount import McpRouter
from tinytown.web.routes import make_router

ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


@pytest.fixture
async def opened(made: Path) -> AsyncIterator[Open]:
    async with mcp_townhall(made) as opened:
        yield opened


async def post(http: httpx2.AsyncClient, message: dict[str, Any], path: str = "/mcp", **headers: str) -> Any:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return await http.post(path, json=message, headers={**ACCEPT, **named})


async def session_of(http: httpx2.AsyncClient) -> str:
    """Open a session; gives its id."""
    said = await post(http, HELLO)
    assert said.status_code == 200
    await post(
        http, {"jsonrpc": "2.0", "method": "notifications/initialized"}, mcp_session_id=said.headers["mcp-session-id"]
    )
    found: str = said.headers["mcp-session-id"]
    return found


@pytest.mark.parametrize("key", ["", "tt_wrong"])
async def test_without_a_good_key_nothing_is_served_and_it_is_said_where_to_learn_of_one(
    opened: Open, key: str
) -> None:
    async with opened.bearer(key) if key else opened.stranger() as http:
        for path in ("/mcp", "/mcp/sse", "/mcp/messages", "/", "/sse"):
            said = await (http.get(path) if "sse" in path else post(http, HELLO, path))
            challenge = said.headers["www-authenticate"]
            where = challenge.partition('resource_metadata="')[2].rstrip('"')
            metadata = (await http.get(where)).json()

            assert said.status_code == 401
            assert said.headers["content-type"] == "application/problem+json"
            assert challenge.startswith("Bearer ")
            assert metadata["resource"] == f"{opened.url}/mcp"
            assert metadata["scopes_supported"] == ["town.read", "town.write", "agent.manage", "admin"]
            assert "authorization_servers" not in metadata


async def test_a_web_page_of_somewhere_else_is_refused_before_anything_is_looked_at(opened: Open) -> None:
    for headers in ({"origin": "http://evil.example"}, {"host": "evil.example"}, {"origin": "null"}):
        said = await post(opened.client, HELLO, **headers)
        assert said.status_code in (403, 421), headers
    for headers in ({"content_type": "text/plain"}, {"content_type": "application/x-www-form-urlencoded"}):
        assert (await post(opened.client, HELLO, **headers)).status_code == 415
    assert (await post(opened.client, HELLO, origin=opened.url)).status_code == 200


async def test_a_session_belongs_to_the_key_that_opened_it(opened: Open) -> None:
    everything = (Scope.READ, Scope.WRITE, Scope.MANAGE)
    async with (
        opened.bearer(await key_with(opened, *everything)) as owner,
        opened.bearer(await key_with(opened, *everything)) as thief,
    ):
        session = await session_of(owner)
        stolen = [
            await post(thief, PING, mcp_session_id=session),
            await thief.get("/mcp", headers={**ACCEPT, "mcp-session-id": session}),
            await thief.delete("/mcp", headers={"mcp-session-id": session}),
        ]
        own = await post(owner, PING, mcp_session_id=session)

    assert [said.status_code for said in stolen] == [404, 404, 404]
    assert own.status_code == 200


async def test_a_session_that_was_ended_is_gone(opened: Open) -> None:
    session = await session_of(opened.client)
    ended = await opened.client.delete("/mcp", headers={"mcp-session-id": session})
    after = await post(opened.client, PING, mcp_session_id=session)

    assert (ended.status_code, after.status_code) == (200, 404)


async def test_a_body_that_is_no_message_is_refused(opened: Open) -> None:
    bodies = {b"{": 400, b"[]": 400, b"": 400, b"\xff": 400, b"x" * (1 << 20 | 1): 413}
    for body, status in bodies.items():
        said = await opened.client.post("/mcp", content=body, headers=ACCEPT)
        assert said.status_code == status, body[:10]


async def test_other_methods_and_paths_are_refused_with_what_is_there(opened: Open) -> None:
    wrong = await opened.client.put("/mcp", json={})
    nowhere = await opened.client.get("/v1/status")

    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET, POST, DELETE")
    assert nowhere.status_code == 404
    assert "/mcp" in nowhere.json()["hint"]


async def test_everything_is_served_on_one_port(made: Path) -> None:
    def both(hall: Hall) -> McpRouter:
        return McpRouter(hall, make_router(hall))

    async with open_townhall(made, both, GENEROUS) as opened, over_http(opened) as client:
        listed = envelope(await client.call_tool("agent.list", {}))["data"]
        rest = (await opened.client.get("/v1/agents")).json()
        root = await post(opened.client, HELLO, "/")

    assert listed["agents"] == rest["agents"] == []
    assert root.status_code in (404, 405)


async def test_the_end_of_townhall_ends_every_stream(opened: Open) -> None:
    session = await session_of(opened.client)
    headers = {"accept": "text/event-stream", "mcp-session-id": session}
    async with (
        opened.client.stream("GET", "/mcp", headers=headers) as new,
        opened.client.stream("GET", "/mcp/sse") as old,
    ):
        streams = [new.aiter_raw(), old.aiter_raw()]
        for each in streams:
            assert await anext(each)
        opened.hall.stopping.set()
        with trio.fail_after(LONG):
            for each in streams:
                async for _ in each:
                    pass


async def test_clients_of_all_transports_share_one_town(opened: Open) -> None:
    async with over_http(opened) as one, over_http(opened, mode="legacy") as two, over_sse(opened) as three:
        for at, client in enumerate((one, two, three)):
            await client.call_tool("backlog.add", {"description": str(at)})
        seen = [envelope(await each.call_tool("backlog.list", {}))["data"] for each in (one, two, three)]

    assert seen[0] == seen[1] == seen[2]
    assert [each["description"] for each in seen[0]["backlog"]] == ["0", "1", "2"]


def test_the_command_serves_the_protocol_alone_until_it_is_told_to_end(made: Path) -> None:
    reading, writing = os.pipe()
    command = [TOWNHALL, "mcp-http", "--town", made, "--port", "0", "--ready-fd", str(writing)]
    process = subprocess.Popen(command, pass_fds=[writing], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    try:
        assert os.read(reading, 1) == b"1"
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        statuses = [httpx2.post(f"{url}/mcp", json=HELLO).status_code, httpx2.get(f"{url}/v1/status").status_code]
        process.send_signal(signal.SIGTERM)
        code = process.wait(LONG)
    finally:
        process.kill()
        process.communicate()
        os.close(reading)

    assert statuses == [401, 401]
    assert code == 0


def test_scopes_over_http_are_those_of_the_key(made: Path) -> None:
    said = subprocess.run(
        [TOWNHALL, "mcp-http", "--town", made, "--scopes", "admin"], capture_output=True, text=True, check=False
    )

    assert said.returncode == 2
    assert "the key says" in said.stderr


def test_a_townhall_imports_the_protocol_only_for_its_first_client() -> None:
    program = (
        "import sys, json; import tinytown.web.main, tinytown.web.process, tinytown.web.beside, tinytown.cli.app;"
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('mcp', 'mcp_types', 'starlette')]))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout

    assert json.loads(found) == []
