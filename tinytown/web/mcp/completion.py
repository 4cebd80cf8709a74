"""What a client offers while a person types the name of an agent, or the id of a task or a mission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp_types import Completion

from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.agents import ListAgents, list_agents
from tinytown.runtime.operations.missions.showing import ListMissions, list_missions
from tinytown.runtime.operations.tasks import ListTasks, list_tasks

if TYPE_CHECKING:
    from tinytown.runtime.town import Town

MOST = 100
"""Values of one answer, by the protocol."""


async def complete(town: Town, argument: str, typed: str) -> Completion:
    """The values that an argument of this name may have and that begin with what was typed."""
    if Scope.READ not in town.caller.scopes:
        return Completion(values=[])
    if argument == "agent_name":
        agents = (await list_agents(town, ListAgents())).agents
        mine = town.caller.agent_id if town.caller.is_worker else None
        values = sorted(each.name for each in agents if mine in (None, each.id))
    elif argument == "task_id":
        # The newest first: it is most likely the one that is meant.
        values = [each.task.id for each in reversed((await list_tasks(town, ListTasks())).tasks)]
    elif argument == "run_id":
        values = [each.mission.id for each in (await list_missions(town, ListMissions(everything=True))).missions]
    else:
        values = []
    fitting = [value for value in values if value.startswith(typed)]
    return Completion(values=fitting[:MOST], total=len(fitting), has_more=len(fitting) > MOST)
