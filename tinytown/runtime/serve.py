"""The runtime of a town on this host: start-up downwards, the shutdown ladder upwards.

    run                                 the town's lock on this host, the process made safe
    └ trio.run
      └ connection                      commands and the bell
        └ plumbing nursery              flushes of grouped requests, the spare shim
          └ runtime nursery             heartbeat, lifeline, scheduler (permanent), signals
            └ supervisor nursery        one child an agent (transient)
              └ companion nursery       a process that may die and is started again

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
from functools import partial
from typing import TYPE_CHECKING

import trio

from tinytown import times
from tinytown.actors.child import become_subreaper, harden_process
from tinytown.actors.shims import Shims
from tinytown.errors import RuntimeRunning, Unavailable, first_cause
from tinytown.runtime.companion import accompany
from tinytown.runtime.ground import Ground, survey
from tinytown.runtime.parts import Parts
from tinytown.transport.batch import Grouped
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.multiplexed import MultiplexedConnection
from tinytown.transport.placement import Placement, RuntimeCard, new_runtime_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import TypeAlias

    from tinytown.actors.missions.scheduler import Scheduler
    from tinytown.runtime.supervisor import Supervisor
    from tinytown.transport.files import FileLock

    Beside: TypeAlias = Callable[[Path, Callable[[str], None]], AbstractAsyncContextManager[None]]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

LINGER = 2
"""Seconds that a runtime in the background stays without any agent. Another one starts in a third of a second, and a
person who wants to be it with `tt start` must not have to wait."""

_BETWEEN_LOOKS = 0.05
"""Seconds. A lock of the system rings no bell together with a record in Redis."""


def run(
    root: Path,
    *,
    ready_fd: int | None = None,
    announce: Callable[[str], None],
    beside: Beside | None = None,
    companion: Sequence[str] = (),
) -> int:
    """Be the town's runtime on this host until a signal or `tt stop` ends it; gives the exit status.

    `beside` is what else this process does, from before agents are served until after the last has ended; a runtime
    that has it does not end by itself for want of agents. `companion` is the command of a process that lives as long
    as this one serves (`runtime.companion`); to it is added the state directory of the town.
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
            ending = partial(ground.state.note_end, lock)
            trio.run(_main, ground, ready_fd, announce, beside, companion, ending)
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


async def _main(
    ground: Ground,
    ready_fd: int | None,
    announce: Callable[[str], None],
    beside: Beside | None,
    companion: Sequence[str],
    ending: Callable[[], None],
) -> None:
    company = nullcontext() if beside is None else beside(ground.root, announce)
    with trio.open_signal_receiver(*_SIGNALS) as signals:
        async with company, serve(ground, announce=announce) as runtime, _accompanied(companion, ground, announce):
            _tell_ready(ready_fd)
            announce("🚀 Town connection open")
            async with trio.open_nursery() as nursery:
                if ready_fd is not None and beside is None:
                    # Nobody sits in front of it: without agents it has nothing to live for.
                    nursery.start_soon(_end_when_idle, runtime, nursery.cancel_scope)
                async for _ in signals:
                    ending()
                    break
                nursery.cancel_scope.cancel()
            announce("👋 Closing town connection...")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cut_at_second_signal, runtime, signals)
                await runtime.drain()
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def _accompanied(
    companion: Sequence[str], ground: Ground, announce: Callable[[str], None]
) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        if companion:
            command = [*companion, str(ground.state.directory)]
            nursery.start_soon(partial(accompany, command, environ=os.environ, report=announce))
        yield
        nursery.cancel_scope.cancel()


async def _end_when_idle(runtime: Runtime, scope: trio.CancelScope) -> None:
    while True:
        with trio.move_on_after(LINGER):
            await runtime.busy()
        if not runtime.is_busy and await runtime.retire():
            scope.cancel()
            return
        # A mission that nobody has would else be looked at with the next tick only.
        runtime.scheduler.wake()
        while runtime.is_busy:
            await runtime.supervisor.empty()
            await runtime.scheduler.empty()


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
    scheduler: Scheduler
    grace: float
    retire: Callable[[], Awaitable[bool]]
    """Take the runtime off the town's list, unless an agent or a mission waits for it; says whether it is off."""

    @property
    def is_busy(self) -> bool:
        """It has an agent, or a mission."""
        return bool(len(self.supervisor) or len(self.scheduler))

    async def busy(self) -> None:
        """Return when it has an agent or a mission."""
        async with trio.open_nursery() as nursery:

            async def first(busy: Callable[[], Awaitable[None]]) -> None:
                await busy()
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, self.supervisor.busy)
            nursery.start_soon(first, self.scheduler.busy)

    async def drain(self) -> None:
        """Give out nothing more, and let the turns end, within `grace` seconds; return when no agent is left."""
        self.scheduler.close()
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
        parts = Parts(ground, connection, Grouped(plumbing), Shims(plumbing), card, announce)
        await parts.begin()
        async with trio.open_nursery() as permanent:
            async with trio.open_nursery() as children:
                supervisor, scheduler = parts.supervisor(children), parts.scheduler
                await parts.start(supervisor, permanent)
                try:
                    yield Runtime(card, supervisor, scheduler, ground.settings.runtime.stop_grace, parts.retire)
                finally:
                    supervisor.close()
                    scheduler.close()
                supervisor.drop_all()
            permanent.cancel_scope.cancel()
        await parts.end()
        plumbing.cancel_scope.cancel()
