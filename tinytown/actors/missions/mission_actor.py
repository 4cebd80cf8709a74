"""A mission at work: the actor that decides for it, and the one beside it that looks outside.

Its mailbox is the mission's own record: whoever wants something of it writes there and rings. Deciding never waits for
the network, so an agent that gets free is given work while GitHub hangs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from tinytown.actors.actor import Bell
from tinytown.actors.missions.actions import MergePull
from tinytown.actors.missions.github.looks import Looks
from tinytown.actors.missions.outlook import Outlook, explain
from tinytown.actors.missions.tick import Ticked, Ticking

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from tinytown.actors.missions.github.clients import Clients
    from tinytown.ids import MissionId
    from tinytown.times import Timestamp
    from tinytown.transport.delivery import Fence
    from tinytown.transport.missions import Missions
    from tinytown.transport.shelves import Shelves
    from tinytown.transport.store import Store


class MissionActor:
    """One mission, held under a fence.

    `tick_secs` is the longest time between two ticks, `now` gives the time of day, `monotonic` seconds of any clock;
    `turns` is that of `Ticking`.
    """

    def __init__(
        self,
        mission_id: MissionId,
        fence: Fence,
        *,
        store: Store,
        missions: Missions,
        shelves: Shelves,
        clients: Clients,
        bugbots: Collection[str],
        tick_secs: float,
        now: Callable[[], Timestamp],
        bell: Bell,
        turns: trio.Lock,
        monotonic: Callable[[], float] = trio.current_time,
    ) -> None:
        looks = Looks()
        self.bell = bell
        self.last = Ticked(over=False)
        self._fence = fence
        self._mission_id = mission_id
        self._tick_secs = tick_secs
        worded = partial(explain, looks)
        self._ticking = Ticking(store, missions, shelves, now, worded, turns)
        self._outlook = Outlook(mission_id, fence, self._ticking, clients, looks, bugbots, monotonic)
        self._outside = Bell()

    async def live(self) -> None:
        """Work on the mission until it is stopped or over.

        Raises what `Ticking.tick` raises.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_for_ever)
            while not self.last.over:
                self.bell.take()
                known = self.last.ended
                await self._tick()
                # What was looked for in vain is looked for again in its time, and not as often as there is a tick.
                if self.last.changed or self.last.ended - known or self._outlook.outward:
                    self._outside.ring()
                with trio.move_on_after(self._tick_secs):
                    await self.bell.wait()
            nursery.cancel_scope.cancel()

    async def once(self) -> None:
        """Decide, look outside, decide on what was seen, and do what is to be done at GitHub then."""
        await self._tick()
        await self._outlook.look()
        await self._tick()
        if self._outlook.outward:
            await self._outlook.look()

    async def _tick(self) -> None:
        merging = [each for each in self._outlook.outward if isinstance(each, MergePull)]
        self.last = await self._ticking.tick(self._mission_id, self._fence, merging)
        self._outlook.outward += self.last.outward

    async def _look_for_ever(self) -> None:
        while True:
            self._outside.take()
            wait = await self._outlook.look()
            self.bell.ring()
            with trio.move_on_after(wait):
                await self._outside.wait()
