"""The journal: appended to, read, followed."""

from __future__ import annotations

from contextlib import aclosing

import pytest
import trio
from towns import Parts

from tinytown.records import Event
from tinytown.transport.journal import Journal
from tinytown.transport.multiplexed import MultiplexedConnection


async def test_events_are_read_as_they_were_told_oldest_first(town: Parts) -> None:
    told = [
        Event("agent.spawned", agent="a1", detail="by ada: ünïcode\nand lines"),
        Event("task.completed", agent="a1", task="t1", message="m1", mission="i1"),
    ]
    for event in told:
        await town.journal.append(event)

    found = await town.journal.latest(10)

    assert [(e.type, e.at, e.agent, e.task, e.message, e.mission, e.detail) for e in found] == [
        (e.type, e.at, e.agent, e.task, e.message, e.mission, e.detail) for e in told
    ]
    assert all(event.id for event in found)


async def test_the_latest_are_the_last_ones(town: Parts) -> None:
    for number in range(5):
        await town.journal.append(Event("round.started", detail=str(number)))

    assert [event.detail for event in await town.journal.latest(2)] == ["3", "4"]


async def test_reading_goes_on_behind_a_position(town: Parts) -> None:
    assert await town.journal.position() == "0"
    assert await town.journal.after("0") == []
    await town.journal.append(Event("round.started", detail="first"))
    position = await town.journal.position()
    for detail in ("second", "third"):
        await town.journal.append(Event("round.started", detail=detail))

    assert [event.detail for event in await town.journal.after(position)] == ["second", "third"]
    assert [event.detail for event in await town.journal.after(position, most=1)] == ["second"]
    assert [event.detail for event in await town.journal.after("0")] == ["first", "second", "third"]


async def test_a_commit_tells_its_events_in_order_by_the_clock_of_the_server(town: Parts) -> None:
    change = town.store.change()
    for kind in ("agent.spawned", "agent.state"):
        change.tell(Event(kind, agent="a1"))
    await town.store.commit(change)

    assert [event.type for event in await town.journal.latest(9)] == ["agent.spawned", "agent.state"]


async def test_an_entry_of_somebody_else_is_shown_as_far_as_it_can_be(town: Parts) -> None:
    await town.ask("XADD", town.keys("events"), "5-1", "detail", b"\xff", "colour", "green")

    (event,) = await town.journal.latest(1)

    assert (event.type, event.id, event.at, event.detail) == ("unknown", "5-1", "1970-01-01T00:00:00.005Z", "�")


async def test_the_journal_is_bounded(town: Parts) -> None:
    journal = Journal(town.connection, town.keys, length=100)
    for number in range(500):
        await journal.append(Event("round.started", detail=str(number)))

    # The server trims by whole blocks, of a hundred entries unless configured otherwise.
    assert 100 <= len(await journal.latest(1000)) <= 200


async def test_following_gives_what_was_there_and_then_what_happens(connection: MultiplexedConnection) -> None:
    town = Parts(connection)
    await town.journal.append(Event("round.started", detail="before"))
    heard: list[str | None] = []

    async def follow() -> None:
        async with aclosing(town.journal.follow("0")) as events:
            async for event in events:
                heard.append(event.detail)
                arrived.set()
                if event.detail == "last":
                    return

    arrived = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        await arrived.wait()
        await town.journal.append(Event("round.started", detail="meanwhile"))
        await town.journal.append(Event("round.started", detail="last"))

    assert heard == ["before", "meanwhile", "last"]


async def test_a_follower_that_is_cancelled_lets_go_of_its_connection(connection: MultiplexedConnection) -> None:
    town = Parts(connection)

    async def clients() -> int:
        listed = await connection.execute("CLIENT", "LIST")
        assert isinstance(listed, bytes)
        return listed.count(b"cmd=xread")

    async def follow() -> None:
        async for _ in town.journal.follow("0"):
            pytest.fail("there is nothing to follow")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(follow)
        while not await clients():
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()

    while await clients():
        await trio.sleep(0.001)
