"""Tasks that have not begun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.lifecycle import TaskState
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.tasks import ListTasks, Tasks, list_tasks

if TYPE_CHECKING:
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class PendingTasks:
    """Of all agents, or of one (name, id or prefix)."""

    agent: str | None = None


@operation("task.pending", Scope.READ)
async def pending_tasks(town: Town, request: PendingTasks) -> Tasks:
    """List the tasks that agents have been given and have not begun.

    Raises `AgentNotFound`.
    """
    found = await list_tasks(town, ListTasks(TaskState.ASSIGNED, request.agent))
    waiting = await list_tasks(town, ListTasks(TaskState.PENDING, request.agent))
    theirs = (each for each in waiting.tasks if each.task.assigned_to is not None)
    return Tasks(tuple(sorted((*found.tasks, *theirs), key=lambda each: (each.task.created_at, each.task.id))))
