"""The scheduler of missions: holds those that nobody else works on, and keeps each an actor.

What must be true: a mission is worked on by one process at a time, under an epoch that every commit of it checks; what
goes wrong with one mission never stops another; and one that nobody works on any more, because a process died, is
taken over within a tick of the lease that has passed.

The journal tells what happens in the town: the end of a task, an agent that gets free. It may tell late or not at
all, so every mission ticks by itself, too.
"""

from __future__ import annotations

import traceback
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from tinytown import times
from tinytown.actors.actor import Bell
from tinytown.actors.backoff import pause
from tinytown.errors import LeaseLost, MissionNotFound, TownError, Unavailable, first_cause
from tinytown.ids import AgentId, MissionId
from tinytown.lifecycle import AgentState
from tinytown.records import Event
from tinytown.text import one_line
from tinytown.transport.missions import RUNG
from tinytown.transport.placement import STAND_DOWN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
    from random import Random

    from tinytown.actors.missions.github.clients import Clients
    from tinytown.actors.missions.mission_actor import MissionActor
    from tinytown.ids import RuntimeId
    from tinytown.times import Timestamp
    from tinytown.transport.delivery import Fence
    from tinytown.transport.journal import Journal
    from tinytown.transport.missions import Missions
    from tinytown.transport.placement import Placement
    from tinytown.transport.shelves import Shelves
    from tinytown.transport.store import Store

