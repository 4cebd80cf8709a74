"""Agents that this process plays itself: placed on it, their messages claimed, renewed and settled.

What must be true: an agent is played by one process at a time. This one registers with a lease like a runtime and
acts under the fence of its placement; whatever it does after it lost one changes nothing and raises `LeaseLost`.
What it claimed and did not settle goes back when the town is closed. What it may have claimed without hearing of it,
because the connection broke, goes back as soon as the connection is there again.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

import trio

from tinytown import times
from tinytown.actors.progress import Progress
from tinytown.errors import Conflict, LeaseLost, TownError, Unavailable
from tinytown.ids import AgentId, short
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.transport.delivery import Ack, Claim, Delivery, Fence, Outcome, Quarantine, Retry, Return
from tinytown.transport.placement import RuntimeCard, new_runtime_id
from tinytown.transport.postponed import postponed

if TYPE_CHECKING:
    from types import TracebackType

    from tinytown.messages import Message
    from tinytown.runtime.town import Town

_SETTLE_WITHIN = 2.0
"""Seconds for the settlement of a block that was cancelled; what is not settled by then goes back at the close."""


class Received:
    """A message that was received and has to be settled: by `async with`, or by one of the methods."""

    __slots__ = ("_seats", "delivery", "fence", "message")

    def __init__(self, seats: Seats, fence: Fence, delivery: Delivery, message: Message) -> None:
        self._seats = seats
        self.fence = fence
        self.delivery = delivery
        self.message = message

    async def ack(self) -> None:
        """It is done with. Raises `LeaseLost` when somebody else plays the agent by now; then it goes to them.

        After an error of the connection nobody knows whether it was heard. Say it again, here as below: what was
        heard stays so, and is not called lost.
        """
        await self._seats.settle(self, Ack())

    async def give_back(self) -> None:
        """Back to the head of its lane, as if it had never been taken."""
        await self._seats.settle(self, Return())

    async def retry(self, seconds: float = 0.0) -> None:
        """Back after so many seconds, and counted as a failure."""
        await self._seats.settle(self, Retry(seconds))

    async def __aenter__(self) -> Message:
        return self.message

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._seats.holds(self):
            return
        if kind is None:
            await self.ack()
            return
        with trio.move_on_after(_SETTLE_WITHIN, shield=True):
            try:
                await self.give_back()
            except TownError:
                # The error of the block is the one to be seen; the message goes back by itself.
                return


class Seats:
    """The agents that this process plays in one town."""

    def __init__(self, town: Town) -> None:
        self._town = town
        # Another host than that of the runtimes: the lock that keeps those apart is not held here.
        host = f"{town.ground.host}:{os.getpid()}"
        self._card = RuntimeCard(new_runtime_id(), host, os.getpid(), times.now())
        self._fences: dict[AgentId, Fence] = {}
        self._held: dict[int, Received] = {}
        self._settling: set[int] = set()
        self._unsure: set[AgentId] = set()
        """Agents for whom something may be claimed that is not among what is held."""
        self._bells: dict[AgentId, trio.Event] = {}
        self._sitting = trio.Lock()
        # One claim of an agent at a time: what another one has just got would look like what nobody knows of.
        self._claiming: dict[AgentId, trio.Lock] = defaultdict(trio.Lock)
        self._reconnected = trio.Event()
        self._registered = False

    def holds(self, received: Received) -> bool:
        """Whether it is received, and nothing has been said of it."""
        tag = received.delivery.tag
        return self._held.get(tag) is received and tag not in self._settling

    async def receive(self, agent_id: AgentId) -> Received:
        """See `Channel.receive`."""
        interval = self._town.settings.runtime.lifeline_interval
        while True:
            bell = self._bells.setdefault(agent_id, trio.Event())
            received = await self.try_receive(agent_id)
            if received is not None:
                return received
            # A bell may be lost, and what is pushed by hand rings none.
            with trio.move_on_after(interval):
                await bell.wait()

    async def try_receive(self, agent_id: AgentId) -> Received | None:
        """See `Channel.try_receive`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        fence = await self._sit(agent_id)
        while True:
            # Not cancelled half-way: what the server has handed out must arrive.
            with trio.CancelScope(shield=True):
                try:
                    claim, received = await self._claim(fence)
                except LeaseLost:
                    self._fences.pop(agent_id, None)
                    raise
                if claim.held:
                    await self._refuse_ended(agent_id, fence)
            if received is not None:
                return received
            if not claim.controls and not claim.deliveries:
                return None

    async def _claim(self, fence: Fence) -> tuple[Claim, Received | None]:
        """One claim of one message; what cannot be read is put aside."""
        async with self._claiming[fence.id]:
            await self._disown(fence)
            self._unsure.add(fence.id)
            claim = await self._town.mailbox.claim(
                fence,
                count=1,
                size=self._town.settings.limits.message_bytes,
                lease=self._town.settings.runtime.message_lease,
            )
            received = None
            for delivery in claim.deliveries:
                if delivery.message is None:
                    await self._town.mailbox.settle(fence, [(delivery, Quarantine(delivery.fault))])
                else:
                    received = self._held[delivery.tag] = Received(self, fence, delivery, delivery.message)
            self._unsure.discard(fence.id)
            return claim, received

    async def _disown(self, fence: Fence) -> None:
        """Give back what a claim may have taken whose reply was lost."""
        if fence.id in self._unsure:
            await self._town.mailbox.disown(fence, self._held_by(fence))
            self._unsure.discard(fence.id)

    def _held_by(self, fence: Fence) -> list[Delivery]:
        return [each.delivery for each in self._held.values() if each.fence == fence]

    async def settle(self, received: Received, outcome: Outcome) -> None:
        """Say what became of it; `Conflict` when something else was said before, `LeaseLost` when it went back."""
        if not self.holds(received):
            raise Conflict(f"Message {received.message.id} is settled already")
        tag = received.delivery.tag
        self._settling.add(tag)
        try:
            gone = await self._town.mailbox.settle(received.fence, [(received.delivery, outcome)])
            lies = bool(gone) and await self._lies(received)
        except LeaseLost:
            self._held.pop(tag, None)
            raise
        finally:
            self._settling.discard(tag)
        self._held.pop(tag, None)
        # Not claimed any more: it was held longer than its lease and went back, or this was heard before, from a try
        # whose reply did not arrive (the connection repeats it). What was asked for is then so, and nothing is lost.
        if not gone or lies is not isinstance(outcome, Ack):
            return
        if lies:
            raise LeaseLost(f"Message {received.message.id} went back: it was held longer than its lease")
        raise Conflict(f"Message {received.message.id} is settled already: it is done with")

    async def _lies(self, received: Received) -> bool:
        """Whether the message waits for its agent, or is in hand under another claim."""
        town, agent_id = self._town, received.fence.id
        # In this order: what is put off comes into the mailbox, and not the other way round.
        later = [message for _, message in await postponed(town.connection, town.keys, agent_id)]
        lying = await town.mailbox.peek(agent_id, most=town.settings.limits.inbox_messages)
        return any(message is not None and message.id == received.message.id for message in (*later, *lying))

    async def close(self) -> None:
        """Give everything back."""
        fences, self._fences = self._fences, {}
        self._held.clear()
        if not self._registered:
            return
        self._registered = False
        try:
            for fence in fences.values():
                await self._town.placement.unplace(fence, wanted=False)
            await self._town.placement.end(self._card.id)
        except TownError:
            # The store is gone; the lease runs out by itself.
            return

    async def _sit(self, agent_id: AgentId) -> Fence:
        """The right to act for the agent, which is placed here if it is not yet."""
        if agent_id in self._fences:
            return self._fences[agent_id]
        async with self._sitting:
            if agent_id in self._fences:
                return self._fences[agent_id]
            agent = await self._town.store.agent(agent_id)
            if agent.state.is_terminal:
                raise Conflict(
                    f"Agent '{agent.name}' is {agent.state}: it receives nothing",
                    hint=f"Start it again with: tt restart {agent.name}",
                )
            if not self._registered:
                await self._register()
            (placed,) = await self._town.placement.place(self._card.id, [agent_id])
            if placed.fence is None:
                raise Conflict(
                    f"Agent '{agent.name}' is run by runtime {short(placed.holder or '')}, which has its messages",
                    hint="Receive for agents that this program plays itself.",
                )
            await Progress(self._town.store, placed.fence).adopt()
            self._fences[agent_id] = placed.fence
            return placed.fence

    async def _register(self) -> None:
        from tinytown.transport.multiplexed import MultiplexedConnection

        connection, nursery = self._town.connection, self._town.nursery
        if nursery is None or not isinstance(connection, MultiplexedConnection):
            raise RuntimeError("receiving needs a town that was opened under trio")
        lease = self._town.settings.runtime.placement_lease
        await self._town.placement.begin(self._card, lease=lease)
        self._registered = True
        await connection.subscribe(self._town.keys("bell"), self._hear)
        connection.on_reconnect(self._hear_reconnect)
        nursery.start_soon(self._beat)

    def _hear(self, payload: bytes) -> None:
        for word in payload.split():
            bell = self._bells.pop(AgentId(word.decode("ascii", "replace")), None)
            if bell is not None:
                bell.set()

    def _ring_all(self) -> None:
        bells, self._bells = self._bells, {}
        for bell in bells.values():
            bell.set()

    def _hear_reconnect(self) -> None:
        self._reconnected.set()
        self._ring_all()

    async def _beat(self) -> None:
        """Keep the placements and the claims, until they are given up or taken away."""
        runtime = self._town.settings.runtime
        while self._registered:
            with trio.move_on_after(runtime.placement_renew):
                await self._reconnected.wait()
            self._reconnected = trio.Event()
            try:
                await self._town.placement.beat(self._card.id, lease=runtime.placement_lease)
                for fence in list(self._fences.values()):
                    async with self._claiming[fence.id]:
                        await self._disown(fence)
                    if claimed := self._held_by(fence):
                        await self._town.mailbox.renew(fence, claimed, lease=runtime.message_lease)
            except LeaseLost:
                # Fenced: whoever still holds a message learns it when it settles.
                self._fences.clear()
                self._registered = False
                self._ring_all()
            except Unavailable:
                continue

    async def _refuse_ended(self, agent_id: AgentId, fence: Fence) -> None:
        """Raise `Conflict` for an agent that has ended, or was asked to; return for one that is paused."""
        agent = await self._town.store.agent(agent_id)
        if agent.state is AgentState.PAUSED:
            return
        if agent.state is AgentState.DRAINING:
            agent = await Progress(self._town.store, fence).end(AgentEvent.STOP)
        if agent.state.is_terminal:
            self._fences.pop(agent_id, None)
            await self._town.placement.unplace(fence, wanted=False)
            raise Conflict(f"Agent '{agent.name}' was ended: it receives nothing any more")
