"""The runtime of a town on this host: start-up downwards, the shutdown ladder upwards.

    run                                 the town's lock on this host, the process made safe
    └ trio.run
      └ connection                      commands and the bell
        └ plumbing nursery              flushes of grouped requests
          └ runtime nursery             heartbeat, lifeline (permanent), signals
            └ supervisor nursery        one child an agent (transient)

A permanent child that fails ends the runtime loudly; agents fail by themselves. The first SIGINT, SIGTERM or
SIGHUP lets running turns end within the grace; a second one cuts them now, a third kills what still runs. What is
not done by then goes back to the mailboxes, and the next runtime goes on with it.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import trio

from tinytown import times
from tinytown.actors.actor import Actor, Bell, Pace
from tinytown.actors.agent import AgentActor, RoundRules
from tinytown.actors.child import become_subreaper, harden_process, sweep_marked
from tinytown.actors.conductor import Conducting
from tinytown.actors.pickup import Pickup
from tinytown.actors.progress import Progress
from tinytown.errors import RuntimeRunning, TownError, Unavailable
from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.records import Event
from tinytown.runtime.ground import Ground, survey
from tinytown.runtime.heartbeat import Heartbeat
from tinytown.runtime.launch import Launcher
from tinytown.runtime.lifeline import Lifeline
from tinytown.runtime.restart import RestartPolicy
from tinytown.runtime.salvage import Salvage
from tinytown.runtime.supervisor import Supervisor, first_cause
from tinytown.transport.backlog import Backlog
from tinytown.transport.batch import Grouped
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.journal import Journal
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.multiplexed import MultiplexedConnection
from tinytown.transport.placement import Placement, RuntimeCard, new_runtime_id
from tinytown.transport.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import TypeAlias

    from tinytown.transport.delivery import Fence
    from tinytown.transport.files import FileLock

    Beside: TypeAlias = Callable[[Path, Callable[[str], None]], AbstractAsyncContextManager[None]]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LINGER = 2
"""Seconds that a runtime in the background stays without any agent. Another one starts in a third of a second, and a
person who wants to be it with `tt start` must not have to wait."""

_BETWEEN_LOOKS = 0.05
"""Seconds. A lock of the system rings no bell together with a record in Redis."""

CLOSING = 2.0
"""Seconds for the last writes of a runtime that ends."""


def run(
    root: Path, *, ready_fd: int | None = None, announce: Callable[[str], None], beside: Beside | None = None
) -> int:
    """Be the town's runtime on this host until a signal or `tt stop` ends it; gives the exit status.

    `beside` is what else this process does, from before agents are served until after the last has ended; a runtime
    that has it does not end by itself for want of agents.
    `announce` gets one line for people at a time. `ready_fd` gets the byte `1` once agents are served, or when
    another runtime of this host serves them already. Raises `RuntimeRunning` in that case, and what opening a town
    raises.
    """
    ground = survey(root, environ=os.environ)
    try:
        lock = _hold(ground)
    except RuntimeRunning:
        _tell_ready(ready_fd)
        raise
    with lock:
        harden_process()
        become_subreaper()
        try:
            trio.run(_main, ground, ready_fd, announce, beside)
        except BaseExceptionGroup as group:
            # One cause is enough for a person; the log has them all.
            announce("".join(traceback.format_exception(group)))
            raise first_cause(group) from None
    return 0


def _hold(ground: Ground) -> FileLock:
    """The runtime's lock of this host; `RuntimeRunning` when its holder serves the town.

    A holder that is not on the town's list yet, or not any more, begins or ends: that takes a moment, and only
    then it is known who serves.
    """
    while True:
        try:
            return ground.state.hold_runtime()
        except RuntimeRunning:
            if _somebody_serves(ground):
                raise
        time.sleep(_BETWEEN_LOOKS)


def _somebody_serves(ground: Ground) -> bool:
    with BlockingConnection(ground.address) as connection:
        placement = Placement(connection, ground.keys, ground.settings.limits)
        try:
            return any(card.host == ground.host for card in run_sync(placement.runtimes()))
        except Unavailable:
            # Without its store it serves nobody, but it is there and starts it again.
            return True


def _tell_ready(ready_fd: int | None) -> None:
    if ready_fd is not None:
        with suppress(OSError):
            os.write(ready_fd, b"1")
            os.close(ready_fd)


async def _main(ground: Ground, ready_fd: int | None, announce: Callable[[str], None], beside: Beside | None) -> None:
    company = nullcontext() if beside is None else beside(ground.root, announce)
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with company, serve(ground, announce=announce) as runtime:
            _tell_ready(ready_fd)
            announce("🚀 Town connection open")
            async with trio.open_nursery() as nursery:
                if ready_fd is not None and beside is None:
                    # Nobody sits in front of it: without agents it has nothing to live for.
                    nursery.start_soon(_end_when_idle, runtime, nursery.cancel_scope)
                async for _ in signals:
                    break
                nursery.cancel_scope.cancel()
            announce("👋 Closing town connection...")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cut_at_second_signal, runtime, signals)
                await runtime.drain()
                nursery.cancel_scope.cancel()


async def _end_when_idle(runtime: Runtime, scope: trio.CancelScope) -> None:
    while True:
        with trio.move_on_after(LINGER):
            await runtime.supervisor.busy()
        if not len(runtime.supervisor) and await runtime.retire():
            scope.cancel()
            return
        await runtime.supervisor.empty()


async def _cut_at_second_signal(runtime: Runtime, signals: AsyncIterator[int]) -> None:
    async for _ in signals:
        runtime.supervisor.drop_all()
        break
    async for _ in signals:
        runtime.supervisor.drop_all(step=0)


@dataclass(frozen=True, slots=True)
class Runtime:
    """A runtime that serves, as its own process sees it."""

    card: RuntimeCard
    supervisor: Supervisor
    grace: float
    retire: Callable[[], Awaitable[bool]]
    """Take the runtime off the town's list, unless an agent waits for it; says whether it is off."""

    async def drain(self) -> None:
        """Let the turns end, within `grace` seconds; return when no agent is left."""
        self.supervisor.leave_all(trio.current_time() + self.grace)
        await self.supervisor.empty()


