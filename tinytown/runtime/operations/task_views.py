"""A task as people see it: with names instead of ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from tinytown.errors import BadMessage
from tinytown.ids import SUPERVISOR_ID, is_id, short
from tinytown.records import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tinytown.ids import AgentId
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task with the names of whose it is and of who gave it; empty where there is nobody."""

    task: Task
    agent_name: str = ""
    assigned_by_name: str = ""


def view(task: Task, names: Mapping[AgentId, str]) -> TaskView:
    """The task with the names that its ids have in `names`."""
    return TaskView(task, name_of(task.assigned_to, names), name_of(task.assigned_by, names))


async def texts_of(town: Town, task_ids: Iterable[str]) -> dict[str, str]:
    """The descriptions of those of these tasks that there are, by id."""
    ids = sorted({each for each in task_ids if is_id(each)})
    if not ids:
        return {}
    found = await town.connection.execute("MGET", *(town.keys("task", each) for each in ids), repeat=True)
    texts: dict[str, str] = {}
    for raw in cast("list[bytes | None]", found):
        try:
            task = Task.decode(raw or b"")
        except BadMessage:
            # Gone or damaged; whoever shows it has the id.
            continue
        texts[task.id] = task.description
    return texts


async def names_of(town: Town, ids: Iterable[AgentId]) -> dict[AgentId, str]:
    """The names of those of these that are agents; the conductor's goes without saying."""
    found = await town.store.agents_of(sorted(set(ids) - {SUPERVISOR_ID}))
    return {agent.id: agent.name for agent in found}


def name_of(agent_id: AgentId | None, names: Mapping[AgentId, str]) -> str:
    """The name of an agent, `conductor` for the supervisor, `(gone) 1a2b3c4d` for one that was pruned."""
    if agent_id is None:
        return ""
    if agent_id == SUPERVISOR_ID:
        return "conductor"
    if agent_id in names:
        return names[agent_id]
    # A message that was sent by hand may name anybody.
    return f"(gone) {short(agent_id)}" if is_id(agent_id) else agent_id
