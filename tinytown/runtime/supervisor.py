"""The supervisor: every agent's actor is a child of one nursery, restarted by itself when it crashes.

One-for-one: what happens to one agent is no other's business. An actor that ends by itself is done with; one that
was fenced belongs to another runtime; one that lost the store is placed anew when the store answers; one that
crashes is restarted by `restart.py`, and when that gives up the agent goes to Error and the town goes on.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Protocol

import trio

from tinytown.actors.actor import Actor, Bell
from tinytown.actors.backoff import pause
from tinytown.actors.progress import Progress
from tinytown.errors import AgentNotFound, LeaseLost, TownError, Unavailable
from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.lifecycle import AgentEvent
from tinytown.runtime.restart import GiveUp, RestartPolicy, after_crash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from random import Random

    from tinytown.ids import RuntimeId
    from tinytown.transport.delivery import Fence
    from tinytown.transport.placement import Placement
    from tinytown.transport.store import Store

PLACED_AT_ONCE = 256
"""Actors in one placing script: a script stops the whole server while it runs."""

_STORE_PAUSE = 5.0
"""The longest pause, in seconds, between two tries to place an actor while the store does not answer."""


class MakeActor(Protocol):
    """Makes the actor of an agent."""

    def __call__(self, fence: Fence, bell: Bell) -> Actor:
        """A new actor that acts under this fence and listens to this bell."""


class Child:
    """One supervised agent."""

    __slots__ = ("actor", "bell", "scope")

    def __init__(self) -> None:
        self.bell = Bell()
        self.scope = trio.CancelScope()
        self.actor: Actor | None = None

    def leave(self, deadline: float) -> None:
        """End after the running turn, by the deadline at the latest; at once when there is none."""
        if self.actor is not None and self.actor.turn is not None:
            self.actor.leave()
            self.scope.deadline = min(self.scope.deadline, deadline)
        else:
            self.scope.cancel()


class Supervisor:
    """The children of one runtime. `nursery` is the supervisor nursery of the runtime's tree."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        runtime: RuntimeId,
        store: Store,
        placement: Placement,
        make_actor: MakeActor,
        policy: RestartPolicy,
        random: Random,
        report: Callable[[str], None],
    ) -> None:
        self._nursery = nursery
        self._runtime = runtime
        self._store = store
        self._placement = placement
        self._make_actor = make_actor
        self._policy = policy
        self._random = random
        self._report = report
        self._children: dict[AgentId, Child] = {}
        self._closed = False
        self._emptied = trio.Event()

    def __contains__(self, agent_id: object) -> bool:
        return agent_id in self._children

    def __len__(self) -> int:
        return len(self._children)

    def __iter__(self) -> Iterator[AgentId]:
        return iter(tuple(self._children))

    def ring(self, agent_id: AgentId) -> bool:
        """Wake an agent; False when it is no child of this runtime."""
        child = self._children.get(agent_id)
        if child is None:
            return False
        child.bell.ring()
        return True

    async def adopt(self, agent_ids: Iterable[AgentId]) -> int:
        """Place these agents here and start their actors, except those that another living runtime holds.

        Gives how many were started. The records are looked at by the actors: one that has ended ends again.
        """
        wanted = [
            each for each in dict.fromkeys(agent_ids) if each not in self._children and each != SUPERVISOR_ID
        ]
        started = 0
        for start in range(0, len(wanted), PLACED_AT_ONCE):
            if self._closed:
                break
            started += await self._adopt_group(wanted[start : start + PLACED_AT_ONCE])
        return started

    async def _adopt_group(self, group: Sequence[AgentId]) -> int:
        started = 0
        for agent_id, placed in zip(group, await self._placement.place(self._runtime, group), strict=True):
            if placed.fence is None or agent_id in self._children:
                continue
            if self._closed:
                await self._placement.unplace(placed.fence, wanted=True)
                continue
            if placed.recovered or placed.quarantined:
                self._report(
                    f"{agent_id}: {placed.recovered} messages recovered, {placed.quarantined} quarantined"
                )
            child = self._children[agent_id] = Child()
            self._nursery.start_soon(self._supervise, agent_id, child, placed.fence)
            started += 1
        return started

    async def empty(self) -> None:
        """Return when there is no child."""
        while self._children:
            self._emptied = trio.Event()
            await self._emptied.wait()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Adopt nobody any more."""
        self._closed = True

    def leave_all(self, deadline: float) -> None:
        """Let every agent end after its turn, by the deadline (trio's clock) at the latest."""
        self.close()
        for child in self._children.values():
            child.leave(deadline)

    def drop_all(self) -> None:
        """Cut every turn now, because this runtime may not act any more; the agents can be adopted again later."""
        for child in self._children.values():
            child.scope.cancel()

    async def _supervise(self, agent_id: AgentId, child: Child, fence: Fence | None) -> None:
        crashes: tuple[float, ...] = ()
        try:
            with child.scope:
                while fence is not None:
                    decision = await self._live(child, fence)
                    if decision is None:
                        return
                    if isinstance(decision, Unavailable):
                        fence = await self._place_again(agent_id)
                        continue
                    now = trio.current_time()
                    crashes, what = after_crash(self._policy, crashes, now, self._random.random())
                    if isinstance(what, GiveUp):
                        await self._give_up(fence, decision, what)
                        return
                    await trio.sleep(what.seconds)
                    fence = await self._place_again(agent_id)
        finally:
            if self._children.get(agent_id) is child:
                del self._children[agent_id]
                if not self._children:
                    self._emptied.set()

    async def _live(self, child: Child, fence: Fence) -> Exception | None:
        """One life of the actor: None when it is over for good, otherwise what it failed of."""
        actor = child.actor = self._make_actor(fence, child.bell)
        wanted = True
        try:
            await actor.live()
            wanted = not actor.ended
        except (LeaseLost, AgentNotFound):
            wanted = False
        except Unavailable as error:
            return error
        except Exception as error:
            self._report(f"{fence.id}: crashed\n{''.join(traceback.format_exception(error))}")
            return error
        finally:
            child.actor = None
            with trio.move_on_after(1.0, shield=True):
                await self._let_go(fence, wanted=wanted)
        return None

    async def _let_go(self, fence: Fence, *, wanted: bool) -> None:
        try:
            await self._placement.unplace(fence, wanted=wanted)
        except TownError:
            # The lease of this runtime runs out, or its successor's epoch is higher: either frees it.
            return

    async def _place_again(self, agent_id: AgentId) -> Fence | None:
        failures = 0
        while True:
            try:
                (placed,) = await self._placement.place(self._runtime, [agent_id])
            except Unavailable:
                failures += 1
                await trio.sleep(pause(failures, base=0.1, cap=_STORE_PAUSE, random=self._random.random()))
            else:
                return placed.fence

    async def _give_up(self, fence: Fence, error: Exception, what: GiveUp) -> None:
        """The agent goes to Error; its mailbox is kept."""
        (placed,) = await self._placement.place(self._runtime, [fence.id])
        if placed.fence is None:
            return
        cause = first_cause(error)
        reason = f"its actor crashed {what.crashes} times; last: {type(cause).__name__}: {cause}"
        await Progress(self._store, placed.fence).end(AgentEvent.FAIL, reason)
        await self._placement.unplace(placed.fence, wanted=False)


def first_cause(error: BaseException) -> BaseException:
    """The first real error inside groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
