"""The lifeline: finds what no bell told.

A bell may be lost, a runtime may die between two steps, a person may push a message by hand. What is promised is
this slow walk: due and expired messages go back to their lanes, ready mailboxes are rung, agents that nobody holds
are adopted, tasks that wait for what is done by now go on. It costs in proportion to what it finds, not to how many
sleep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tinytown.actors import succession
from tinytown.actors.actor import Bell
from tinytown.errors import Unavailable

if TYPE_CHECKING:
    from tinytown.ids import AgentId
    from tinytown.runtime.salvage import Salvage
    from tinytown.runtime.supervisor import Supervisor
    from tinytown.transport.mailbox import Mailbox
    from tinytown.transport.placement import Placement
    from tinytown.transport.store import Store

LOOKED_AT = 512
"""Mailboxes whose lanes one walk measures, in rotation: found by hand-pushed messages and expired leases only."""


class Lifeline:
    """Walks every `interval` seconds, and at once when asked."""

    def __init__(
        self,
        supervisor: Supervisor,
        mailbox: Mailbox,
        placement: Placement,
        store: Store,
        *,
        host: str,
        interval: float,
        salvage: Salvage | None = None,
    ) -> None:
        self._supervisor = supervisor
        self._mailbox = mailbox
        self._placement = placement
        self._store = store
        self._host = host
        self._interval = interval
        self._salvage = salvage
        self._lengths: dict[AgentId, int] = {}
        self._next = 0
        self._waiting_at = 0
        self._everybody = True
        self._bell = Bell()

    def look_at_everybody(self) -> None:
        """Walk now, and look for agents without a runtime among all there are: a runtime has died."""
        self._everybody = True
        self._bell.ring()

    def wake(self) -> None:
        """Look for agents without a runtime now."""
        self._bell.ring()

    async def run(self) -> None:
        """Walk for ever, the first time after one interval."""
        while True:
            with trio.move_on_after(self._interval) as interval:
                await self._bell.wait()
            self._bell.take()
            try:
                # Woken before its time it looks only at what can be new.
                await (self.walk() if interval.cancelled_caught or self._everybody else self._adopt_new())
            except Unavailable:
                # The heartbeat deals with a store that does not answer; the next walk finds the same things.
                self._everybody = True

    async def walk(self) -> None:
        """Look once."""
        await self._adopt()
        # Whose turn runs renews its leases itself. Should they have passed nevertheless, because this process or
        # the whole machine was asleep, nothing is lost: they must not be taken from under the turn.
        for agent_id in self._supervisor.in_turn():
            self._supervisor.ring(agent_id)
        here = self._supervisor.at_rest()
        part = [here[(self._next + step) % len(here)] for step in range(min(LOOKED_AT, len(here)))] if here else []
        self._next = (self._next + len(part)) % max(1, len(here))
        _, _, lengths = await self._mailbox.sweep(part)
        for agent_id, length in lengths.items():
            if length and length != self._lengths.get(agent_id):
                self._supervisor.ring(agent_id)
            self._lengths[agent_id] = length
        for agent_id in await self._mailbox.ready():
            self._supervisor.ring(agent_id)
        # Whoever ended a task may have died before what waited for it was let go on.
        self._waiting_at = await succession.walk(self._store, self._waiting_at)
        if self._salvage is not None:
            await self._salvage.walk()

    async def _adopt_new(self) -> None:
        """Adopt who was spawned on this host; others are first left to a runtime where they were."""
        new = await self._store.agents_of(await self._placement.unplaced())
        await self._supervisor.adopt(agent.id for agent in new if agent.host in (None, self._host))

    async def _adopt(self) -> None:
        wanted = set(await self._placement.unplaced())
        if self._everybody:
            self._everybody = False
            wanted |= {agent.id for agent in await self._store.agents() if not agent.state.is_terminal}
        if wanted:
            await self._supervisor.adopt(wanted)
