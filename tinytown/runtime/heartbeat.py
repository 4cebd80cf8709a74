"""The heartbeat: one command renews the lease of a runtime, and with it of every actor it holds.

When no renewal gets through for two thirds of the lease, the runtime fences itself: it
ends all turns before another runtime may begin them again. When the store is back it registers anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from tinytown.actors.actor import Bell
from tinytown.errors import LeaseLost, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinytown.runtime.lifeline import Lifeline
    from tinytown.runtime.supervisor import Supervisor
    from tinytown.transport.placement import Placement, RuntimeCard


class Heartbeat:
    """Beats every `interval` seconds. `heal` tries to bring back a store that is ours to bring back."""

    def __init__(
        self,
        card: RuntimeCard,
        placement: Placement,
        supervisor: Supervisor,
        lifeline: Lifeline,
        *,
        lease: float,
        interval: float,
        heal: Callable[[], Awaitable[None]],
        report: Callable[[str], None],
    ) -> None:
        self._card = card
        self._placement = placement
        self._supervisor = supervisor
        self._lifeline = lifeline
        self._lease = lease
        self._interval = interval
        # Two thirds of the lease: the rest is time to end what runs before somebody else begins it again.
        self._fence_after = lease * 2 / 3
        self._bell = Bell()
        self._heal = heal
        self._report = report

    def wake(self) -> None:
        """Beat now: the connection was lost."""
        self._bell.ring()

    async def run(self) -> None:
        """Beat for ever, the first time after one interval: the runtime has just registered."""
        last = trio.current_time()
        fenced = False
        while True:
            with trio.move_on_after(self._interval) as interval:
                await self._bell.wait()
            self._bell.take()
            if not interval.cancelled_caught:
                await self._heal()
            try:
                # A beat that hangs must not keep the fence from falling.
                with trio.fail_after(self._interval):
                    if fenced:
                        await self._placement.begin(self._card, lease=self._lease)
                        passed = []
                    else:
                        passed = await self._placement.beat(self._card.id, lease=self._lease)
            except LeaseLost:
                self._fence("another runtime took its place")
                fenced = True
            except (Unavailable, trio.TooSlowError) as error:
                await self._heal()
                if not fenced and trio.current_time() - last >= self._fence_after:
                    self._fence(f"no renewal for {self._fence_after:.0f} s: {error}")
                    fenced = True
            else:
                last = trio.current_time()
                if fenced or passed:
                    self._lifeline.look_at_everybody()
                fenced = False

    def _fence(self, why: str) -> None:
        self._report(f"all turns are cut: {why}")
        self._supervisor.drop_all()
