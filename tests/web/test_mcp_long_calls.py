"""Calls that wait: they report, they come back with the end, and they can be called off."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from halls import Open
from mcp import Client
from mcp_parts import envelope, mcp_townhall, over_http, over_sse, over_stdio
from runtime_parts import add
from serving import LONG

from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.ending import Kill, kill
from tinytown.runtime.operations.tasks import ListTasks, TaskEnd, complete_task, list_tasks
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync


@pytest.fixture
def town(made: Path) -> Iterator[Town]:
    with open_blocking(made, environ=os.environ) as town:
        add(town, "ada")
        yield town


@pytest.fixture
async def opened(town: Town, made: Path) -> AsyncIterator[Open]:
    async with mcp_townhall(made) as opened:
        yield opened


class Progress:
    """What a client was told while it waited."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str | None]] = []
        self.first = trio.Event()

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None:
        self.told.append((progress, message))
        self.first.set()


@pytest.fixture(params=["legacy", "auto", "sse", "stdio"])
def connect(request: pytest.FixtureRequest, opened: Open, made: Path) -> Any:
    transports = {
        "legacy": lambda: over_http(opened, mode="legacy"),
        "auto": lambda: over_http(opened, mode="auto"),
        "sse": lambda: over_sse(opened),
        "stdio": lambda: over_stdio(made, mode="auto"),
    }
    return transports[request.param]


async def test_a_call_that_waits_reports_and_ends_with_what_it_waited_for(connect: Any, town: Town) -> None:
    agent, task = Progress(), Progress()
    said: dict[str, Any] = {}

    async def ask(client: Client, tool: str, progress: Progress, **arguments: Any) -> None:
        said[tool] = envelope(await client.call_tool(tool, arguments, progress_callback=progress))["data"]

    with trio.fail_after(LONG):
        async with connect() as client, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: ask(client, "agent.wait", agent, agent="ada"))
            nursery.start_soon(lambda: ask(client, "task.assign", task, agent="ada", description="x", wait=True))
            await agent.first.wait()
            await task.first.wait()
            (given,) = run_sync(list_tasks(town, ListTasks())).tasks
            run_sync(complete_task(town, TaskEnd(given.task.id, "dry")))
            run_sync(kill(town, Kill("ada")))

    assert (said["task.assign"]["state"], said["task.assign"]["result"]) == ("completed", "dry")
    assert said["task.assign"]["ended"] is True
    assert (said["agent.wait"]["agent"]["state"], said["agent.wait"]["ended"]) == ("stopped", True)
    assert agent.told[0][1] == "Agent 'ada' is starting, 0 rounds done"
    assert f"Task {given.task.id} of 'ada' is assigned" == task.told[0][1]


@pytest.mark.parametrize("connect", ["legacy", "auto"], indirect=True)
async def test_a_call_that_is_called_off_leaves_no_trace_and_its_work_goes_on(connect: Any, town: Town) -> None:
    progress = Progress()
    with trio.fail_after(LONG):
        async with connect() as client:
            async with trio.open_nursery() as nursery:

                async def ask() -> None:
                    await client.call_tool(
                        "task.assign",
                        {"agent": "ada", "description": "x", "wait": True},
                        progress_callback=progress,
                    )

                nursery.start_soon(ask)
                await progress.first.wait()
                nursery.cancel_scope.cancel()
            after = envelope(await client.call_tool("task.list_pending", {}))["data"]

    assert [each["state"] for each in after["tasks"]] == ["assigned"]


async def test_a_wait_with_a_limit_says_that_the_end_did_not_come(opened: Open) -> None:
    async with over_http(opened) as client:
        said = envelope(await client.call_tool("agent.wait", {"agent": "ada", "timeout_secs": 0}))
        wrong = envelope(await client.call_tool("agent.wait", {"agent": "ada", "timeout_secs": -1}))

    assert said["data"]["ended"] is False
    assert said["data"]["agent"]["state"] == "starting"
    assert wrong["code"] == "invalid"
