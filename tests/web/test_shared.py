"""Readings that many share, and nobody gets an old one."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tinytown.web.shared import Shared


class Source:
    """Something that takes a second to read, and counts how often it was."""

    def __init__(self) -> None:
        self.value = 0
        self.readings = 0
        self.fails = False

    async def read(self) -> int:
        self.readings += 1
        found = self.value
        await trio.sleep(1)
        if self.fails:
            raise ValueError("no")
        return found


async def test_a_crowd_is_served_by_two_readings_and_sees_what_was_there_when_it_came(
    autojump_clock: MockClock,
) -> None:
    shared, source, seen = Shared[int](), Source(), []

    async def ask(after: float) -> None:
        await trio.sleep(after)
        came = source.value
        found = await shared.get("it", source.read)
        seen.append(found >= came)

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(ask, number / 101)
        await trio.sleep(0.5)
        source.value = 1

    assert seen == [True] * 100
    assert source.readings == 2
    assert not shared._places


async def test_after_a_reading_that_fails_the_next_in_line_reads_for_himself(autojump_clock: MockClock) -> None:
    shared, source, found = Shared[int](), Source(), []

    async def ask() -> None:
        found.append(await shared.get("it", source.read))

    source.fails = True
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail, shared, source)
        await trio.sleep(0.5)
        nursery.start_soon(ask)
        await trio.sleep(0.6)
        source.fails = False
    assert found == [0]
    assert source.readings == 2


async def test_who_gives_up_leaves_the_line_to_others(autojump_clock: MockClock) -> None:
    shared, source, found = Shared[int](), Source(), []

    async def ask(patience: float) -> None:
        with trio.move_on_after(patience):
            found.append(await shared.get("it", source.read))

    async with trio.open_nursery() as nursery:
        for patience in (0.5, 0.7, 9.0):
            nursery.start_soon(ask, patience)
            await trio.sleep(0.1)
    assert found == [0]
    assert not shared._places


async def fail(shared: Shared[int], source: Source) -> None:
    with pytest.raises(ValueError, match="no"):
        await shared.get("it", source.read)
