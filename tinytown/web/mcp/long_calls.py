"""Calls that wait for an agent: they say how far they are, and can be called off.

What is waited for goes on when the wait is called off: the task stays assigned, the agent stays as it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, cast

import trio

from tinytown.errors import Invalid
from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.agent_detail import ShowAgent, show_agent
from tinytown.runtime.operations.registry import Operation
from tinytown.runtime.operations.tasks import Assign, Assigned, ShowTask, assign, show_task
from tinytown.runtime.operations.waiting import Wait, wait
from tinytown.web.mcp.row import Row
from tinytown.web.mcp.toolset import OperationTool, Report, finished
from tinytown.web.schemas.shapes import present

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tinytown.messages import JsonObject, JsonValue
    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town

BEAT = 5.0
"""Seconds between two reports of a call that waits: clients give up on one that is silent."""

LONGEST_WAIT = 7 * 86_400
"""Seconds; the longest `timeout_secs`."""


@dataclass(frozen=True, slots=True)
class WaitForAgent:
    """`timeout_secs` is how long to wait; None means until the agent has ended or the call is called off."""

    agent: str
    timeout_secs: float | None = None


@dataclass(frozen=True, slots=True)
class Waited:
    """`ended` is false when the time was over first."""

    agent: Agent
    ended: bool


@dataclass(frozen=True, slots=True)
class AssignAndWait(Assign):
    """A new task for an agent, and whether to wait for its end."""

    wait: bool = False


async def _agent_wait(town: Town, request: WaitForAgent) -> Waited:
    """Wait until an agent has ended."""
    raise NotImplementedError  # the tool does it: it has somebody to report to


async def _task_assign(town: Town, request: AssignAndWait) -> Assigned:
    """Give an agent a task."""
    raise NotImplementedError  # the tool does it: it has somebody to report to


class AgentWait(OperationTool):
    """Wait for an agent."""

    def __init__(self) -> None:
        row = Row(
            "agent.wait",
            "town.wait",
            "Wait for an agent",
            "Wait until an agent has stopped or failed. It reports progress and can be cancelled; the agent goes on.",
        )
        super().__init__(row, Operation("town.wait", Scope.READ, _agent_wait, for_workers=False))

    def read(self, arguments: JsonObject) -> object:
        """Raises `Unprocessable`; `Invalid` for a time that is none."""
        request = cast("WaitForAgent", super().read(arguments))
        if request.timeout_secs is not None and not 0 <= request.timeout_secs <= LONGEST_WAIT:
            raise Invalid(f"timeout_secs: expected 0 to {LONGEST_WAIT}")
        return request

    async def work(self, town: Town, request: object, report: Report) -> JsonValue:
        """Wait."""
        asked = cast("WaitForAgent", request)
        name = (await town.store.find_agent(asked.agent)).name

        async def look() -> str:
            agent = (await show_agent(town, ShowAgent(asked.agent))).agent
            return f"Agent '{name}' is {agent.state}, {agent.rounds_completed} rounds done"

        seconds = math.inf if asked.timeout_secs is None else asked.timeout_secs
        found = await _until(lambda: wait(town, Wait(agent=asked.agent)), look, report, seconds)
        agent = (await show_agent(town, ShowAgent(asked.agent))).agent if found is None else cast("Agent", found)
        return present(Waited(agent, ended=found is not None))


class TaskAssign(OperationTool):
    """Give a task, and wait for its end where that is wanted."""

    def __init__(self) -> None:
        row = Row(
            "task.assign",
            "task.assign",
            "Assign a task",
            "Give an agent a task. It begins when the agent is free. With wait, the call comes back when the task has "
            "ended, with its result; called off, the task goes on.",
        )
        super().__init__(row, Operation("task.assign", Scope.WRITE, _task_assign, for_workers=False))
        output = cast("dict[str, Any]", self.definition.output_schema)
        output["properties"]["ended"] = {"type": "boolean", "description": "There when the call waited for the end."}

    async def work(self, town: Town, request: object, report: Report) -> JsonValue:
        """Give it, wait."""
        asked = cast("AssignAndWait", request)
        plain = Assign(**{each.name: getattr(asked, each.name) for each in fields(Assign)})
        given = cast("Assigned", await finished(assign, town, plain))
        if not asked.wait:
            return present(given)
        task_id = given.task.id

        async def look() -> str:
            task = (await show_task(town, ShowTask(task_id))).task
            return f"Task {task_id} of '{given.agent.name}' is {task.state}"

        ended = await _until(lambda: wait(town, Wait(task=task_id)), look, report, math.inf)
        shown = present(replace(given, task=cast("Task", ended), note=None))
        return {**cast("JsonObject", shown), "ended": True}


async def _until(
    waiting: Callable[[], Awaitable[Agent | Task]], look: Callable[[], Awaitable[str]], report: Report, seconds: float
) -> Agent | Task | None:
    """What was waited for; None when the time was over first. Reports every `BEAT` seconds how things stand."""
    found: Agent | Task | None = None
    began = trio.current_time()

    async def beat() -> None:
        while True:
            await report(trio.current_time() - began, await look())
            await trio.sleep(BEAT)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(beat)
        with trio.move_on_after(seconds):
            found = await waiting()
        nursery.cancel_scope.cancel()
    return found


LONG_CALLS: Mapping[str, Callable[[], OperationTool]] = {"town.wait": AgentWait, "task.assign": TaskAssign}
"""By the operation whose place they take."""
