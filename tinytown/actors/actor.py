"""An actor: one mailbox, and a behaviour that turns messages into outcomes.

While nothing is to be done an actor is one task that waits for its bell: no process, no polling, a few KiB. While
it takes a turn there are three tasks in one nursery: the turn's *work*, its *keeper*, which renews the leases of
what was claimed, and its *listener*, which hears control and urgent messages and may cut the turn. There is never
a nursery per message.

An actor that waits stands ready: it is handed what comes (see `transport.mailbox`), and claims only when the bell
rings for what could not be handed.

Rules. The bell is taken before the lanes are looked at, so a ring that comes during a claim causes another claim.
Control messages are settled before they are obeyed. What a turn claimed is settled when the turn has ended, never
before; when the actor is cancelled, it goes back to its lanes as if it had never been taken. An actor that finds
its epoch over changes nothing more and ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from tinytown.errors import LeaseLost, RedisUnreachable, Unavailable
from tinytown.messages import LANES, Priority
from tinytown.transport.delivery import Ack, Control, ControlKind, Delivery, Outcome, Return

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinytown.transport.delivery import Claim, Fence
    from tinytown.transport.mailbox import Mailbox

SETTLE_GRACE = 2.0
"""Seconds that the last write of a cancelled turn may take; whatever is not settled by then is recovered later."""


class Bell:
    """Wakes one actor. A ring before anybody waits is kept; many rings are one.

    Beside it lies what the actor is handed while it stands ready.
    """

    __slots__ = ("_event", "_handed", "_rung")

    def __init__(self) -> None:
        self._rung = False
        self._handed: tuple[Delivery, ...] = ()
        # Made when somebody waits: thousands of idle actors need not carry one each.
        self._event: trio.Event | None = None

    def ring(self) -> None:
        """Wake the actor, now or when it next waits."""
        self._rung = True
        if self._event is not None:
            self._event.set()

    def hand(self, delivery: Delivery) -> None:
        """Put a message beside it that is claimed for the actor, and wake it."""
        self._handed += (delivery,)
        if self._event is not None:
            self._event.set()

    @property
    def rung(self) -> bool:
        """There was a ring since the last `take`."""
        return self._rung

    def take(self) -> None:
        """Forget the rings so far: call it before looking at what they were for."""
        self._rung = False

    def take_handed(self) -> tuple[Delivery, ...]:
        """What was handed since the last time, in the order of reading."""
        handed, self._handed = self._handed, ()
        return handed if len(handed) < 2 else tuple(sorted(handed, key=_in_order))

    async def wait(self, *, for_work: bool = False) -> None:
        """Return at the next ring; at once if there was one since the last `take`.

        `for_work`: or when something is handed.
        """
        if self._calls(for_work):
            await trio.lowlevel.checkpoint()
        while not self._calls(for_work):
            if self._event is None:
                self._event = trio.Event()
            try:
                await self._event.wait()
            finally:
                self._event = None

    def _calls(self, for_work: bool) -> bool:  # noqa: FBT001 - the same as of `wait`
        return self._rung or (for_work and bool(self._handed))


def _in_order(delivery: Delivery) -> tuple[int, int]:
    return LANES.index(delivery.lane), delivery.tag


@dataclass(frozen=True, slots=True)
class Pace:
    """How much one turn takes and for how long it holds it: `lease` in seconds, `size` in bytes."""

    lease: float = 60.0
    renewal: float = 15.0
    """Four in a lease, so that three may fail."""
    count: int = 50
    size: int = 256 * 1024


@dataclass(slots=True)
class Turn:
    """A turn: what was claimed for it, and the scope that ends it. `cut_by` says who or what cut it."""

    deliveries: tuple[Delivery, ...]
    waiting: int
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    cut_by: str = ""
    heard: bool = False
    """The bell rang during the turn; what it rang for may still wait."""

    def cut(self, why: str) -> None:
        """End the turn's work now; what it claimed goes back uncounted."""
        self.cut_by = self.cut_by or why
        self.scope.cancel()

    @property
    def is_urgent(self) -> bool:
        """It works on an urgent message already."""
        return any(delivery.lane is Priority.URGENT for delivery in self.deliveries)