@asynccontextmanager
async def serve(ground: Ground, *, announce: Callable[[str], None]) -> AsyncIterator[Runtime]:
    """Serve the town's agents for as long as the block runs; at its end their turns are cut.

    The caller holds the runtime's lock of this host. Call `Runtime.drain` before the end of the block to let
    running turns end first.
    """
    if ground.server is not None:
        await trio.to_thread.run_sync(ground.server.ensure)
    card = RuntimeCard(new_runtime_id(), ground.host, os.getpid(), times.now())
    async with MultiplexedConnection.open(ground.address) as connection, trio.open_nursery() as plumbing:
        parts = _Parts(ground, connection, Grouped(plumbing), card, announce)
        await parts.begin()
        async with trio.open_nursery() as permanent:
            async with trio.open_nursery() as children:
                supervisor = parts.supervisor(children)
                await parts.start(supervisor, permanent)
                try:
                    yield Runtime(card, supervisor, ground.settings.runtime.stop_grace, parts.retire)
                finally:
                    supervisor.close()
                supervisor.drop_all()
            permanent.cancel_scope.cancel()
        await parts.end()
        plumbing.cancel_scope.cancel()


class _Parts:
    """What a runtime is put together from."""

    def __init__(
        self,
        ground: Ground,
        connection: MultiplexedConnection,
        batch: Grouped,
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
        self._mailbox = Mailbox(connection, ground.keys, limits, batch)
        self._journal = Journal(connection, ground.keys, length=limits.events)
        self._placement = Placement(connection, ground.keys, limits)
        self._launcher = Launcher(
            files=ground.files,
            state=ground.state,
            settings=ground.settings,
            connection=connection,
            keys=ground.keys,
            runtime=card.id,
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
        if not await self._placement.unplaced():
            return True
        await self._placement.begin(self._card, lease=self._ground.settings.runtime.placement_lease)
        return False

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

    async def start(self, supervisor: Supervisor, permanent: trio.Nursery) -> None:
        """Start what is permanent. Returns when the agents that are there have been adopted."""
        runtime = self._ground.settings.runtime
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
                if not supervisor.ring(AgentId(word.decode("ascii", "replace"))):
                    lifeline.wake()

        def reconnected() -> None:
            # Letting go of an actor may have been among what was lost.
            lifeline.look_at_everybody()
            for agent_id in supervisor:
                supervisor.ring(agent_id)

        supervisor.on_end = lifeline.wake
        await self._connection.subscribe(self._ground.keys("bell"), hear)
        self._connection.on_reconnect(reconnected)
        self._connection.on_loss(heartbeat.wake)
        await lifeline.walk()
        permanent.start_soon(heartbeat.run)
        permanent.start_soon(lifeline.run)

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
