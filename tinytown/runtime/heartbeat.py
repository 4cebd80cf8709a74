"""The heartbeat: one command renews the lease of a runtime, and with it of every actor it holds.

When no renewal gets through for two thirds of the lease, the runtime fences itself: it ends all turns before
another runtime may begin them again, and adopts nobody. When the store is back it registers anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from tinytown.actors.actor import Bell
from tinytown.errors import LeaseLost, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinytown.ids import RuntimeId
    from tinytown.runtime.lifeline import Lifeline
    from tinytown.runtime.supervisor import Supervisor
    from tinytown.transport.placement import Placement, RuntimeCard


_HURRY = 5
"""After a beat that failed the next comes so many times sooner: an outage shorter than the fence cuts nothing."""


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
        # A turn is ended in two steps and a kill.
        self._step = (lease - self._fence_after) / 2.5
        self._last = -math.inf
        self._missed = False
        self._fenced = False
        self._bell = Bell()
        self._heal = heal
        self._report = report

    def wake(self) -> None:
        """Beat now: the connection was lost."""
        self._bell.ring()

    async def run(self) -> None:
        """Beat for ever, the first time after one interval: the runtime has just registered."""
        self._last = trio.current_time()
        while True:
            # The fence falls in time whatever hangs: the store, its start, the wait for the next beat.
            with trio.move_on_at(math.inf if self._fenced else self._last + self._fence_after) as patience:
                await self._beat_once()
            if patience.cancelled_caught:
                self._fence(f"no renewal of the lease for {self._fence_after:g} s")

    async def _beat_once(self) -> None:
        with trio.move_on_after(self._interval / _HURRY if self._missed else self._interval) as interval:
            await self._bell.wait()
        self._bell.take()
        if not interval.cancelled_caught:
            await self._heal()
        self._missed = True
        try:
            with trio.fail_after(self._interval):
                passed = await self._renew()
        except LeaseLost:
            self._fence("another runtime took its place")
            return
        except (Unavailable, trio.TooSlowError):
            await self._heal()
            return
        self._last, self._missed = trio.current_time(), False
        if passed or self._fenced:
            self._fenced = False
            self._supervisor.resume()
            self._lifeline.look_at_everybody()

    async def _renew(self) -> list[RuntimeId]:
        if self._fenced:
            await self._placement.begin(self._card, lease=self._lease)
            return []
        return await self._placement.beat(self._card.id, lease=self._lease)

    def _fence(self, why: str) -> None:
        self._fenced = True
        self._report(f"all turns are cut: {why}")
        self._supervisor.suspend(step=self._step)