class Actor:
    """The loop around a behaviour. A subclass says what a turn does (`handle`) and how it obeys.

    Run `live` in a task of its own. It returns when the actor has ended by itself, and raises `LeaseLost` when it
    was fenced, `Unavailable` when the store was out of reach at a moment that left the actor's claims unknown:
    then it has to be placed anew.
    """

    def __init__(self, fence: Fence, mailbox: Mailbox, bell: Bell, pace: Pace) -> None:
        self.fence = fence
        self.mailbox = mailbox
        self.bell = bell
        self.pace = pace
        self.ended = False
        self.leaving = False
        self.turn: Turn | None = None
        # Nothing was there when it last looked, and it is handed what comes.
        self._stands = False

    def over(self) -> bool:
        """It takes no further turn."""
        return self.ended or self.leaving

    def hasten(self, step: float) -> None:
        """From now on a turn that is cut gets at most `step` seconds for each step of its end; 0: end it now."""

    def leave(self) -> None:
        """End after the running turn, without an end of what the actor stands for; another runtime goes on."""
        self.leaving = True
        self.bell.ring()

    async def begin(self) -> None:
        """Called once, before the first claim."""

    async def rest(self) -> None:
        """Called before each claim; returns when the actor may take a turn."""

    async def handle(self, turn: Turn) -> Mapping[int, Outcome]:
        """Do the turn's work; the outcome of each delivery by its tag. What is left out goes back uncounted."""
        raise NotImplementedError

    async def conclude(self, turn: Turn) -> None:
        """Called after a turn whose work was cut or raised, before its messages go back."""

    async def obey(self, control: Control, turn: Turn | None) -> None:
        """Do what a control message says; `turn` is the running one."""
        if turn is not None and control.kind is not ControlKind.WAKE:
            turn.cut(f"{control.kind} by {control.by}" if control.by else control.kind)

    async def held(self) -> None:
        """Called when a claim was refused because the agent is paused or ending."""

    async def idle(self) -> bool:
        """Called when nothing waits that asks for work; True when it has found some, and something waits now."""
        await trio.lowlevel.checkpoint()
        return False

    async def live(self) -> None:
        """Take turns until the actor has ended or leaves."""
        # What an earlier life was handed went back when this one was placed.
        self.bell.take_handed()
        await self.begin()
        while not self.over():
            await self.rest()
            if not self.over() and not await self._advance():
                await self.bell.wait(for_work=True)

    async def _advance(self) -> bool:
        """Take a turn on what it was handed or can claim. False when it has to wait."""
        handed = self.bell.take_handed()
        if handed:
            # A ring is left to the turn, which listens: it may be for a control message.
            self._stands = False
            worked = await self._take_turn(Turn(handed, 0))
        elif self._stands and not self.bell.rung:
            worked = False
        else:
            self.bell.take()
            claim = await self._claim()
            for control in claim.controls:
                await self.obey(control, None)
            if claim.controls:
                return True
            if claim.held:
                await self.held()
                return self.over()
            worked = bool(claim.deliveries) and await self._take_turn(Turn(claim.deliveries, claim.waiting))
        if worked or self.over():
            return True
        found = await self.idle()
        self._stands = self._stands and not found
        return found

    async def _claim(self) -> Claim:
        pace = self.pace
        claim = await self.mailbox.claim(self.fence, count=pace.count, size=pace.size, lease=pace.lease, stand=True)
        self._stands = claim.stands
        if not claim.stands:
            # What was handed before the claim is part of it by now, and after it nothing was.
            self.bell.take_handed()
        return claim

    async def _take_turn(self, turn: Turn) -> bool:
        """False when all that was claimed went back to wait for something that asks for work."""
        outcomes: Mapping[int, Outcome] = {}
        failure: Exception | None = None
        self.turn = turn
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep, turn)
                nursery.start_soon(self._listen, turn)
                with turn.scope:
                    try:
                        outcomes = await self.handle(turn)
                    except Exception as error:
                        failure = error
                nursery.cancel_scope.cancel()
        finally:
            # Also on the way of a cancellation: give back exactly what was taken.
            with trio.move_on_after(SETTLE_GRACE, shield=True) as grace:
                await self._finish(turn, outcomes, failure)
            self.turn = None
            if turn.heard:
                self.bell.ring()
        if failure is not None:
            raise failure
        if grace.cancelled_caught:
            raise RedisUnreachable(f"What became of a turn could not be told within {SETTLE_GRACE:g} s")
        quiet = Return(quiet=True)
        return not outcomes or any(outcome != quiet for outcome in outcomes.values())

    async def _finish(self, turn: Turn, outcomes: Mapping[int, Outcome], failure: Exception | None) -> None:
        if isinstance(failure, LeaseLost):
            return
        try:
            if failure is not None or turn.scope.cancelled_caught or not outcomes:
                await self.conclude(turn)
            settled = [(done, outcomes.get(done.tag, Return())) for done in turn.deliveries]
            if all(isinstance(outcome, Ack) for _, outcome in settled):
                pace = self.pace
                self._stands = await self.mailbox.settle_and_stand(
                    self.fence, settled, count=pace.count, size=pace.size, lease=pace.lease
                )
            else:
                await self.mailbox.settle(self.fence, settled)
        except LeaseLost:
            self.ended = True
        except Unavailable:
            # Unsettled claims come back when the actor is placed anew; a settlement is worth no crash.
            if failure is None:
                raise

    async def _keep(self, turn: Turn) -> None:
        while True:
            await trio.sleep(self.pace.renewal)
            try:
                await self.mailbox.renew(self.fence, turn.deliveries, lease=self.pace.lease)
            except LeaseLost:
                turn.cut("its placement was lost")
                return
            except Unavailable:
                # The lease outlives three failed renewals; until then the store may come back.
                continue

    async def _listen(self, turn: Turn) -> None:
        while True:
            await self.bell.wait()
            self.bell.take()
            turn.heard = True
            # A glance takes the control messages: the end of the turn must not lose them on their way here.
            with trio.CancelScope(shield=True):
                try:
                    controls, urgent = await self.mailbox.glance(self.fence)
                except LeaseLost:
                    turn.cut("its placement was lost")
                    return
                except Unavailable:
                    continue
                for control in controls:
                    await self.obey(control, turn)
            if urgent and not turn.is_urgent:
                turn.cut("an urgent message")
