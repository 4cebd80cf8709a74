"""The tools: what is offered, what a call gives, and what a refused one leaves alone."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from halls import Open
from jsonschema import Draft202012Validator
from mcp import Client, MCPError
from mcp_parts import ERAS, GENEROUS, envelope, key_with, mcp_townhall, over_http, over_sse, over_stdio, snapshot
from runtime_parts import add, credential_of

from tinytown.runtime.caller import Scope
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.registry import Operation
from tinytown.runtime.town import Town
from tinytown.web.mcp.catalogue import DOCS, ROWS, WITHOUT_TOOL, row_of
from tinytown.web.mcp.envelope import success
from tinytown.web.mcp.long_calls import LONG_CALLS
from tinytown.web.mcp.toolset import OperationTool, make_tools, shortened
from tinytown.web.schemas.types import operations
from tinytown.web.settings import RateSettings, TownhallSettings

READ = {
    "town.get_status", "agent.list", "agent.inbox", "task.list_pending", "backlog.list", "task.show", "agent.wait",
    "events.read", "why", "mission.list", "mission.status", "mission.events", "mission.why",
}  # fmt: skip
WRITE = {
    "task.assign", "task.complete", "task.fail", "task.cancel", "message.send", "backlog.add", "backlog.claim",
    "backlog.assign_all", "backlog.remove", "inbox.answer", "mission.note",
}  # fmt: skip
MANAGE = {
    "agent.spawn", "agent.kill", "agent.close", "agent.restart", "agent.prune", "agent.interrupt", "agent.resume",
    "recovery.recover_agents", "recovery.reclaim_tasks", "mission.start", "mission.stop", "mission.resume",
    "mission.approve", "mission.reject",
}  # fmt: skip
WORKERS = {
    "agent.list", "agent.inbox", "task.list_pending", "task.show", "task.complete", "task.fail", "message.send",
    "backlog.list", "backlog.add", "backlog.claim",
}  # fmt: skip


@pytest.fixture
async def opened(town: Town, made: Path) -> AsyncIterator[Open]:
    add(town, "ada", role="backend")
    add(town, "bob")
    async with mcp_townhall(made) as opened:
        yield opened


@pytest.fixture
def town(made: Path) -> Any:
    with open_blocking(made, environ=os.environ) as town:
        yield town


def test_every_operation_is_a_tool_or_has_a_reason_why_not() -> None:
    known = operations()
    offered = (
        {row.operation for row in ROWS} | set(LONG_CALLS) | {tool.operation.name for tool in make_tools().values()}
    )

    assert {row.operation for row in ROWS} <= set(known)
    assert set(WITHOUT_TOOL) <= set(known)
    assert not offered & set(WITHOUT_TOOL) - set(LONG_CALLS)
    for name, operation in known.items():
        assert name in offered or name in WITHOUT_TOOL or operation.scope is Scope.ADMIN, name


def test_a_model_is_told_when_to_use_each_tool_and_what_each_field_means() -> None:
    tools = make_tools()

    assert tools.keys() >= READ | WRITE | MANAGE
    for name in READ | WRITE | MANAGE:
        definition = tools[name].definition
        assert definition.title
        assert len(definition.description or "") > 20, name
        for field, schema in definition.input_schema["properties"].items():
            assert schema.get("description"), f"{name}: {field}"
            assert field in DOCS or field == "urgent"


def test_hints_say_what_a_call_may_do() -> None:
    def hints(name: str) -> tuple[object, object, object]:
        found = make_tools()[name].definition.annotations
        assert found is not None
        return found.read_only_hint, found.destructive_hint, found.idempotent_hint

    assert all(hints(name) == (True, False, True) for name in READ)
    assert all(hints(name)[0] is False for name in WRITE | MANAGE)
    assert hints("task.assign") == (False, False, False)
    assert hints("agent.kill") == (False, True, False)
    assert hints("agent.resume") == (False, False, True)
    assert hints("agent.prune") == (False, True, True)


def test_all_schemas_are_schemas() -> None:
    for tool in make_tools().values():
        for schema in (tool.definition.input_schema, tool.definition.output_schema):
            assert schema is not None
            Draft202012Validator.check_schema(schema)
            assert schema["type"] == "object"
        assert tool.definition.input_schema["additionalProperties"] is False


@dataclass(frozen=True, slots=True)
class Paint:
    """A fence by its name."""

    fence: str
    coats: int = 1


async def paint(town: Town, request: Paint) -> Paint:
    """Paint a fence, in one coat
    or in several.

    Raises nothing.
    """
    return request


async def test_an_operation_that_is_new_is_a_tool_at_once(town: Town) -> None:
    operation: Any = Operation("fence.paint_it", Scope.MANAGE, paint, for_workers=False)
    tool = OperationTool(row_of(operation), operation)

    assert tool.name == "fence.paint_it"
    assert tool.definition.title == "Fence paint it"
    assert tool.definition.description == "Paint a fence, in one coat or in several."
    assert tool.definition.input_schema["required"] == ["fence"]
    assert tool.definition.annotations is not None
    assert tool.definition.annotations.destructive_hint is True
    request = tool.read({"fence": "north", "coats": 2})
    assert await tool.call(town, request, report) == {"fence": "north", "coats": 2}


async def report(progress: float, message: str) -> None:
    raise AssertionError("nothing to report")


@pytest.mark.parametrize("transport", ["legacy", "auto", "sse"])
async def test_every_tool_does_what_it_says(opened: Open, transport: str) -> None:
    connect = over_sse(opened) if transport == "sse" else over_http(opened, mode=transport)
    async with connect as client:
        used = await every_tool(client)

        # A new agent is a process: the conversation of the guide starts one. Missions need a GitHub: `test_missions`.
        offered = {tool.name for tool in (await client.list_tools()).tools if not tool.name.startswith("mission.")}
        assert used | {"agent.spawn", "agent.restart"} == offered


async def every_tool(client: Client) -> set[str]:
    """Call all tools, and look at what they give. The client checks each result against the tool's schema."""
    used = set()

    async def call(tool: str, **arguments: Any) -> Any:
        used.add(tool)
        found = envelope(await client.call_tool(tool, arguments))
        assert found["success"], found
        return found["data"]

    assert {each["name"] for each in (await call("agent.list"))["agents"]} == {"ada", "bob"}
    task = await call("task.assign", agent="ada", description="Mend the roof\nand the gutter", tags=["house"])
    assert (task["agent_name"], task["state"]) == ("ada", "assigned")
    assert (await call("task.show", task_id=task["task_id"][:8]))["description"] == "Mend the roof\nand the gutter"
    assert [each["id"] for each in (await call("task.list_pending", agent="ada"))["tasks"]] == [task["task_id"]]
    sent = await call("message.send", to="ada", message="hurry", kind="info", urgent=True)
    assert (sent["priority"], sent["to_name"]) == ("urgent", "ada")
    assert (await call("agent.inbox", agent="ada"))["waiting"] == 2
    asked = await call("message.send", to="conductor", message="May I?", kind="query", **{"from": "ada"})
    answered = await call("inbox.answer", message_id=asked["id"], answer="Yes")
    assert (answered["to"]["name"], answered["message"]["correlation_id"]) == ("ada", asked["id"])
    assert "runtime" in (await call("why", subject="ada"))["sentence"].lower()
    done = await call("task.complete", task_id=task["task_id"], result="dry")
    assert (done["state"], done["result"]) == ("completed", "dry")
    for tool, field in (("task.fail", "error"), ("task.cancel", "reason")):
        other = await call("task.assign", agent="bob", description="more")
        assert (await call(tool, task_id=other["task_id"], **{field: "no"}))["state"] in ("failed", "cancelled")
    items = [(await call("backlog.add", description=text))["task_id"] for text in ("one", "two", "three")]
    assert len((await call("backlog.list"))["backlog"]) == 3
    assert (await call("backlog.claim", task_id=items[0], agent="ada"))["agent_name"] == "ada"
    assert (await call("backlog.remove", task_id=items[1]))["task_id"] == items[1]
    assert (await call("backlog.assign_all", agent="bob"))["task_ids"] == [items[2]]
    assert len((await call("events.read", limit=3))["events"]) == 3
    assert (await call("agent.interrupt", agent="ada"))["state"] == "paused"
    assert (await call("agent.resume", agent="ada"))["state"] == "idle"
    assert (await call("agent.close", agent="ada"))["state"] in ("draining", "stopped")
    assert (await call("agent.kill", agent="bob", now=True))["state"] == "stopped"
    assert (await call("agent.wait", agent="bob"))["ended"] is True
    assert (await call("recovery.recover_agents"))["checked"] >= 0
    assert await call("recovery.reclaim_tasks", from_agent="bob", to_backlog=True)
    assert await call("recovery.orphan_tasks")
    assert "bob" in (await call("agent.prune"))["names"]
    assert (await call("town.get_status", deep=True))["name"] == "demo"
    return used


