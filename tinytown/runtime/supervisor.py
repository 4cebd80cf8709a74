"""The supervisor: every agent's actor is a child of one nursery, restarted by itself when it crashes.

One-for-one: what happens to one agent is no other's business. An actor that ends by itself is done with; one that
was fenced belongs to another runtime; one that lost the store is placed anew when the store answers; one that
crashes is restarted by `restart.py`, and when that gives up the agent goes to Error and the town goes on.
"""

from __future__ import annotations

import traceback
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import trio

from tinytown import times
from tinytown.actors.actor import Actor, Bell
from tinytown.actors.backoff import pause
from tinytown.actors.progress import Progress
from tinytown.errors import AgentNotFound, LeaseLost, TownError, Unavailable, first_cause
from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.lifecycle import AgentEvent
from tinytown.runtime.restart import Decision, GiveUp, RestartPolicy, after_crash, crashes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from random import Random

    from tinytown.ids import RuntimeId
    from tinytown.records import Agent
    from tinytown.transport.delivery import Delivery, Fence
    from tinytown.transport.placement import Placement
    from tinytown.transport.store import Store

PLACED_AT_ONCE = 256
"""Actors in one placing script: a script stops the whole server while it runs."""

_STORE_PAUSE = 5.0
"""The longest pause, in seconds, between two tries while the store does not answer or answers with errors. An actor
that lived for longer had a store that was well."""

_LET_GO_WITHIN = 1.0
"""Seconds for letting go of an actor. What is not done by then is done before the next placing."""

_CUT_STEP = 2.0
"""Seconds for each step of the end of a turn that is cut because the runtime ends."""


class MakeActor(Protocol):
    """Makes the actor of an agent."""

    def __call__(self, fence: Fence, bell: Bell) -> Actor:
        """A new actor that acts under this fence and listens to this bell."""


