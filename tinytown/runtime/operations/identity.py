"""Which town this is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinytown.runtime.operations.registry import Scope, operation
from tinytown.runtime.operations.status import redis_url

if TYPE_CHECKING:
    from tinytown.runtime.town import Town


@dataclass(frozen=True, slots=True)
class ShowTown:
    """The town that is open."""


@dataclass(frozen=True, slots=True)
class TownIdentity:
    """`id` stays the same for as long as the town lives. The address of Redis holds no password."""

    name: str
    id: str
    root: str
    redis_url: str


@operation("town.show", Scope.READ)
async def show_town(town: Town, request: ShowTown) -> TownIdentity:
    """Say which town this is, and where it lives."""
    return TownIdentity(town.name, town.ground.state.town_id, str(town.root), redis_url(town))
