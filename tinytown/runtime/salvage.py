"""What the lifeline does for work that nobody works on: items of the backlog that no bell told of, and, where idle
agents take work by themselves, the work of agents that have ended.

An agent that has ended may be started again, so its work is first left where it is, for `reclaim_after` seconds of
this runtime's own time; and it is taken once in each of its lives: what a person gives it later waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tinytown.actors.handover import Handover, Then
from tinytown.actors.pickup import seekers
from tinytown.errors import TownError, Unavailable
from tinytown.transport.backlog import Backlog
from tinytown.transport.mailroom import Mailroom

if TYPE_CHECKING:
    from tinytown.config import BacklogSettings
    from tinytown.ids import AgentId, TaskId
    from tinytown.records import Agent
    from tinytown.runtime.supervisor import Supervisor
    from tinytown.transport.connection import Connection
    from tinytown.transport.keys import Keys
    from tinytown.transport.store import Store

LOOK_EVERY = 60.0
"""Seconds between two looks at all agents: finer than any patience worth configuring, and cheap."""

_AT_ONCE = 1000


class Salvage:
    """The backlog and the dead, as one runtime looks after them."""

    def __init__(
        self, supervisor: Supervisor, store: Store, connection: Connection, keys: Keys, settings: BacklogSettings
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._backlog = Backlog(connection, keys)
        mailroom = Mailroom(connection, keys, store)
        self._handover = Handover(store, keys, mailroom, self._backlog, by="the runtime")
        self._settings = settings
        self._offered: TaskId | None = None
        self._looked_at = trio.current_time()
        self._ended: dict[tuple[AgentId, int], float] = {}
        self._taken: set[tuple[AgentId, int]] = set()

    async def walk(self) -> None:
        """Look once. Costs one command while nothing has come to the backlog."""
        newest = await self._backlog.newest()
        if newest is not None and newest != self._offered:
            await self._offer()
        self._offered = newest
        now = trio.current_time()
        if self._settings.auto_claim and self._settings.reclaim_after and now - self._looked_at >= LOOK_EVERY:
            self._looked_at = now
            await self._reclaim(now)

    async def _offer(self) -> None:
        """Ring the idle agents here that something of the backlog suits: they look for themselves."""
        here = self._supervisor.at_rest()
        for start in range(0, len(here), _AT_ONCE):
            agents = await self._store.agents_of(here[start : start + _AT_ONCE])
            for agent in await seekers(self._backlog, agents, alone=self._settings.auto_claim):
                self._supervisor.ring(agent.id)

    async def _reclaim(self, now: float) -> None:
        ended = {_life(agent): agent for agent in await self._store.agents() if agent.state.is_terminal}
        self._taken &= ended.keys()
        self._ended = {life: self._ended.get(life, now) for life in ended if life not in self._taken}
        due = [life for life, since in self._ended.items() if now - since >= self._settings.reclaim_after]
        if not due:
            return
        tasks = await self._handover.tasks_of(ended[life] for life in due)
        for life in due:
            agent = ended[life]
            try:
                await self._handover.to_backlog(agent, tasks.get(agent.id, []), then=Then.STAYS)
            except Unavailable:
                raise
            except TownError:
                # It is gone, begins a new life, still ends its turn, or the conductor has no room: look again later.
                continue
            self._taken.add(life)


def _life(agent: Agent) -> tuple[AgentId, int]:
    return agent.id, agent.incarnation
