"""A task as people see it: with names instead of ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.ids import SUPERVISOR_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.ids import AgentId
    from tinytown.records import Task


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task with the names of whose it is and of who gave it; empty where there is nobody."""

    task: Task
    agent_name: str = ""
    assigned_by_name: str = ""


def view(task: Task, names: Mapping[AgentId, str]) -> TaskView:
    """The task with the names that its ids have in `names`."""
    return TaskView(task, name_of(task.assigned_to, names), name_of(task.assigned_by, names))


def name_of(agent_id: AgentId | None, names: Mapping[AgentId, str]) -> str:
    """The name of an agent, `conductor` for the supervisor, the id of one that is gone."""
    if agent_id is None:
        return ""
    return "conductor" if agent_id == SUPERVISOR_ID else names.get(agent_id, agent_id)
