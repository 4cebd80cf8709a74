"""Wait until an agent or a task has ended."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from tinytown.errors import Invalid
from tinytown.records import Agent, Task
from tinytown.runtime.operations.registry import Scope, operation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinytown.runtime.town import Town

_R = TypeVar("_R", Agent, Task)


@dataclass(frozen=True, slots=True)
class Wait:
    """Exactly one of the two."""

    agent: str | None = None
    task: str | None = None


@operation("town.wait", Scope.READ)
async def wait(town: Town, request: Wait) -> Agent | Task:
    """Wait until an agent has stopped, or a task has ended. The caller sets the limit of time.

    Returns the record as it is then, at once when the end has come before. Raises `AgentNotFound`,
    `TaskNotFound`, `Invalid`.
    """
    if (request.agent is None) == (request.task is None):
        raise Invalid("Wait for an agent or for a task", hint="tt wait AGENT, or tt wait --task TASK")
    # Taken before the record is read: what happens in between is not missed.
    position = await town.journal.position()
    if request.task is not None:
        task_id = (await town.store.find_task(request.task)).id
        return await _until_ended(town, position, task_id, lambda: town.store.task(task_id))
    agent_id = (await town.store.find_agent(request.agent or "")).id
    return await _until_ended(town, position, agent_id, lambda: town.store.agent(agent_id))


async def _until_ended(town: Town, position: str, record_id: str, read: Callable[[], Awaitable[_R]]) -> _R:
    record = await read()
    if record.state.is_terminal:
        return record
    async with aclosing(town.journal.follow(position)) as events:
        async for event in events:
            if record_id in (event.agent, event.task) and event.type != "message.sent":
                record = await read()
                if record.state.is_terminal:
                    return record
    raise AssertionError("the journal has no end")
