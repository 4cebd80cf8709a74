"""Wait until an agent or a task has ended."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import AgentNotFound, Conflict, Invalid, TaskNotFound
from tinytown.ids import SUPERVISOR_ID, short
from tinytown.lifecycle import AgentState, TaskState
from tinytown.runtime.living import being_stopped
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.rousing import in_the_way, is_a_person, without_runtime
from tinytown.runtime.operations.tasks import waits_for
from tinytown.text import one_line

if TYPE_CHECKING:
    from tinytown.ids import AgentId, TaskId
    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town

_REASON = 200
"""Characters of what an agent failed with."""

STARTS_OVER = frozenset({"town.reset", "town.restored"})
"""After these what was waited for may not be there any more."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Exactly one of the two."""

    agent: str | None = None
    task: str | None = None


@operation("town.wait", Scope.READ)
async def wait(town: Town, request: Wait) -> Agent | Task:
    """Wait until an agent has stopped, or a task has ended. The caller sets the limit of time.

    Returns the record as it is then, at once when the end has come before. A task whose agent has stopped or is in
    error would be waited for until a person does something, so that raises `Conflict`, which names the agent and
    what to do. Raises `AgentNotFound`, `TaskNotFound`, `Invalid`.
    """
    if (request.agent is None) == (request.task is None):
        raise Invalid("Wait for an agent or for a task", hint="tt wait AGENT, or tt wait --task TASK")
    # Taken before the record is read: what happens in between is not missed.
    position = await town.journal.position()
    if request.task is not None:
        return await _task_ended(town, position, (await town.store.find_task(request.task)).id)
    return await _agent_ended(town, position, (await town.store.find_agent(request.agent or "")).id)


async def outlook(town: Town, request: Wait) -> str | None:
    """Why the end will not come by itself, as far as it can be seen; None when it may.

    For a person who waits. Nothing is started for it: to wait is to look, and work that was kept back by `tt stop`
    does not begin because somebody looks. Of what is not there `wait` says so.
    """
    try:
        if request.task is None:
            agent = await town.store.find_agent(request.agent or "")
            return None if agent.state.is_terminal else await _holder_outlook(town, agent, at_it=True)
        task = await town.store.find_task(request.task)
        if task.state is TaskState.PENDING and task.waits:
            return await waits_for(town, task)
        if task.waits and task.review_task is not None:
            task = await town.store.task(task.review_task)
        if task.state.is_terminal or task.assigned_to is None:
            return None
        agent = await town.store.agent(task.assigned_to)
    except (AgentNotFound, TaskNotFound):
        return None
    if agent.state.is_terminal:
        return await without_runtime(town) if _is_freed_by_the_town(town) else None
    return await _holder_outlook(town, agent, at_it=task.state is TaskState.RUNNING)


async def _holder_outlook(town: Town, agent: Agent, *, at_it: bool) -> str | None:
    """What keeps the agent back; one that is ending still ends what it is at."""
    if is_a_person(agent):
        return None
    way = None if at_it and agent.state is AgentState.DRAINING else in_the_way(agent)
    if not at_it:
        way = way or being_stopped(town)
    return way or await without_runtime(town)


async def _agent_ended(town: Town, position: str, agent_id: AgentId) -> Agent:
    agent = await town.store.agent(agent_id)
    if agent.state.is_terminal:
        return agent
    async with aclosing(town.journal.follow(position)) as events:
        async for event in events:
            if event.type in STARTS_OVER or (event.agent == agent_id and event.type != "message.sent"):
                agent = await town.store.agent(agent_id)
                if agent.state.is_terminal:
                    return agent
    raise AssertionError("the journal has no end")


async def _task_ended(town: Town, position: str, task_id: TaskId) -> Task:
    task = await _task_with_a_future(town, task_id)
    if task.state.is_terminal:
        return task
    async with aclosing(town.journal.follow(position)) as events:
        async for event in events:
            of_task = event.task == task_id and event.type != "message.sent"
            of_its_agent = event.agent == task.assigned_to and event.type.startswith("agent.")
            if of_task or of_its_agent or event.type in STARTS_OVER:
                task = await _task_with_a_future(town, task_id)
                if task.state.is_terminal:
                    return task
    raise AssertionError("the journal has no end")


async def _task_with_a_future(town: Town, task_id: TaskId) -> Task:
    """The task, when it has ended or may end; else `Conflict`.

    One that waits for others goes on when they end, whatever its agent does meanwhile: it may be in review.
    """
    task = await town.store.task(task_id)
    while not (task.state.is_terminal or task.waits or task.assigned_to in (None, SUPERVISOR_ID)):
        holder = task.assigned_to
        assert holder is not None
        hopeless = await _hopeless(town, task, holder)
        if hopeless is None:
            return task
        # The agent may have ended the task, or lost it, before it stopped.
        task = await town.store.task(task_id)
        if not task.state.is_terminal and task.assigned_to == holder and not task.waits:
            raise hopeless
    return task


async def _hopeless(town: Town, task: Task, holder: AgentId) -> Conflict | None:
    """Why the agent will not work on the task; None when it may."""
    what = f"Task {short(task.id)} does not go on"
    try:
        agent = await town.store.agent(holder)
    except AgentNotFound:
        return Conflict(f"{what}: its agent is gone", hint="Free it: tt reclaim --orphan-tasks --to-backlog")
    if not agent.state.is_terminal or _is_freed_by_the_town(town):
        return None
    if agent.state is AgentState.ERROR:
        why = f": {one_line(agent.reason, _REASON)}" if agent.reason else ""
        return Conflict(
            f"{what}: agent '{agent.name}' is in error{why}", hint=f"Mend the cause, then: tt restart {agent.name}"
        )
    return Conflict(f"{what}: agent '{agent.name}' has stopped", hint=f"tt restart {agent.name}")


def _is_freed_by_the_town(town: Town) -> bool:
    """A runtime takes work away from agents that have ended, after some time."""
    return town.settings.backlog.auto_claim and town.settings.backlog.reclaim_after > 0
