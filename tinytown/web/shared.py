"""One reading for everybody who asks for it at the same time.

What must be true: nobody gets what was read before he asked. So whoever comes while a reading is under way waits for
the next one, which serves all who have come by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

T = TypeVar("T")


class _Reading(Generic[T]):
    """One reading: to come, under way, or over."""

    def __init__(self) -> None:
        self.over = trio.Event()
        self.led = False
        self.results: list[T] = []
        """The one result; none when it failed, or nobody was left to do it."""


class _Place(Generic[T]):
    """The readings of one thing: the one under way, and the one to come, which serves all who wait."""

    def __init__(self) -> None:
        self.current: _Reading[T] | None = None
        self.coming: _Reading[T] | None = None
        self.guests = 0


class Shared(Generic[T]):
    """Readings by what they read."""

    def __init__(self) -> None:
        self._places: dict[Hashable, _Place[T]] = {}

    async def get(self, what: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """The result of a reading that began after this call; `read` is called if nobody else's will do.

        A reading that fails or is cancelled is its own caller's affair: another of those who wait reads instead.
        """
        place = self._places.setdefault(what, _Place())
        place.guests += 1
        try:
            while place.current is not None:
                coming = place.coming = place.coming or _Reading()
                if await self._turn(place, place.current, coming):
                    break
                await coming.over.wait()
                if coming.results:
                    return coming.results[0]
            return await self._lead(place, read)
        finally:
            place.guests -= 1
            if not place.guests:
                del self._places[what]

    async def _turn(self, place: _Place[T], current: _Reading[T], coming: _Reading[T]) -> bool:
        """Whether it is now up to us to do the reading that comes: one of those who wait for it does."""
        if coming.led:
            return False
        coming.led = True
        try:
            await current.over.wait()
        except trio.Cancelled:
            if place.coming is coming:
                place.coming = None
                coming.over.set()
            raise
        return place.coming is coming

    async def _lead(self, place: _Place[T], read: Callable[[], Awaitable[T]]) -> T:
        mine = place.current = place.coming or _Reading()
        place.coming = None
        try:
            result = await read()
            mine.results.append(result)
            return result
        finally:
            place.current = None
            mine.over.set()
