"""What a runtime is put together from, and how its parts hear of each other."""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import trio

from tinytown.actors.actor import Actor, Bell, Pace
from tinytown.actors.agent import AgentActor, RoundRules
from tinytown.actors.child import sweep_marked
from tinytown.actors.conductor import Conducting
from tinytown.actors.missions.scheduler import Scheduler, SchedulerParts
from tinytown.actors.pickup import Pickup
from tinytown.actors.progress import Progress
from tinytown.errors import TownError
from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.records import Event
from tinytown.runtime.current import CurrentSettings
from tinytown.runtime.heartbeat import Heartbeat
from tinytown.runtime.launch import Launcher
from tinytown.runtime.lifeline import Lifeline
from tinytown.runtime.restart import RestartPolicy
from tinytown.runtime.salvage import Salvage
from tinytown.runtime.supervisor import Supervisor
from tinytown.transport.backlog import Backlog
from tinytown.transport.journal import Journal
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.missions import Missions
from tinytown.transport.placement import Placement, RuntimeCard
from tinytown.transport.shelves import Shelves
from tinytown.transport.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinytown.actors.shims import Shims
    from tinytown.runtime.ground import Ground
    from tinytown.transport.batch import Grouped
    from tinytown.transport.delivery import Fence
    from tinytown.transport.multiplexed import MultiplexedConnection

CLOSING = 2.0
"""Seconds for the last writes of a runtime that ends."""


