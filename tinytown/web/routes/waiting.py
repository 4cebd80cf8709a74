"""Waiting for an end, as long as one request may take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tinytown.records import Agent
from tinytown.runtime.operations.agent_detail import ShowAgent, show_agent
from tinytown.runtime.operations.tasks import ShowTask, show_task
from tinytown.runtime.operations.waiting import Wait, wait
from tinytown.web.routes.call import json_answer, misfit

if TYPE_CHECKING:
    from tinytown.messages import JsonObject
    from tinytown.records import Task
    from tinytown.web.routes.call import Answer, Call

DEFAULT_SECONDS = 20
MOST_SECONDS = 60
_MARGIN = 2.0
"""Seconds before the time of a request is over: the answer has to begin by then."""


async def wait_for_agent(call: Call) -> Answer:
    """Answer when the agent has ended, or the time is over."""
    return await _wait(call, Wait(agent=call.path["agent"]))


async def wait_for_task(call: Call) -> Answer:
    """Answer when the task has ended, or the time is over."""
    return await _wait(call, Wait(task=call.path["task_id"]))


async def _wait(call: Call, request: Wait) -> Answer:
    seconds = min(_seconds(call), max(0.0, call.hall.settings.request_timeout - _MARGIN))
    found: Agent | Task | None = None
    with trio.move_on_after(seconds):
        found = await wait(call.town, request)
    if found is None:
        found = await _look(call, request)
    kind = "agent" if isinstance(found, Agent) else "task"
    shown: JsonObject = {"ended": found.state.is_terminal, kind: found.to_json()}
    return json_answer(shown)


async def _look(call: Call, request: Wait) -> Agent | Task:
    if request.task is not None:
        return (await show_task(call.town, ShowTask(request.task))).task
    return (await show_agent(call.town, ShowAgent(request.agent or ""))).agent


def _seconds(call: Call) -> float:
    text = call.parameters("seconds").get("seconds", str(DEFAULT_SECONDS))
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and int(text) <= MOST_SECONDS):
        raise misfit("seconds", f"expected 0 to {MOST_SECONDS}")
    return float(text)
