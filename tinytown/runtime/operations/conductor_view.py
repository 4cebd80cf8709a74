"""The conductor as lists of agents show it: apart from them, since it has no name of theirs and its own end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tinytown.records import Agent, Task
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class Conducting:
    """The conductor and the goal that it pursues; None when that is gone."""

    agent: Agent
    goal: Task | None

    @property
    def work(self) -> str:
        """The text of the goal, while it is open."""
        return "" if self.goal is None or self.goal.state.is_terminal else self.goal.description


async def conducting(town: Town, agents: Iterable[Agent]) -> Conducting | None:
    """The conductor, when there is one to be seen, from among agents that were read.

    It is to be seen while it acts, when it is in Error, and when it has stopped before its goal was reached. The
    mailbox alone, which a person reads, is no conductor; nor is one whose goal has ended.
    """
    agent = next((each for each in agents if each.id == SUPERVISOR_ID), None)
    if agent is None or not agent.cli:
        return None
    found = await town.store.tasks_of([agent.goal] if agent.goal is not None else [])
    seen = Conducting(agent, found[0] if found else None)
    return None if agent.state is AgentState.STOPPED and not seen.work else seen
