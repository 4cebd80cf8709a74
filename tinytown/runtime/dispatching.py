"""Working on missions in the foreground: the scheduler in the process of whoever asks for it.

It registers with a lease like a runtime and places missions on itself, so it works on those only that nobody else has,
and takes over what a runtime that ended leaves behind.
"""

from __future__ import annotations

import os
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import trio

from tinytown import times
from tinytown.actors.missions.github.clients import Clients
from tinytown.actors.missions.scheduler import Scheduler, SchedulerParts
from tinytown.errors import TownError, Unavailable
from tinytown.transport.multiplexed import MultiplexedConnection
from tinytown.transport.placement import RuntimeCard, new_runtime_id
from tinytown.transport.shelves import Shelves

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from tinytown.ids import MissionId
    from tinytown.records import Event
    from tinytown.runtime.town import Town

_LAST_WORDS = 2.0
"""Seconds for taking itself off the town's list."""


@dataclass(frozen=True, slots=True)
class Dispatched:
    """The missions that were worked on, those that somebody else has, and what went wrong with others."""

    done: tuple[MissionId, ...]
    elsewhere: tuple[MissionId, ...]
    failed: Mapping[MissionId, Exception]


async def dispatch_once(town: Town, tell: Callable[[Event], None]) -> Dispatched:
    """Look outside and decide once for each active mission that nobody else has; `tell` gets what came of it.

    The town must be open under trio. Raises the kinds of `Unavailable`.
    """
    position = await town.journal.position()
    active = await town.missions.active()
    async with _scheduler(town) as scheduler, Clients.open(town.environ) as clients:
        ours = await scheduler.once(clients)
    for event in await town.journal.after(position):
        if event.mission in ours:
            tell(event)
    return Dispatched(
        done=tuple(each for each, error in ours.items() if error is None),
        elsewhere=tuple(each for each in active if each not in ours),
        failed={each: error for each, error in ours.items() if error is not None},
    )


async def dispatch(town: Town, tell: Callable[[Event], None]) -> None:
    """Work on missions until cancelled; `tell` gets all that happens to missions of the town.

    The town must be open under trio. `LeaseLost` when this process was away for so long that others took over.
    """
    connection = town.connection
    if not isinstance(connection, MultiplexedConnection):
        raise TypeError("to work on missions, a town has to be opened under trio")
    async with _scheduler(town) as scheduler, trio.open_nursery() as nursery:

        def hear(payload: bytes) -> None:
            for word in payload.split():
                scheduler.ring(word.decode("ascii", "replace"))

        await connection.subscribe(town.keys("bell"), hear)
        connection.on_reconnect(scheduler.wake)
        nursery.start_soon(_follow, town, tell)
        await scheduler.run()


@asynccontextmanager
async def _scheduler(town: Town) -> AsyncIterator[Scheduler]:
    """A scheduler of this process, which is on the town's list of runtimes for as long as the block lasts."""
    runtime, mission = town.settings.runtime, town.settings.mission
    # Another host than that of the runtimes: the lock that keeps those apart is not held here.
    host = f"{town.ground.host}:{os.getpid()}"
    card = RuntimeCard(new_runtime_id(), host, os.getpid(), times.now())
    scheduler = Scheduler(
        SchedulerParts(
            store=town.store,
            missions=town.missions,
            shelves=Shelves(town.connection, town.keys, town.settings.limits),
            placement=town.placement,
            journal=town.journal,
            runtime=card.id,
            environ=town.environ,
            bugbots=mission.bugbot_logins,
            tick_secs=mission.tick_secs,
            random=Random(),  # noqa: S311 - spreads load, guards nothing
            report=lambda _: None,
        )
    )
    await town.placement.begin(card, lease=runtime.placement_lease)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_beat, town, card)
            yield scheduler
            nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(_LAST_WORDS, shield=True):
            # Should the store be gone, the lease runs out by itself.
            with suppress(TownError):
                await town.placement.end(card.id)


async def _beat(town: Town, card: RuntimeCard) -> None:
    runtime = town.settings.runtime
    while True:
        await trio.sleep(runtime.placement_renew)
        try:
            await town.placement.beat(card.id, lease=runtime.placement_lease)
        except Unavailable:
            # Until the lease has passed the store may come back.
            continue


async def _follow(town: Town, tell: Callable[[Event], None]) -> None:
    position = await town.journal.position()
    async with aclosing(town.journal.follow(position)) as events:
        async for event in events:
            if event.mission is not None:
                tell(event)
