"""`tt top`: the town on the whole screen, drawn again when something has changed.

    the journal   rings at every event
    keys, signals end it; a new size of the window rings
    the drawer    looks at the town when it was rung, and draws only what differs from what is on the screen

No event tells that messages were settled after a round, nor that a runtime has died without a word. So the drawer
looks once more shortly after the last event, and rarely even when nothing rings.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tinytown.actors.actor import Bell
from tinytown.cli.failures import INTERRUPTED
from tinytown.cli.render.top import frame
from tinytown.cli.screen import require_terminal, whole_screen
from tinytown.cli.session import opened
from tinytown.errors import Unavailable, first_cause
from tinytown.runtime.opening import open_async
from tinytown.runtime.operations.overview import Overview, Picture, overview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinytown.cli.invocation import Common
    from tinytown.cli.screen import Screen
    from tinytown.runtime.town import Town

_BETWEEN = 0.1
"""Seconds between two looks at least: a town in a hurry must not keep a slow line busy."""

_AFTER = 0.5
"""Seconds after a change until one more look: what follows an event without one of its own has happened by then."""

_RARELY = 10.0
"""Seconds between looks when nothing rings; a runtime that died is missed for at most its lease and this."""

_RETRY = 1.0
"""Seconds between tries to follow a journal whose server does not answer."""

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_QUIT_KEYS = b"qQ\x03"
_ESCAPE = b"\x1b"


def top(_request: None, common: Common) -> int:
    """Show the town until somebody quits."""
    require_terminal("tt top", "Without one use 'tt status --deep', or 'tt events --follow'.")
    with opened(common):
        # What is wrong with the town is said before the screen is taken.
        pass
    try:
        return trio.run(_show, Path(common.start))
    except BaseExceptionGroup as group:
        raise first_cause(group) from None


async def _show(start: Path) -> int:
    async with open_async(start, environ=os.environ) as town:
        view = _View(town)
        with (
            trio.open_signal_receiver(*_ENDS, signal.SIGWINCH) as signals,
            whole_screen() as screen,
        ):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(view.heed, signals, nursery.cancel_scope)
                nursery.start_soon(view.follow)
                nursery.start_soon(view.draw, screen)
                await _until_quit()
                nursery.cancel_scope.cancel()
        return view.status


class _View:
    """What is on the screen, and what rings for another look."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._bell = Bell()
        self._picture: Picture | None = None
        self._trouble = ""
        self._drawn: object = None
        self.status = 0

    async def heed(self, signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
        """End at a signal that asks for it; look again when the window has another size."""
        async for number in signals:
            if number in _ENDS:
                self.status = INTERRUPTED
                scope.cancel()
                return
            self._bell.ring()

    async def follow(self) -> None:
        """Ring at every event; without an answer, ring as well, so that the screen tells."""
        position: str | None = None
        while True:
            try:
                if position is None:
                    position = await self._town.journal.position()
                    self._bell.ring()
                async with aclosing(self._town.journal.follow(position)) as events:
                    async for event in events:
                        position = event.id
                        self._bell.ring()
            except Unavailable as error:
                self._trouble = error.message
                self._bell.ring()
                await trio.sleep(_RETRY)

    async def draw(self, screen: Screen) -> None:
        """Look whenever it has rung, and draw what has changed, for ever."""
        while True:
            self._bell.take()
            # What keeps the next look from coming is shown before it, as is a window of another size.
            self._draw(screen)
            rows = screen.size[1]
            try:
                self._picture = await overview(self._town, Overview(events=rows, tasks=rows, agents=rows))
                self._trouble = ""
            except Unavailable as error:
                self._trouble = error.message
            changed = self._draw(screen)
            await trio.sleep(_BETWEEN)
            with trio.move_on_after(_AFTER if changed else _RARELY):
                await self._bell.wait()

    def _draw(self, screen: Screen) -> bool:
        """Draw, unless all of it is on the screen; says whether there was something new."""
        size = screen.size
        now = (self._picture, self._trouble, size)
        if self._picture is None or now == self._drawn:
            return False
        screen.draw(frame(self._picture, self._trouble, height=size[1]), size)
        self._drawn = now
        return True


async def _until_quit() -> None:
    """Return when a key was pressed that quits, or when there is nobody at the keyboard any more."""
    keyboard = sys.stdin.fileno()
    while True:
        await trio.lowlevel.wait_readable(keyboard)
        try:
            typed = os.read(keyboard, 1024)
        except OSError:
            return
        # Arrows and function keys come as sequences that may hold any letter.
        if not typed or (not typed.startswith(_ESCAPE) and any(key in _QUIT_KEYS for key in typed)):
            return
