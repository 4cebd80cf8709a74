"""What happened, and what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.runtime.operations.registry import Scope, operation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tinytown.records import Event
    from tinytown.runtime.town import Town


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
    """Show what happened last."""
    raise NotImplementedError


def follow(town: Town, request: Events, position: str | None = None) -> AsyncIterator[Event]:
    """Every matching event behind a position (None: from now on), as it happens; close it with `aclosing`."""
    raise NotImplementedError