@pytest.mark.parametrize("era", ERAS)
async def test_a_failure_carries_its_code_and_what_to_do(opened: Open, era: str) -> None:
    async with over_http(opened, mode=era) as client:
        unknown = envelope(await client.call_tool("task.assign", {"agent": "zoe", "description": "x"}))
        wrong = envelope(await client.call_tool("task.show", {"id": 3}))
        with pytest.raises(MCPError, match="Unknown tool") as caught:
            await client.call_tool("town.destroy", {})

    assert (unknown["error"], unknown["code"]) == ("Agent not found: zoe", "agent_not_found")
    assert unknown["hint"]
    assert wrong["code"] == "unprocessable"
    assert {each["path"] for each in wrong["errors"]} == {"task_id", "id"}
    assert caught.value.error.code == -32602


async def test_clients_with_different_keys_are_offered_different_tools(opened: Open) -> None:
    async with (
        over_http(opened, await key_with(opened, Scope.READ)) as reader,
        over_http(opened, await key_with(opened, Scope.READ, Scope.WRITE), mode="legacy") as writer,
        over_http(opened, await key_with(opened)) as nobody,
    ):
        offered = [{tool.name for tool in (await each.list_tools()).tools} for each in (reader, writer, nobody)]
        before = await snapshot(opened.hall.town)
        refused = envelope(await reader.call_tool("backlog.add", {"description": "x"}))
        also = envelope(await writer.call_tool("agent.kill", {"agent": "ada"}))
        blind = envelope(await nobody.call_tool("town.get_status", {}))
        after = await snapshot(opened.hall.town)
        allowed = envelope(await writer.call_tool("backlog.add", {"description": "x"}))

    assert [offered[0] >= READ, offered[1] >= READ | WRITE, offered[2]] == [True, True, set()]
    assert not offered[0] & (WRITE | MANAGE)
    assert not offered[1] & MANAGE
    assert {refused["code"], also["code"], blind["code"]} == {"forbidden"}
    assert "town.write" in refused["error"]
    assert before == after
    assert allowed["success"]


