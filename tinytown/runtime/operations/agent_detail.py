"""One agent, with what waits for it and what it is at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import TaskNotFound
from tinytown.runtime.operations.pending import look
from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.task_views import view

if TYPE_CHECKING:
    from tinytown.records import Agent
    from tinytown.runtime.operations.pending import Counts
    from tinytown.runtime.operations.task_views import TaskView
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class ShowAgent:
    """An agent by name, id or prefix."""

    agent: str


@dataclass(frozen=True, slots=True)
class AgentDetail:
    """An agent, what waits for it, and its task.

    `pending` is how many messages lie in its lanes, `counts` what they ask for, `in_hand` how many its turn holds.
    """

    agent: Agent
    pending: int
    counts: Counts
    in_hand: int = 0
    task: TaskView | None = None


@operation("agent.show", Scope.READ)
async def show_agent(town: Town, request: ShowAgent) -> AgentDetail:
    """Show one agent.

    Raises `AgentNotFound`, `AmbiguousId`.
    """
    agent = await town.store.find_agent(request.agent)
    (waiting,) = await look(town, [agent.id])
    task = None
    if agent.current_task is not None:
        try:
            task = view(await town.store.task(agent.current_task), await town.store.names())
        except TaskNotFound:
            # Deleted while it was worked on.
            task = None
    return AgentDetail(agent, waiting.total, waiting.counts, waiting.in_hand, task)