class Child:
    """One supervised agent. `actor` is None between two lives."""

    __slots__ = ("actor", "bell", "crashes", "scope")

    def __init__(self) -> None:
        self.bell = Bell()
        self.scope = trio.CancelScope()
        self.actor: Actor | None = None
        self.crashes: tuple[float, ...] = ()

    @property
    def in_turn(self) -> bool:
        """A turn of its actor runs."""
        return self.actor is not None and self.actor.turn is not None

    def leave(self, deadline: float) -> None:
        """End after the running turn, by the deadline at the latest; at once when there is none."""
        if self.actor is not None and self.in_turn:
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
        self._held_on: dict[AgentId, Fence] = {}
        self._closed = False
        self._suspended = False
        self._emptied = trio.Event()
        self._filled = trio.Event()
        self.on_end: Callable[[], object] = _nothing
        """Called when a child has gone. Its agent may wait for a new life already."""

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

    def hand(self, agent_id: AgentId, delivery: Delivery) -> None:
        """Hand an agent a message that is claimed for it. What is for no child of this runtime any more goes back to
        its lane when the agent is let go of."""
        child = self._children.get(agent_id)
        if child is not None:
            child.bell.hand(delivery)

    def at_rest(self) -> list[AgentId]:
        """The children that are in no turn."""
        return [agent_id for agent_id, child in self._children.items() if not child.in_turn]

    def in_turn(self) -> list[AgentId]:
        """The children that are in a turn."""
        return [agent_id for agent_id, child in self._children.items() if child.in_turn]

    async def adopt(self, agent_ids: Iterable[AgentId]) -> int:
        """Place these agents here and start their actors, except those that another living runtime holds.

        Gives how many were started. The records are looked at by the actors: one that has ended ends again.
        """
        wanted = [each for each in dict.fromkeys(agent_ids) if each not in self._children]
        if SUPERVISOR_ID in wanted and not (await self._store.agent(SUPERVISOR_ID)).acts:
            wanted.remove(SUPERVISOR_ID)
        started = 0
        for start in range(0, len(wanted), PLACED_AT_ONCE):
            if self._closed or self._suspended:
                break
            started += await self._adopt_group(wanted[start : start + PLACED_AT_ONCE])
        return started

    async def _adopt_group(self, group: Sequence[AgentId]) -> int:
        started = 0
        for agent_id in group:
            await self._really_let_go(agent_id)
        for agent_id, placed in zip(group, await self._placement.place(self._runtime, group), strict=True):
            if placed.fence is None or agent_id in self._children:
                continue
            if self._closed or self._suspended:
                await self._placement.unplace(placed.fence, wanted=True)
                continue
            if placed.recovered or placed.quarantined:
                self._report(f"{agent_id}: {placed.recovered} messages recovered, {placed.quarantined} quarantined")
            child = self._children[agent_id] = Child()
            self._filled.set()
            self._nursery.start_soon(self._supervise, agent_id, child, placed.fence)
            started += 1
        return started

    async def empty(self) -> None:
        """Return when there is no child."""
        while self._children:
            self._emptied = trio.Event()
            await self._emptied.wait()
        await trio.lowlevel.checkpoint()

    async def busy(self) -> None:
        """Return when there is a child."""
        while not self._children:
            self._filled = trio.Event()
            await self._filled.wait()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Adopt nobody any more."""
        self._closed = True

    def leave_all(self, deadline: float) -> None:
        """Let every agent end after its turn, by the deadline (trio's clock) at the latest."""
        self.close()
        for child in self._children.values():
            child.leave(deadline)

    def drop_all(self, *, step: float = _CUT_STEP) -> None:
        """Cut every turn now; each step of its end may take `step` seconds, 0 kills what still runs."""
        for child in self._children.values():
            if child.actor is not None:
                child.actor.hasten(step)
            child.scope.cancel()

    def suspend(self, *, step: float) -> None:
        """Cut every turn, and adopt nobody until `resume`: this runtime may not act now."""
        self._suspended = True
        self.drop_all(step=step)

    def resume(self) -> None:
        """Agents can be adopted again."""
        self._suspended = False

    async def _supervise(self, agent_id: AgentId, child: Child, fence: Fence | None) -> None:
        outages = 0
        try:
            with child.scope:
                while fence is not None:
                    began = trio.current_time()
                    decision = await self._live(child, fence)
                    if decision is None:
                        return
                    if isinstance(decision, Unavailable):
                        outages = outages + 1 if trio.current_time() - began < _STORE_PAUSE else 0
                        await trio.sleep(self._store_pause(outages))
                        fence = await self._place_again(agent_id)
                        continue
                    what = await self._judge_crash(agent_id, child)
                    if isinstance(what, GiveUp):
                        await self._give_up(agent_id, decision, what)
                        return
                    await trio.sleep(what.seconds)
                    fence = await self._place_again(agent_id)
        finally:
            del self._children[agent_id]
            if not self._children:
                self._emptied.set()
            self.on_end()

    async def _judge_crash(self, agent_id: AgentId, child: Child) -> Decision:
        """What to do about a crash, of which the agent's record knows from then on.

        Without a fence: that it crashed is true whoever holds it by now. Where the record cannot be read or written,
        this process counts what it has seen itself.
        """
        dice = self._random.random()
        # What is told twice, because its first reply was lost, counts once; two crashes are never of one moment.
        now = max([times.seconds_of(times.now()), *(at + 0.001 for at in child.crashes)])
        judged = after_crash(self._policy, child.crashes, now, dice)

        def note(agent: Agent) -> Agent:
            nonlocal judged
            judged = after_crash(self._policy, tuple(at for at in crashes_of(agent) if at < now), now, dice)
            return replace(agent, crashed_at=tuple(times.timestamp(at) for at in judged[0]))

        while True:
            try:
                await self._store.update_agent(agent_id, note)
            except Unavailable:
                await trio.sleep(self._store_pause(1))
                continue
            except TownError:
                # Not even its record can be read or written.
                judged = after_crash(self._policy, child.crashes, now, dice)
            child.crashes, decision = judged
            return decision

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
            with trio.move_on_after(_LET_GO_WITHIN, shield=True):
                await self._let_go(fence, wanted=wanted)
        return None

    async def _let_go(self, fence: Fence, *, wanted: bool) -> None:
        # Should it not get through, the next placing must not take it for the death of a runtime: whose messages
        # are in a prompt at several of those goes to quarantine.
        self._held_on[fence.id] = fence
        with suppress(Unavailable):
            await self._placement.unplace(fence, wanted=wanted)
            del self._held_on[fence.id]

    async def _really_let_go(self, agent_id: AgentId) -> None:
        fence = self._held_on.get(agent_id)
        if fence is not None:
            await self._placement.unplace(fence, wanted=True)
            del self._held_on[agent_id]

    async def _place_again(self, agent_id: AgentId) -> Fence | None:
        failures = 0
        while True:
            try:
                await self._really_let_go(agent_id)
                (placed,) = await self._placement.place(self._runtime, [agent_id])
            except Unavailable:
                failures += 1
                await trio.sleep(self._store_pause(failures))
            else:
                return placed.fence

    def _store_pause(self, failures: int) -> float:
        return pause(failures, base=0.1, cap=_STORE_PAUSE, random=self._random.random()) if failures else 0.0

    async def _give_up(self, agent_id: AgentId, error: Exception, what: GiveUp) -> None:
        """The agent goes to Error; its mailbox is kept."""
        cause = first_cause(error)
        reason = f"its actor crashed {what.crashes} times; last: {type(cause).__name__}: {cause}"
        self._report(f"{agent_id}: given up: {reason}")
        while (fence := await self._place_again(agent_id)) is not None:
            try:
                await Progress(self._store, fence).end(AgentEvent.FAIL, reason)
            except Unavailable:
                await self._let_go(fence, wanted=True)
                await trio.sleep(self._store_pause(1))
                continue
            except TownError as damage:
                # Not even its record can be read or written: that is for `tt doctor`.
                self._report(f"{agent_id}: its end could not be recorded: {damage}")
            await self._let_go(fence, wanted=False)
            return


def _nothing() -> None:
    return