class Parts:
    """What a runtime is put together from."""

    def __init__(
        self,
        ground: Ground,
        connection: MultiplexedConnection,
        batch: Grouped,
        shims: Shims,
        card: RuntimeCard,
        announce: Callable[[str], None],
    ) -> None:
        limits = ground.settings.limits
        self._ground = ground
        self._connection = connection
        self._card = card
        self._announce = announce
        self._random = Random()  # noqa: S311 - spreads load, guards nothing
        self._store = Store(connection, ground.keys, limits)
        self._mailbox = Mailbox(connection, ground.keys, limits, batch, runtime=card.id)
        self._journal = Journal(connection, ground.keys, length=limits.events)
        self._placement = Placement(connection, ground.keys, limits)
        self._missions = Missions(connection, ground.keys)
        self.scheduler = self._scheduler()
        self._launcher = Launcher(
            files=ground.files,
            state=ground.state,
            # A runtime may live for weeks; a CLI that is configured meanwhile works from the next round on.
            settings=CurrentSettings(ground.settings, ground.root, os.environ, announce),
            connection=connection,
            keys=ground.keys,
            runtime=card.id,
            shims=shims,
            environ=os.environ,
            report=announce,
        )

    async def begin(self) -> None:
        """Register. Runtimes of this host are dead, since we hold their lock; so are their children, soon."""
        living = await self._placement.runtimes()
        dead = [card.id for card in living if card.host == self._card.host]
        lease = self._ground.settings.runtime.placement_lease
        await self._placement.begin(self._card, lease=lease, dead=dead)
        others = {card.id for card in living} - set(dead)
        left = await sweep_marked(self._ground.state.town_id, live_runtimes={*others, self._card.id})
        if left:
            self._announce(f"Ended {len(left)} processes that an earlier runtime had left behind")
        await self._journal.append(Event("runtime.started", detail=f"runtime {self._card.id} on {self._card.host}"))

    async def retire(self) -> bool:
        """See `Runtime.retire`. Whoever spawns after it finds no runtime and starts one."""
        await self._placement.end(self._card.id)
        waited_for = bool(await self._placement.unplaced())
        if not waited_for and (self.scheduler.rests or not await self._orphaned_missions()):
            return True
        await self._placement.begin(self._card, lease=self._ground.settings.runtime.placement_lease)
        return False

    async def _orphaned_missions(self) -> bool:
        """Whether there is an active mission that no living runtime has."""
        active = [AgentId(each) for each in await self._missions.active()]
        holders = await self._placement.holders(active)
        living = {card.id for card in await self._placement.runtimes()}
        return any(holders.get(each) not in living for each in active)

    async def end(self) -> None:
        """Take the runtime off the list."""
        with trio.move_on_after(CLOSING, shield=True):
            try:
                await self._placement.end(self._card.id)
                await self._journal.append(Event("runtime.stopped", detail=f"runtime {self._card.id}"))
            except TownError:
                # The store is gone: the lease runs out by itself.
                return

    def supervisor(self, children: trio.Nursery) -> Supervisor:
        """The supervisor of the agents."""
        restart = self._ground.settings.restart
        return Supervisor(
            children,
            runtime=self._card.id,
            store=self._store,
            placement=self._placement,
            make_actor=self._actor,
            policy=RestartPolicy(restart.crashes, restart.period, restart.backoff, restart.backoff_cap),
            random=self._random,
            report=self._announce,
        )

    def _scheduler(self) -> Scheduler:
        return Scheduler(
            SchedulerParts(
                store=self._store,
                missions=self._missions,
                shelves=Shelves(self._connection, self._ground.keys, self._ground.settings.limits),
                placement=self._placement,
                journal=self._journal,
                runtime=self._card.id,
                environ=os.environ,
                bugbots=self._ground.settings.mission.bugbot_logins,
                tick_secs=self._ground.settings.mission.tick_secs,
                random=self._random,
                report=self._announce,
            )
        )

    async def start(self, supervisor: Supervisor, permanent: trio.Nursery) -> None:
        """Start what is permanent. Returns when the agents that are there have been adopted."""
        runtime, scheduler = self._ground.settings.runtime, self.scheduler
        lifeline = Lifeline(
            supervisor,
            self._mailbox,
            self._placement,
            self._store,
            host=self._card.host,
            interval=runtime.lifeline_interval,
            salvage=Salvage(
                supervisor, self._store, self._connection, self._ground.keys, self._ground.settings.backlog
            ),
        )
        heartbeat = Heartbeat(
            self._card,
            self._placement,
            supervisor,
            lifeline,
            lease=runtime.placement_lease,
            interval=runtime.placement_renew,
            heal=self._heal,
            report=self._announce,
        )

        def hear(payload: bytes) -> None:
            for word in payload.split():
                name = word.decode("ascii", "replace")
                if not supervisor.ring(AgentId(name)) and not scheduler.ring(name):
                    lifeline.wake()

        def hear_handed(payload: bytes) -> None:
            for agent_id, delivery in self._mailbox.handed(payload):
                supervisor.hand(agent_id, delivery)

        def reconnected() -> None:
            # Letting go of an actor may have been among what was lost, and so may what actors were handed: a ring
            # makes them look.
            lifeline.look_at_everybody()
            scheduler.wake()
            for agent_id in supervisor:
                supervisor.ring(agent_id)

        supervisor.on_end = lifeline.wake
        await self._connection.subscribe(self._ground.keys("bell"), hear)
        await self._connection.subscribe(self._ground.keys("handed", self._card.id), hear_handed)
        self._connection.on_reconnect(reconnected)
        self._connection.on_loss(heartbeat.wake)
        await lifeline.walk()
        permanent.start_soon(heartbeat.run)
        permanent.start_soon(lifeline.run)
        permanent.start_soon(scheduler.run)

    async def _heal(self) -> None:
        """Start our server again if it has died."""
        server = self._ground.server
        if server is None:
            return
        try:
            # The heartbeat must not miss its own deadline over a start that takes long.
            await trio.to_thread.run_sync(server.ensure, abandon_on_cancel=True)
        except (TownError, OSError) as error:
            self._announce(f"The Redis server does not come back: {error}")

    def _actor(self, fence: Fence, bell: Bell) -> Actor:
        settings = self._ground.settings
        runtime, limits = settings.runtime, settings.limits
        conducts = fence.id == SUPERVISOR_ID
        return AgentActor(
            fence,
            self._mailbox,
            bell,
            Pace(
                lease=runtime.message_lease,
                renewal=runtime.message_renew,
                count=limits.prompt_messages,
                size=limits.prompt_bytes,
            ),
            progress=Progress(self._store, fence),
            run_round=self._launcher,
            check_tasks=self._launcher.check,
            rules=RoundRules(
                timeout=runtime.round_timeout,
                prompt_size=limits.prompt_bytes,
                backoff_base=runtime.round_backoff,
                backoff_cap=runtime.round_backoff_cap,
                failed_rounds=runtime.max_failed_rounds,
                attempts=limits.max_attempts,
                suspected=max(1, limits.max_recoveries - 1),
                interrupt_grace=runtime.interrupt_grace,
                terminate_grace=runtime.terminate_grace,
            ),
            town=settings.name,
            random=self._random,
            duty=Conducting(self._store, self._mailbox, settings.name) if conducts else None,
            pickup=None
            if conducts
            else Pickup(
                fence,
                self._store,
                self._mailbox,
                Backlog(self._connection, self._ground.keys),
                alone=settings.backlog.auto_claim,
            ),
        )
