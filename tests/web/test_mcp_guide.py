"""The guide for language models: its conversation is held with a real town and a real runtime."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import trio
from living import LONG, LivingTown
from mcp_parts import envelope, over_stdio

from tinytown.runtime.halt import end_runtime
from tinytown.runtime.mcp_clients import CLIENTS, with_server
from tinytown.runtime.opening import open_blocking
from tinytown.web.mcp.toolset import make_tools

GUIDE = (Path(__file__).parents[2] / "docs" / "mcp.md").read_text(encoding="utf-8")
SCOPES = "town.read,town.write,agent.manage"


def blocks(kind: str) -> list[str]:
    """What stands in the fences of this kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def fits(found: Any, wanted: Any, known: dict[str, str]) -> bool:
    """All that is wanted is there. A word in angle brackets stands for what it was first found to be."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            key in found and fits(found[key], value, known) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(lambda one, other: fits(one, other, known), found, wanted))
    if isinstance(wanted, str) and re.fullmatch(r"<\w+>", wanted):
        return known.setdefault(wanted, found) == found
    return bool(found == wanted)


async def test_the_conversation_goes_as_it_is_told(user: Path) -> None:
    town = LivingTown(user)
    config = town.root / "tinytown.toml"
    config.write_text(config.read_text().replace('default_cli = "claude"', 'default_cli = "notes"'))
    known: dict[str, str] = {}
    try:
        with trio.fail_after(LONG):
            await converse(town.root, known)
    finally:
        # The conversation has started the runtime, as it would for anybody.
        with open_blocking(town.root, environ=os.environ) as opened:
            end_runtime(opened)
        town.close()
    assert "<login>" in known


async def converse(root: Path, known: dict[str, str]) -> None:
    """Hold the conversation of the guide."""
    async with over_stdio(root, "--scopes", SCOPES) as client:
        for call, answer in re.findall(r"^> (.*)\n< (.*)$", "".join(blocks("mcp")), re.MULTILINE):
            tool, _, arguments = call.partition(" ")
            for name, value in known.items():
                arguments = arguments.replace(name, value)
            found = envelope(await client.call_tool(tool, json.loads(arguments)))
            assert fits(found["data"], json.loads(answer), known), (call, found)


def test_the_table_of_scopes_is_that_of_the_tools() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", GUIDE, re.MULTILINE))
    told = {tool: scope for scope, text in rows.items() for tool in re.findall(r"`([\w.]+)`", text)}
    tools = {name: str(tool.operation.scope) for name, tool in make_tools().items()}

    assert told.items() <= tools.items()
    assert {name for name in tools if not name.startswith("inbox.")} <= told.keys()


@pytest.mark.parametrize("kind", ["json", "toml"])
def test_the_entries_are_what_is_installed(kind: str) -> None:
    entry = blocks(kind)[0]
    client = CLIENTS["codex" if kind == "toml" else "claude"]
    command = ["townhall", "mcp-stdio", "--town", "/path/to/your/project"]
    written = with_server(client, "", command, where="")

    read: Any = tomllib.loads if kind == "toml" else json.loads
    assert read(entry) == read(written)


def test_each_client_has_its_line() -> None:
    for name, client in CLIENTS.items():
        assert re.search(rf"^tt mcp install {name} +# {client.title} ", GUIDE, re.MULTILINE), name
