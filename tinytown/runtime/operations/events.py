"""What happened, and what happens."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.errors import Invalid
from tinytown.ids import AgentId, ids_in, is_id
from tinytown.runtime.operations.bounds import checked_place, place, whole
from tinytown.runtime.operations.registry import Scope, operation, require
from tinytown.runtime.operations.task_views import names_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from tinytown.records import Event
    from tinytown.runtime.town import Town

_MOST = 10_000
"""Events that are shown at once; the journal keeps about as many."""


@dataclass(frozen=True, slots=True)
class Events:
    """The last `count` events. `type` is one type (`task.completed`) or the noun of several (`task`).

    With `before`, the id of an event, the last ahead of that one; with `after` the first behind it.
    """

    count: int = whole("number of events", 0, _MOST, default=50)
    agent: str | None = None
    task: str | None = None
    type: str | None = None
    before: str | None = place()
    after: str | None = place()


@dataclass(frozen=True, slots=True)
class EventList:
    """Oldest first. `names` are those of the agents that they speak of, by id.

    `position`, as `after` and for `follow`, goes on with what is newer than these.
    `next` is the `before` that goes on with what is older; None when nothing is, and where `after` was asked for.
    """

    events: tuple[Event, ...]
    names: Mapping[str, str]
    position: str
    next: str | None = None


@operation("event.list", Scope.READ)
async def events(town: Town, request: Events) -> EventList:
    """Show what happened last.

    Raises `AgentNotFound`, `TaskNotFound`, `Invalid`.
    """
    if request.before is not None and request.after is not None:
        raise Invalid("Events are listed before an event or after one, not both")
    before, after = checked_place(request.before, "before"), checked_place(request.after, "after")
    wanted = await _wanted(town, request)
    if after is not None:
        found, position = await _behind(town, wanted, after, request.count)
        return EventList(tuple(found), await _names(town, found), position)
    found, position = await _ahead(town, wanted, before, request.count)
    shown = found[-request.count :] if request.count else []
    return EventList(
        tuple(shown), await _names(town, shown), position, shown[0].id if shown and len(found) > len(shown) else None
    )


async def _ahead(town: Town, wanted: _Wanted, before: str | None, count: int) -> tuple[list[Event], str]:
    """The last matching events ahead of a position, one more than `count` if there is, and where newer ones begin."""
    found: list[Event] = []
    # Read first, so that whoever goes on behind it sees nothing twice.
    last = await town.journal.position() if before is None else before
    async with aclosing(town.journal.backwards(last, including=before is None, about=wanted.ids)) as pages:
        async for page in pages:
            found += [event for event in page if wanted(event)]
            if len(found) > count:
                break
    if before is not None:
        last = found[0].id if found else "0"
    return found[count::-1], last


async def _behind(town: Town, wanted: _Wanted, after: str, count: int) -> tuple[list[Event], str]:
    """The first matching events behind a position, and how far was looked."""
    found: list[Event] = []
    position = after
    async with aclosing(town.journal.forwards(after)) as pages:
        async for page in pages:
            for event in page:
                if len(found) == count:
                    return found, position
                position = event.id
                if wanted(event):
                    found.append(event)
    return found, position


async def follow(town: Town, request: Events, position: str | None = None) -> AsyncGenerator[Event, None]:
    """Every matching event behind a position (None: from now on), as it happens; close it with `aclosing`.

    `count` of the request is not looked at. Raises as `events`.
    """
    require(town, Scope.READ)
    wanted = await _wanted(town, request)
    start = position if position is not None else await town.journal.position()
    async with aclosing(town.journal.follow(start)) as happening:
        async for event in happening:
            if wanted(event):
                yield event


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which events were asked for."""

    agent: str | None
    task: str | None
    type: str | None

    @property
    def ids(self) -> tuple[str, ...]:
        """What a wanted event has among its fields, if anything is known of that."""
        rarest = self.task or self.agent
        return () if rarest is None else (rarest,)

    def __call__(self, event: Event) -> bool:
        return (
            self.agent in (None, event.agent)
            and self.task in (None, event.task)
            and (self.type is None or event.type == self.type or event.type.startswith(f"{self.type}."))
        )


async def _wanted(town: Town, request: Events) -> _Wanted:
    return _Wanted(
        (await town.store.find_agent(request.agent)).id if request.agent else None,
        (await town.store.find_task(request.task)).id if request.task else None,
        request.type,
    )


async def _names(town: Town, shown: Iterable[Event]) -> dict[str, str]:
    return {str(agent_id): name for agent_id, name in (await names_of(town, ids_told(shown))).items()}


def ids_told(shown: Iterable[Event]) -> set[AgentId]:
    """The ids, of agents and of others, that these events are about or mention."""
    ids = {each for event in shown for each in (event.agent or "", *ids_in(event.detail or "")) if is_id(each)}
    return {AgentId(each) for each in ids}
