"""What happened, and what happens."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import Invalid
from tinytown.runtime.operations.registry import Scope, operation, require

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from tinytown.records import Event
    from tinytown.runtime.town import Town

_MOST = 10_000
"""Events that are searched or shown at once; the journal keeps about as many."""


@dataclass(frozen=True, slots=True)
class Events:
    """The last `count` events. `type` is one type (`task.completed`) or the noun of several (`task`)."""

    count: int = 50
    agent: str | None = None
    task: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class EventList:
    """Oldest first. `names` are those of the agents, by id. `position` is where `follow` goes on."""

    events: tuple[Event, ...]
    names: Mapping[str, str]
    position: str


@operation("event.list", Scope.READ)
async def events(town: Town, request: Events) -> EventList:
    """Show what happened last.

    Raises `AgentNotFound`, `TaskNotFound`, `Invalid`.
    """
    if not 0 <= request.count <= _MOST:
        raise Invalid(f"The number of events is {request.count}; expected 0 to {_MOST:,}")
    wanted = await _matcher(town, request)
    filtered = (request.agent, request.task, request.type) != (None, None, None)
    latest = await town.journal.latest(_MOST if filtered else max(1, request.count))
    found = [event for event in latest if wanted(event)]
    names = {str(agent_id): name for agent_id, name in (await town.store.names()).items()}
    position = latest[-1].id if latest else "0"
    return EventList(tuple(found[-request.count :] if request.count else ()), names, position)


async def follow(town: Town, request: Events, position: str | None = None) -> AsyncGenerator[Event, None]:
    """Every matching event behind a position (None: from now on), as it happens; close it with `aclosing`.

    `count` of the request is not looked at. Raises as `events`.
    """
    require(town, Scope.READ)
    wanted = await _matcher(town, request)
    start = position if position is not None else await town.journal.position()
    async with aclosing(town.journal.follow(start)) as happening:
        async for event in happening:
            if wanted(event):
                yield event


async def _matcher(town: Town, request: Events) -> Callable[[Event], bool]:
    agent = (await town.store.find_agent(request.agent)).id if request.agent else None
    task = (await town.store.find_task(request.task)).id if request.task else None
    kind = request.type

    def wanted(event: Event) -> bool:
        return (
            agent in (None, event.agent)
            and task in (None, event.task)
            and (kind is None or event.type == kind or event.type.startswith(f"{kind}."))
        )

    return wanted