_LET_GO_WITHIN = 2.0
"""Seconds for letting go of the missions at the end; what is not done by then the lease does."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
"""Bounds, in seconds, of the pause before a mission is tried again that went wrong."""

_FREEING = frozenset({"agent", "round"})
"""The nouns of events after which an agent may be free."""

_ASIDE = "dead_letter"
"""The noun of events that tell of a message which its agent will not get again; it may have been a task."""


@dataclass(frozen=True, slots=True)
class SchedulerParts:
    """What a scheduler works with. `tick_secs` is the longest time between two ticks of a mission."""

    store: Store
    missions: Missions
    shelves: Shelves
    placement: Placement
    journal: Journal
    runtime: RuntimeId
    environ: Mapping[str, str]
    bugbots: Collection[str]
    tick_secs: float
    random: Random
    report: Callable[[str], None]
    now: Callable[[], Timestamp] = times.now


class Scheduler:
    """The missions of one process."""

    def __init__(self, parts: SchedulerParts) -> None:
        self._parts = parts
        self._actors: dict[MissionId, MissionActor] = {}
        self._fences: dict[MissionId, Fence] = {}
        self._lives: dict[MissionId, trio.CancelScope] = {}
        self.rests = False
        """The town was stopped: no mission is taken up before there is an agent, or somebody changes one."""
        self._bell = Bell()
        self._turns = trio.Lock()
        self._scope = trio.CancelScope()
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._fences)

    def ring(self, word: str) -> bool:
        """Do what a word of the bell asks for: wake the mission that it names, or rest; False for any other word."""
        if word == STAND_DOWN:
            self._stand_down()
            return True
        if not word.startswith(RUNG):
            return False
        self.rests = False
        actor = self._actors.get(MissionId(word.removeprefix(RUNG)))
        if actor is None:
            self._bell.ring()
        else:
            actor.bell.ring()
        return True

    def wake(self) -> None:
        """Look for missions that nobody works on, and let all tick: something may have been missed."""
        self._bell.ring()
        self._ring_all(hungry=False)

    def _stand_down(self) -> None:
        self.rests = True
        for scope in self._lives.values():
            scope.cancel()

    def close(self) -> None:
        """Let go of every mission; `run` returns."""
        self._scope.cancel()

    async def busy(self) -> None:
        """Return when there is a mission to work on."""
        while not self._fences:
            await self._changed.wait()
        await trio.lowlevel.checkpoint()

    async def empty(self) -> None:
        """Return when there is none."""
        while self._fences:
            await self._changed.wait()
        await trio.lowlevel.checkpoint()

    async def run(self) -> None:
        """Work on missions until `close`."""
        with self._scope:
            await self._first_mission()
            # Here, because it takes long to import, and many towns never have a mission.
            from tinytown.actors.missions.github.clients import Clients

            async with Clients.open(self._parts.environ) as clients, trio.open_nursery() as nursery:
                nursery.start_soon(self._follow)
                while True:
                    self._bell.take()
                    # The heartbeat deals with a store that does not answer; the next look finds the same.
                    with suppress(Unavailable):
                        await self._adopt(nursery, clients)
                    with trio.move_on_after(self._parts.tick_secs):
                        await self._bell.wait()

    async def _first_mission(self) -> None:
        """Return when there is a mission that may be worked on."""
        active: list[MissionId] = []
        while not active:
            self._bell.take()
            with suppress(Unavailable):
                active = await self._parts.missions.active()
            if not active:
                with trio.move_on_after(self._parts.tick_secs):
                    await self._bell.wait()

    async def once(self, clients: Clients) -> dict[MissionId, Exception | None]:
        """Look outside and decide, once, for each mission that nobody else works on; gives those, and what went wrong.

        Raises the kinds of `Unavailable` only.
        """
        done: dict[MissionId, Exception | None] = {}
        for mission_id in await self._parts.missions.active():
            async with self._held(mission_id) as fence:
                if fence is None:
                    continue
                error = await self._guarded(mission_id, self._actor(mission_id, fence, clients).once)
                if error is not None and isinstance(first_cause(error), Unavailable):
                    raise error
                done[mission_id] = error
        return done

    async def _adopt(self, nursery: trio.Nursery, clients: Clients) -> None:
        if self.rests and not await self._somebody_works():
            return
        self.rests = False
        for mission_id in await self._parts.missions.active():
            if mission_id not in self._fences:
                fence = await self._place(mission_id)
                if fence is not None:
                    self._fences[mission_id] = fence
                    self._tell_change()
                    nursery.start_soon(self._supervise, mission_id, clients)

    async def _somebody_works(self) -> bool:
        """Whether an agent is there that was not asked to end."""
        agents = await self._parts.store.agents()
        return any(not agent.state.is_terminal and agent.state is not AgentState.DRAINING for agent in agents)

    async def _supervise(self, mission_id: MissionId, clients: Clients) -> None:
        """Let one mission live; whatever goes wrong, it is tried again, and the others notice nothing."""
        failures = 0
        scope = self._lives[mission_id] = trio.CancelScope()
        try:
            with scope:
                while True:
                    began = trio.current_time()
                    error = await self._live(mission_id, clients)
                    if error is None:
                        return
                    failures = failures + 1 if trio.current_time() - began < _LONGEST_PAUSE else 1
                    random = self._parts.random.random()
                    await trio.sleep(pause(failures, base=_FIRST_PAUSE, cap=_LONGEST_PAUSE, random=random))
        finally:
            with trio.move_on_after(_LET_GO_WITHIN, shield=True):
                await self._let_go(mission_id, self._fences[mission_id])
            del self._fences[mission_id], self._lives[mission_id]
            self._tell_change()

    async def _live(self, mission_id: MissionId, clients: Clients) -> Exception | None:
        actor = self._actors[mission_id] = self._actor(mission_id, self._fences[mission_id], clients)
        try:
            return await self._guarded(mission_id, actor.live)
        finally:
            del self._actors[mission_id]

    async def _guarded(self, mission_id: MissionId, work: Callable[[], Awaitable[None]]) -> Exception | None:
        """Work on one mission; gives what went wrong with it, and tells of it unless it is the store that is gone."""
        try:
            await work()
        except Exception as error:
            cause = first_cause(error)
            if isinstance(cause, LeaseLost | MissionNotFound):
                return None
            if not isinstance(cause, Unavailable):
                await self._report(mission_id, error)
            return error
        return None

    async def _report(self, mission_id: MissionId, error: Exception) -> None:
        self._parts.report(f"Mission {mission_id}: {''.join(traceback.format_exception(error))}")
        cause = first_cause(error)
        said = cause.message if isinstance(cause, TownError) else f"{type(cause).__name__}: {cause}"
        with suppress(TownError):
            await self._parts.journal.append(
                Event("mission.went_wrong", mission=mission_id, detail=one_line(said, 200))
            )

    def _actor(self, mission_id: MissionId, fence: Fence, clients: Clients) -> MissionActor:
        from tinytown.actors.missions.mission_actor import MissionActor

        parts = self._parts
        return MissionActor(
            mission_id,
            fence,
            store=parts.store,
            missions=parts.missions,
            shelves=parts.shelves,
            clients=clients,
            bugbots=parts.bugbots,
            tick_secs=parts.tick_secs,
            now=parts.now,
            bell=Bell(),
            turns=self._turns,
        )

    @asynccontextmanager
    async def _held(self, mission_id: MissionId) -> AsyncIterator[Fence | None]:
        fence = await self._place(mission_id)
        try:
            yield fence
        finally:
            if fence is not None:
                with trio.move_on_after(_LET_GO_WITHIN, shield=True):
                    await self._let_go(mission_id, fence)

    async def _place(self, mission_id: MissionId) -> Fence | None:
        """The right to act for a mission; None when another living process has it."""
        (placed,) = await self._parts.placement.place(self._parts.runtime, [AgentId(mission_id)])
        return placed.fence

    async def _let_go(self, mission_id: MissionId, fence: Fence) -> None:
        with suppress(Unavailable):
            await self._parts.placement.unplace(fence, wanted=False)

    async def _follow(self) -> None:
        """Hear what happens in the town, for as long as there is a mission that it may matter to."""
        failures = 0
        while True:
            await self.busy()
            try:
                position = await self._parts.journal.position()
                # What happened before is seen by a tick that begins now.
                self._ring_all(hungry=False)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._hear_from, position)
                    await self.empty()
                    nursery.cancel_scope.cancel()
            except* Unavailable:
                failures += 1
            else:
                failures = 0
            if failures:
                await trio.sleep(pause(failures, base=0.1, cap=5.0, random=self._parts.random.random()))

    async def _hear_from(self, position: str) -> None:
        async with aclosing(self._parts.journal.follow(position)) as events:
            async for event in events:
                self._hear(event)

    def _hear(self, event: Event) -> None:
        noun = event.type.partition(".")[0]
        if noun in _FREEING or noun == _ASIDE:
            self._ring_all(hungry=noun in _FREEING)
        if event.task is not None:
            for actor in self._actors.values():
                if event.task in actor.last.waits_for:
                    actor.bell.ring()

    def _ring_all(self, *, hungry: bool) -> None:
        for actor in self._actors.values():
            if actor.last.hungry or not hungry:
                actor.bell.ring()

    def _tell_change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
