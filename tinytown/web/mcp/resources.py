"""What can be read without a tool: the town, its agents, its backlog, its missions, and each of them by its name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_types import Resource, ResourceTemplate

from tinytown.errors import Forbidden, NotFound
from tinytown.runtime.caller import Scope
from tinytown.runtime.operations.agent_detail import ShowAgent, show_agent
from tinytown.runtime.operations.agents import ListAgents, list_agents
from tinytown.runtime.operations.backlog import ListBacklog, list_backlog
from tinytown.runtime.operations.missions.showing import ListMissions, ShowMission, list_missions, show_mission
from tinytown.runtime.operations.registry import require
from tinytown.runtime.operations.status import Status, status
from tinytown.runtime.operations.tasks import ShowTask, show_task
from tinytown.text import one_line
from tinytown.web.mcp.desk import require_own
from tinytown.web.schemas.shapes import present

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinytown.runtime.town import Town

TOWN = "tinytown://town/current"
AGENTS = "tinytown://agents"
BACKLOG = "tinytown://backlog"
MISSIONS = "tinytown://missions"
MEDIA_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Shelf:
    """One resource, or where `argument` is given the template of many. `read` gets what stands in its place."""

    uri: str
    name: str
    title: str
    description: str
    read: Callable[[Town, str], Awaitable[object]]
    argument: str = ""
    workers: bool = False
    """An agent may read it with its own credential; of the agents only itself."""

    def place(self, uri: str) -> str | None:
        """What a URI puts in the place of the argument; None when it is not of this shelf."""
        head = self.uri.partition("{")[0]
        if not self.argument:
            return "" if uri == self.uri else None
        rest = uri.removeprefix(head)
        return rest if rest != uri and rest and "/" not in rest else None


async def _agents(town: Town, _: str) -> object:
    return await list_agents(town, ListAgents())


async def _agent(town: Town, name: str) -> object:
    await require_own(town, name)
    return await show_agent(town, ShowAgent(name))


async def _backlog(town: Town, _: str) -> object:
    return await list_backlog(town, ListBacklog())


async def _task(town: Town, task_id: str) -> object:
    return await show_task(town, ShowTask(task_id))


async def _town(town: Town, _: str) -> object:
    return await status(town, Status())


async def _missions(town: Town, _: str) -> object:
    return await list_missions(town, ListMissions())


async def _mission(town: Town, mission_id: str) -> object:
    return await show_mission(town, ShowMission(mission_id))


_SHELVES = (
    Shelf(TOWN, "town", "The town", "Everything at a glance: agents, tasks by state, the runtime.", _town),
    Shelf(AGENTS, "agents", "All agents", "Every agent with its state and role.", _agents, workers=True),
    Shelf(BACKLOG, "backlog", "The backlog", "The tasks that nobody has yet.", _backlog, workers=True),
    Shelf(
        "tinytown://agents/{agent_name}",
        "agent",
        "One agent",
        "One agent: what it is at, and what waits for it.",
        _agent,
        "agent_name",
        workers=True,
    ),
    Shelf(
        "tinytown://tasks/{task_id}",
        "task",
        "One task",
        "One task with its whole text and result.",
        _task,
        "task_id",
        workers=True,
    ),
    Shelf(MISSIONS, "missions", "All missions", "Every mission and how far it is.", _missions),
    Shelf(
        "tinytown://missions/{run_id}", "mission", "One mission", "One mission with its work items.", _mission, "run_id"
    ),
)


class Library:
    """The resources of a server."""

    def resources(self, town: Town) -> list[Resource]:
        """Those with an address of their own, that the caller may read."""
        return [
            Resource(uri=each.uri, name=each.name, title=each.title, description=each.description, mime_type=MEDIA_TYPE)
            for each in self._offered(town)
            if not each.argument
        ]

    def templates(self, town: Town) -> list[ResourceTemplate]:
        """Those that are one of many, that the caller may read."""
        return [
            ResourceTemplate(
                uri_template=each.uri,
                name=each.name,
                title=each.title,
                description=each.description,
                mime_type=MEDIA_TYPE,
            )
            for each in self._offered(town)
            if each.argument
        ]

    def _offered(self, town: Town) -> list[Shelf]:
        if Scope.READ not in town.caller.scopes:
            return []
        return [each for each in _SHELVES if each.workers or not town.caller.is_worker]

    def check(self, town: Town, uri: str) -> None:
        """Raise `NotFound` for a URI of no kind, `Forbidden` for one that the caller may not read."""
        require(town, Scope.READ)
        found = next((each for each in _SHELVES if each.place(uri) is not None), None)
        if found is None:
            raise NotFound(f"There is no resource {one_line(uri, 200)}", hint="See resources/list and its templates.")
        if town.caller.is_worker and not found.workers:
            raise Forbidden(f"Agent '{town.caller.name}' may not read {found.uri}")

    async def read(self, town: Town, uri: str) -> str:
        """The JSON text of what lies there. Raises as `check`, and what the operation raises."""
        self.check(town, uri)
        for each in _SHELVES:
            place = each.place(uri)
            if place is not None:
                value = present(await each.read(town, place))
                return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode()
        raise AssertionError("check has seen it")
