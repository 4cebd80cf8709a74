"""Clients of the protocol, by its own library, for towns of the tests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from halls import Open, open_townhall
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent

from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.api_keys import MakeKey, make_key
from tinytown.runtime.town import Town
from tinytown.web.mcp.mount import McpRouter
from tinytown.web.settings import RateSettings, TownhallSettings

TOWNHALL = Path(sys.executable).with_name("townhall")

GENEROUS = TownhallSettings(rates=RateSettings(reads=100_000, writes=100_000, failed_logins=1000))

ERAS = ("legacy", "auto")
"""The revisions with a handshake, and the one without."""


@asynccontextmanager
async def mcp_townhall(root: Path, settings: TownhallSettings = GENEROUS) -> AsyncIterator[Open]:
    """The townhall of a town that serves the protocol and nothing else."""
    async with open_townhall(root, lambda hall: McpRouter(hall), settings) as opened:
        yield opened


@asynccontextmanager
async def over_http(opened: Open, key: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client of Streamable HTTP, with the local token unless it is given another key."""
    async with opened.bearer(key or opened.token) as http:
        transport = streamable_http_client(f"{opened.url}/mcp", http_client=http)
        async with Client(transport, cache=None, **options) as client:
            yield client


@asynccontextmanager
async def over_sse(opened: Open, key: str | None = None, **options: Any) -> AsyncIterator[Client]:
    """A client of the oldest transport."""
    headers = {"authorization": f"Bearer {key or opened.token}"}
    options["mode"] = "legacy"
    async with Client(sse_client(f"{opened.url}/mcp/sse", headers=headers), cache=None, **options) as client:
        yield client


@asynccontextmanager
async def over_stdio(
    root: Path, *arguments: str, environ: Mapping[str, str] = os.environ, **options: Any
) -> AsyncIterator[Client]:
    """A client that has started `townhall mcp-stdio`."""
    command = StdioServerParameters(
        command=str(TOWNHALL), args=["mcp-stdio", "--town", str(root), *arguments], env=dict(environ)
    )
    async with Client(command, cache=None, **options) as client:
        yield client


async def key_with(opened: Open, *scopes: Scope) -> str:
    """A new API key that holds these scopes."""
    return (await make_key(opened.hall.town, MakeKey(scopes=scopes))).key


def envelope(result: CallToolResult) -> dict[str, Any]:
    """The text of an answer, which is always the book's envelope."""
    (content,) = result.content
    assert isinstance(content, TextContent)
    found: dict[str, Any] = json.loads(content.text)
    assert result.is_error is not found["success"]
    if result.is_error:
        assert found["data"] is None
        assert found["error"]
        assert found["code"]
        assert result.structured_content is None
    else:
        assert found == {"success": True, "data": result.structured_content, "error": None}
    return found


async def snapshot(town: Town) -> dict[bytes, object]:
    """Every key of the server with its content, but for the audit."""
    connection, keys = town.connection, town.keys
    found: dict[bytes, object] = {}
    cursor: Any = b"0"
    while True:
        reply: Any = await connection.execute("SCAN", cursor, "COUNT", 1000)
        cursor = reply[0]
        for key in reply[1]:
            if key != keys("audit").encode():
                found[key] = await connection.execute("DUMP", key)
        if cursor in (b"0", "0"):
            return found