async def test_too_many_changes_are_refused_and_looking_is_not(made: Path) -> None:
    rates = RateSettings(reads=1000, writes=2)
    async with mcp_townhall(made, TownhallSettings(rates=rates)) as opened, over_http(opened) as client:
        said = [envelope(await client.call_tool("backlog.add", {"description": str(at)})) for at in range(3)]
        looked = envelope(await client.call_tool("backlog.list", {}))

    assert [each["success"] for each in said] == [True, True, False]
    assert said[2]["code"] == "too_many_requests"
    assert len(looked["data"]["backlog"]) == 2


async def test_each_change_has_a_record_and_looking_has_none(made: Path) -> None:
    async with mcp_townhall(made, GENEROUS) as opened, over_http(opened) as client:
        await client.call_tool("town.get_status", {})
        added = envelope(await client.call_tool("backlog.add", {"description": "x"}))["data"]
        await client.call_tool("agent.kill", {"agent": "nobody"})
        town = opened.hall.town
        found: Any = await town.connection.execute("XRANGE", town.keys("audit"), "-", "+")

    records = [dict(zip(fields[::2], fields[1::2], strict=True)) for _, fields in found]
    assert [(each[b"object"], each[b"result"]) for each in records] == [
        (f"tool/backlog.add task/{added['task_id']}".encode(), b"success"),
        (b"tool/agent.kill", b"error"),
    ]


async def test_an_agent_reaches_what_is_its_own_and_nothing_else(town: Town, made: Path) -> None:
    ada, bob = add(town, "ada"), add(town, "bob")
    environ = credential_of(town, ada.id)
    scopes = "town.read,town.write,agent.manage,admin"
    async with over_stdio(made, "--scopes", scopes, environ=environ) as client:
        offered = {tool.name for tool in (await client.list_tools()).tools}
        sent = envelope(await client.call_tool("message.send", {"to": "bob", "message": "hello"}))
        forged = envelope(await client.call_tool("message.send", {"to": "bob", "message": "x", "from": "bob"}))
        inbox = envelope(await client.call_tool("agent.inbox", {}))
        others = envelope(await client.call_tool("agent.inbox", {"agent": "bob"}))
        hired = envelope(await client.call_tool("agent.spawn", {"name": "eve"}))
        task = envelope(await client.call_tool("backlog.add", {"description": "for me"}))["data"]["task_id"]
        claimed = envelope(await client.call_tool("backlog.claim", {"task_id": task}))
        resources = [str(each.uri) for each in (await client.list_resources()).resources]
        with pytest.raises(MCPError, match="only what is its own"):
            await client.read_resource("tinytown://agents/bob")
        with pytest.raises(MCPError, match="may not read"):
            await client.read_resource("tinytown://town/current")
        with pytest.raises(MCPError, match="does not lead"):
            await client.get_prompt("conductor.startup_context", {})

    assert offered == WORKERS
    assert sent["data"]["from"] == ada.id
    assert sent["data"]["to"] == bob.id
    assert inbox["data"]["agent"]["id"] == ada.id
    assert claimed["data"]["agent_name"] == "ada"
    assert [forged["code"], others["code"], hired["code"]] == ["forbidden"] * 3
    assert resources == ["tinytown://agents", "tinytown://backlog"]


def test_what_is_no_text_in_a_result_does_not_spoil_the_answer() -> None:
    answer = success({"root": "/tmp/\udcff", "name": "ü"})

    assert envelope(answer)["data"] == {"root": "/tmp/?", "name": "ü"}


def test_a_list_that_no_model_could_read_is_cut_and_says_so() -> None:
    assert shortened({"tasks": [1] * 200, "names": {}}) == {"tasks": [1] * 200, "names": {}}
    assert shortened({"tasks": list(range(203))}) == {"tasks": list(range(200)), "left_out": {"tasks": 3}}
    assert shortened({"events": list(range(203))}) == {"events": list(range(3, 203)), "left_out": {"events": 3}}
    assert shortened(["a"] * 300) == ["a"] * 300
