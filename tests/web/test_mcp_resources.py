"""Resources, prompts and completion, and who is told of a change."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from halls import Open
from mcp import Client, MCPError
from mcp.client.subscriptions import ResourceUpdated
from mcp_parts import ERAS, envelope, mcp_townhall, over_http, over_sse, over_stdio
from mcp_types import (
    PromptReference,
    ResourceTemplateReference,
    ResourceUpdatedNotification,
    TextContent,
    TextResourceContents,
)
from runtime_parts import add
from serving import LONG

from tinytown.records import Event
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.runtime.town import Town
from tinytown.times import now
from tinytown.transport.blocking import run_sync
from tinytown.web.mcp.changes import touched

SESSIONS = pytest.mark.filterwarnings("ignore:resources/:mcp.shared.exceptions.MCPDeprecationWarning")
"""The library calls what sessions do out of date."""

SOON = 1.0
"""Seconds within which a client learns of a change; by the issue."""


@pytest.fixture
def town(made: Path) -> Iterator[Town]:
    with open_blocking(made, environ=os.environ) as town:
        add(town, "ada", role="backend")
        add(town, "bob")
        yield town


@pytest.fixture
async def opened(town: Town, made: Path) -> AsyncIterator[Open]:
    async with mcp_townhall(made) as opened:
        yield opened


async def read(client: Client, uri: str) -> Any:
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert (content.uri, content.mime_type) == (uri, "application/json")
    return json.loads(content.text)


@pytest.mark.parametrize("era", ERAS)
async def test_every_resource_can_be_read(opened: Open, town: Town, era: str) -> None:
    task = run_sync(assign(town, Assign("ada", "Mend the roof"))).task
    async with over_http(opened, mode=era) as client:
        static = {str(each.uri) for each in (await client.list_resources()).resources}
        templates = {each.uri_template for each in (await client.list_resource_templates()).resource_templates}
        assert (await read(client, "tinytown://town/current"))["name"] == "demo"
        assert [each["name"] for each in (await read(client, "tinytown://agents"))["agents"]] == ["ada", "bob"]
        assert (await read(client, "tinytown://backlog"))["backlog"] == []
        assert (await read(client, "tinytown://agents/ada"))["role"] == "backend"
        assert (await read(client, f"tinytown://tasks/{task.id}"))["description"] == "Mend the roof"

    assert static >= {"tinytown://town/current", "tinytown://agents", "tinytown://backlog"}
    assert templates >= {"tinytown://agents/{agent_name}", "tinytown://tasks/{task_id}"}


@pytest.mark.parametrize("era", ERAS)
async def test_what_is_not_there_is_an_error_that_says_so(opened: Open, era: str) -> None:
    async with over_http(opened, mode=era) as client:
        for uri in (
            "tinytown://agents/nobody", "tinytown://tasks/ffffffff", "tinytown://elsewhere", "tinytown://agents/",
            "tinytown://agents/../town", "tinytown://agents/..%2ftown", "file:///etc/passwd", "tinytown://tasks/%00",
        ):  # fmt: skip
            with pytest.raises(MCPError) as caught:
                await client.read_resource(uri)
            assert caught.value.error.code == -32602
            assert caught.value.error.data["uri"] == uri


@pytest.mark.parametrize("era", ERAS)
async def test_prompts_speak_of_the_town_as_it_is(opened: Open, town: Town, era: str) -> None:
    run_sync(assign(town, Assign("ada", "Mend the roof")))

    async def text(name: str, **arguments: str) -> str:
        (message,) = (await client.get_prompt(name, arguments)).messages
        assert isinstance(message.content, TextContent)
        return message.content.text

    async with over_http(opened, mode=era) as client:
        named = {each.name: each.arguments for each in (await client.list_prompts()).prompts}
        await client.call_tool("backlog.add", {"description": "Paint the door", "tags": ["paint"]})
        leading = await text("conductor.startup_context")
        role = await text("agent.role_hint", agent_name="ada")
        painter = await text("agent.role_hint", agent_name="ada", tags="paint, wood")
        for name, arguments in (("no.such", {}), ("agent.role_hint", {}), ("conductor.startup_context", {"x": "y"})):
            with pytest.raises(MCPError):
                await client.get_prompt(name, arguments)

    assert [each.name for each in named["agent.role_hint"] or ()] == ["agent_name", "tags"]
    assert not named["conductor.startup_context"]
    assert "- ada (backend" in leading
    assert "1 in the backlog" in leading
    assert "task.assign" in leading
    assert "You are 'ada', the backend" in role
    assert "Paint the door" not in role
    assert "Paint the door" in painter


@pytest.mark.parametrize("era", ERAS)
async def test_names_and_ids_are_completed(opened: Open, town: Town, era: str) -> None:
    task = run_sync(assign(town, Assign("ada", "Mend the roof"))).task
    hint = PromptReference(type="ref/prompt", name="agent.role_hint")
    agent = ResourceTemplateReference(type="ref/resource", uri="tinytown://agents/{agent_name}")
    tasks = ResourceTemplateReference(type="ref/resource", uri="tinytown://tasks/{task_id}")
    async with over_http(opened, mode=era) as client:

        async def values(reference: Any, name: str, typed: str) -> list[str]:
            return (await client.complete(reference, {"name": name, "value": typed})).completion.values

        assert await values(hint, "agent_name", "a") == ["ada"]
        assert await values(agent, "agent_name", "") == ["ada", "bob"]
        assert await values(tasks, "task_id", task.id[:6]) == [task.id]
        assert await values(hint, "tags", "a") == []


@SESSIONS
@pytest.mark.parametrize("transport", ["http", "sse", "stdio"])
async def test_a_session_is_told_of_what_it_subscribed_to_and_of_nothing_else(
    opened: Open, made: Path, transport: str
) -> None:
    told: list[str] = []
    heard = trio.Event()

    async def hear(message: object) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.append(str(message.params.uri))
            heard.set()

    options: dict[str, Any] = {"mode": "legacy", "message_handler": hear}
    connect = {
        "http": lambda: over_http(opened, **options),
        "sse": lambda: over_sse(opened, **options),
        "stdio": lambda: over_stdio(made, **options),
    }[transport]
    async with connect() as client, over_http(opened) as other:
        await client.subscribe_resource("tinytown://agents/ada")
        await client.subscribe_resource("tinytown://backlog")
        await other.call_tool("message.send", {"to": "ada", "message": "hello"})
        with trio.fail_after(LONG):
            await heard.wait()
        assert told == ["tinytown://agents/ada"]

        heard = trio.Event()
        await client.unsubscribe_resource("tinytown://agents/ada")
        await other.call_tool("message.send", {"to": "ada", "message": "hello"})
        await other.call_tool("backlog.add", {"description": "x"})
        with trio.fail_after(LONG):
            await heard.wait()
        with pytest.raises(MCPError):
            await client.subscribe_resource("tinytown://elsewhere")

    assert told == ["tinytown://agents/ada", "tinytown://backlog"]


async def test_a_stream_is_told_within_a_second(opened: Open) -> None:
    took = []
    async with over_http(opened) as client, over_http(opened) as other:
        # The machine may be busy with something else: the best of a few counts.
        for _ in range(3):
            given = await other.call_tool("task.assign", {"agent": "ada", "description": "x"})
            task = envelope(given)["data"]["task_id"]
            uri = f"tinytown://tasks/{task}"
            async with client.listen(resource_subscriptions=[uri]) as changes:
                await other.call_tool("task.complete", {"task_id": task})
                began = trio.current_time()
                with trio.fail_after(LONG):
                    assert await anext(aiter(changes)) == ResourceUpdated(uri=uri)
                took.append(trio.current_time() - began)

    assert min(took) < SOON


@SESSIONS
async def test_a_session_that_ended_is_forgotten(opened: Open) -> None:
    async with over_http(opened, mode="legacy") as client:
        await client.subscribe_resource("tinytown://agents")
    async with over_http(opened) as other:
        for _ in range(3):
            envelope(await other.call_tool("message.send", {"to": "ada", "message": "hello"}))


def test_an_event_touches_what_it_speaks_of() -> None:
    assert set(touched(Event("task.completed", at=now(), agent="1", task="2"), "ada")) == {
        "tinytown://town/current",
        "tinytown://agents",
        "tinytown://agents/1",
        "tinytown://agents/ada",
        "tinytown://tasks/2",
        "tinytown://backlog",
    }
    assert set(touched(Event("mission.paused", at=now(), mission="3"), None)) == {
        "tinytown://town/current",
        "tinytown://missions",
        "tinytown://missions/3",
    }
