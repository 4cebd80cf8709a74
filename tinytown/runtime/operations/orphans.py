"""Orphan tasks: open, and their agent has ended or is gone.

They are found by their records, whatever lies in any mailbox. A message that still hands one over does no harm: its
recipient sees that the task is not its own any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tinytown.actors.handover import OPEN
from tinytown.errors import AgentNotFound, Full, TaskNotFound
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import TaskState
from tinytown.messages import Informational, Message
from tinytown.records import Event
from tinytown.runtime.operations.backlog import backlog_of
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.transport.clearing import delete_task
from tinytown.transport.store import Raced

if TYPE_CHECKING:
    from tinytown.ids import AgentId
    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town
    from tinytown.transport.store import Change, Seen

_WHY = "its agent is gone"


class OrphanAction(StrEnum):
    """What to do with them."""

    LIST = "list"
    """Nothing."""
    TO_BACKLOG = "to_backlog"
    CANCEL = "cancel"
    DELETE = "delete"


class OrphanReason(StrEnum):
    """Why a task is an orphan."""

    MISSING = "agent_missing"
    ENDED = "agent_terminal"


@dataclass(frozen=True, slots=True)
class ReclaimOrphans:
    """Orphan tasks of all agents, or of one (name, id or prefix; the id of one that is gone)."""

    action: OrphanAction = OrphanAction.LIST
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A task as it was found. `agent_name` is empty when its agent is gone."""

    task: Task
    reason: OrphanReason
    agent_name: str = ""


@dataclass(frozen=True, slots=True)
class Orphans:
    """In the order of creation."""

    action: OrphanAction
    orphans: tuple[Orphan, ...]


@operation("recovery.orphan_tasks", Scope.MANAGE)
async def reclaim_orphans(town: Town, request: ReclaimOrphans) -> Orphans:
    """Show the open tasks whose agent has ended or is gone; move them to the backlog, cancel or delete them.

    Raises `AgentNotFound`.
    """
    found = await _find(town, request.source)
    if request.action is OrphanAction.LIST:
        return Orphans(request.action, tuple(found))
    return Orphans(request.action, tuple([each for each in found if await _settle(town, each, request.action)]))


async def _find(town: Town, source: str | None) -> list[Orphan]:
    agents: dict[AgentId, Agent] = {agent.id: agent for agent in await town.store.agents()}
    wanted = await _wanted(town, source)
    found = []
    for state in OPEN:
        for task in await town.store.tasks(state):
            if task.assigned_to is None or task.assigned_to == SUPERVISOR_ID:
                continue
            if wanted not in (None, task.assigned_to):
                continue
            agent = agents.get(task.assigned_to)
            if agent is None:
                found.append(Orphan(task, OrphanReason.MISSING))
            elif agent.state.is_terminal:
                found.append(Orphan(task, OrphanReason.ENDED, agent.name))
    return sorted(found, key=lambda orphan: (orphan.task.created_at, orphan.task.id))


async def _wanted(town: Town, source: str | None) -> str | None:
    if source is None:
        return None
    try:
        return (await town.store.find_agent(source)).id
    except AgentNotFound:
        for state in OPEN:
            if any(task.assigned_to == source for task in await town.store.tasks(state)):
                return source
        raise


async def _settle(town: Town, orphan: Orphan, action: OrphanAction) -> bool:
    """Do it, unless the task is not what was found any more."""
    told = True
    while True:
        try:
            seen = await town.store.see_task(orphan.task.id)
        except TaskNotFound:
            return False
        if seen.record.assigned_to != orphan.task.assigned_to or seen.record.state.is_terminal:
            return False
        change = town.store.change()
        _ACTIONS[action](town, change, seen, told=told)
        try:
            await town.store.commit(change)
        except Raced:
            continue
        except (Full, AgentNotFound):
            if not change.messages:
                raise
            # A mailbox that takes nothing must not keep the task where it is.
            told = False
            continue
        return True


def _to_backlog(town: Town, change: Change, seen: Seen[Task], *, told: bool) -> None:
    del told
    task = seen.record
    if task.state is TaskState.PENDING:
        # It waits for other tasks: after them it is anybody's.
        change.replace_task(seen, replace(task, assigned_to=None))
        return
    change.replace_task(seen, task.release())
    backlog_of(town).put(change, task.id)
    change.tell(Event("task.released", task=task.id, detail=f"back to the backlog by {town.caller.name}"))


def _cancel(town: Town, change: Change, seen: Seen[Task], *, told: bool) -> None:
    task = seen.record.cancel(_WHY)
    change.replace_task(seen, task)
    change.tell(Event("task.cancelled", agent=task.assigned_to, task=task.id, detail=_WHY))
    if told and task.assigned_by is not None and task.assigned_by != town.caller.agent_id:
        text = f"Task {task.id} was cancelled: {_WHY}"
        change.send(Message(town.caller.agent_id, task.assigned_by, Informational(text)))


def _delete(town: Town, change: Change, seen: Seen[Task], *, told: bool) -> None:
    del told
    delete_task(change, town.keys, seen)
    change.tell(Event("task.deleted", task=seen.record.id, detail=f"{_WHY}; by {town.caller.name}"))


_ACTIONS = {
    OrphanAction.TO_BACKLOG: _to_backlog,
    OrphanAction.CANCEL: _cancel,
    OrphanAction.DELETE: _delete,
}
