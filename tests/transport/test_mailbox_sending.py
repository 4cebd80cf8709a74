"""Sending, the bell, control messages and looking: on a real server and on the twin."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
import trio.testing
from servers import RunningServer
from towns import Parts, note, snapshot, texts, work

from tinytown.config import Limits
from tinytown.errors import AgentNotFound, MailboxFull, TooLarge, TownFull
from tinytown.ids import SUPERVISOR_ID, AgentId, new_id
from tinytown.lifecycle import AgentEvent
from tinytown.messages import Informational, Message, Priority, Query
from tinytown.transport.batch import Grouped
from tinytown.transport.delivery import (
    Ack,
    ControlKind,
)
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.multiplexed import MultiplexedConnection

URGENT, HIGH, NORMAL, LOW = Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW


def replace_limits(town: Parts, **limits: int) -> Mailbox:
    """The mailboxes of the same town under smaller limits."""
    return Mailbox(town.connection, town.keys, replace(Limits(), **limits))


# Sending.


async def test_sending_twice_with_one_id_delivers_once_even_when_it_was_settled(town: Parts) -> None:
    ada, fence = await town.someone()
    (message,) = await town.send(ada, "once")

    assert await town.mailbox.send(message) is False
    claimed = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(delivery, Ack()) for delivery in claimed])
    assert await town.mailbox.send(message) is False

    assert len(claimed) == 1
    assert (await town.claim(fence)).deliveries == ()


async def test_what_was_accepted_long_ago_is_forgotten_by_a_sweep(town: Parts) -> None:
    ada = await town.agent()
    (message,) = await town.send(ada, "yesterday")
    await town.ask("ZADD", town.keys("seen"), 1, message.id)

    await town.mailbox.sweep([])

    assert await town.mailbox.send(message) is True


async def test_no_more_than_so_many_ids_are_remembered(town: Parts) -> None:
    ada = await town.agent()
    (message,) = await town.send(ada, "the last one")
    now = int(await town.ask("ZSCORE", town.keys("seen"), message.id))
    many = [word for number in range(100_000) for word in (now - 1, f"id{number}")]
    for start in range(0, len(many), 20_000):
        await town.ask("ZADD", town.keys("seen"), *many[start : start + 20_000])

    await town.mailbox.sweep([])

    assert await town.ask("ZCARD", town.keys("seen")) == 100_000
    assert await town.mailbox.send(message) is False


async def test_a_full_mailbox_refuses_and_takes_again_when_some_were_read(town: Parts) -> None:
    ada, fence = await town.someone()
    small = replace_limits(town, inbox_messages=2)
    await town.send(ada, "1", "2")

    with pytest.raises(MailboxFull, match="2 messages"):
        await small.send(work(ada, "3"))
    assert texts(await town.claim(fence)) == ["1", "2"]

    assert await small.send(work(ada, "3"))


async def test_a_full_town_refuses_whoever_it_is_for(town: Parts) -> None:
    ada, fence = await town.someone()
    bob = await town.agent("bob")
    small = replace_limits(town, town_messages=2)
    await town.send(ada, "1", "2")
    claimed = (await town.claim(fence)).deliveries

    with pytest.raises(TownFull, match="2 undelivered"):
        await small.send(work(bob))
    await town.mailbox.settle(fence, [(claimed[0], Ack())])

    assert await small.send(work(bob))


async def test_a_message_that_is_too_large_is_refused_with_the_limit(town: Parts) -> None:
    ada = await town.agent()
    before = await snapshot(town.connection)

    with pytest.raises(TooLarge, match="262,144"):
        await town.mailbox.send(work(ada, "x" * 300_000))

    assert await snapshot(town.connection) == before


async def test_nobody_can_write_to_an_agent_that_does_not_exist(town: Parts) -> None:
    before = await snapshot(town.connection)

    with pytest.raises(AgentNotFound):
        await town.mailbox.send(work(AgentId(new_id())))

    assert await snapshot(town.connection) == before


async def test_what_was_sent_stands_in_the_journal(town: Parts) -> None:
    ada = await town.agent()
    (message,) = await town.send(ada, "told")

    (event,) = await town.journal.latest(1)

    assert (event.type, event.agent, event.message) == ("message.sent", ada.id, message.id)
    assert event.detail == f"task from {SUPERVISOR_ID}"


# Who is woken.


async def test_only_what_asks_for_work_makes_an_agent_ready(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    await town.mailbox.send(note(ada, "for your information"))
    await town.mailbox.send(Message(sender=ada.id, to=bob.id, body=Query("why?")))

    assert await town.mailbox.ready() == {bob.id}


async def test_an_agent_is_ready_until_a_claim_has_emptied_its_mailbox(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "1", "2")

    await town.claim(fence, count=1)
    assert await town.mailbox.ready() == {ada.id}
    await town.claim(fence)
    assert await town.mailbox.ready() == set()


async def test_what_is_sent_together_rings_the_bell_once_for_each_recipient(
    connection: MultiplexedConnection, server: RunningServer
) -> None:
    async with trio.open_nursery() as nursery:
        town = Parts(connection, batch=Grouped(nursery))
        ada, bob = await town.agent("ada"), await town.agent("bob")
        rings: list[list[str]] = []
        await connection.subscribe(town.keys("bell"), lambda payload: rings.append(payload.decode().split()))

        async with trio.open_nursery() as senders:
            with server.frozen():
                senders.start_soon(town.mailbox.send, note(bob))  # under way while the others gather
                await trio.testing.wait_all_tasks_blocked()
                for message in (work(ada), work(ada), work(bob), note(bob)):
                    senders.start_soon(town.mailbox.send, message)
                await trio.testing.wait_all_tasks_blocked()
        await town.store.commit(town.store.change().send(work(ada)).ring(bob.id))
        await town.mailbox.send(note(ada))

    assert [sorted(ring) for ring in rings] == [sorted([ada.id, bob.id]), sorted([ada.id, bob.id])]


async def test_a_broadcast_reaches_whoever_listens(connection: MultiplexedConnection) -> None:
    town = Parts(connection)
    heard: list[bytes] = []
    message = Message(sender=SUPERVISOR_ID, to=AgentId("all"), body=Informational("hear, hear"))
    assert await town.mailbox.broadcast(message) == 0
    await connection.subscribe(town.keys("broadcast"), heard.append)

    assert await town.mailbox.broadcast(message) == 1

    assert [Message.decode(raw) for raw in heard] == [message]


# Control.


async def test_control_messages_come_before_everything_and_alone(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "urgent", priority=URGENT)
    told = [await town.tell(ada, kind) for kind in (ControlKind.WAKE, ControlKind.STOP)]

    first, second = await town.claim(fence), await town.claim(fence)

    assert (first.controls, first.deliveries, first.waiting) == (tuple(told), (), 1)
    assert (second.controls, texts(second)) == ((), ["urgent"])


async def test_what_is_no_control_message_is_passed_over(town: Parts) -> None:
    ada, fence = await town.someone()
    for raw in ("nonsense", "[]", '{"kind":"dance","incarnation":1}', '{"kind":"stop"}'):
        await town.ask("RPUSH", town.keys("control", ada.id), raw)
    told = await town.tell(ada, ControlKind.CUT)

    assert (await town.claim(fence)).controls == (told,)


async def test_an_agent_that_is_told_something_is_ready_so_that_a_lost_ring_is_found(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.tell(ada, ControlKind.WAKE)
    assert await town.mailbox.ready() == {ada.id}

    await town.claim(fence)
    await town.claim(fence)

    assert await town.mailbox.ready() == set()


async def test_a_glance_takes_control_messages_and_counts_the_urgent(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "normal")
    await town.send(ada, "u1", "u2", priority=URGENT)
    told = await town.tell(ada, ControlKind.CUT)

    assert await town.mailbox.glance(fence) == ((told,), 2)
    assert await town.mailbox.glance(fence) == ((), 2)
    assert (await town.claim(fence)).controls == ()


async def test_a_held_agent_gets_control_messages_and_nothing_else(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "work")
    await town.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.PAUSE))
    told = await town.tell(ada, ControlKind.WAKE)

    assert (await town.claim(fence)).controls == (told,)
    held = await town.claim(fence)
    assert (held.held, held.deliveries, held.waiting) == (True, (), 1)

    await town.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.RESUME))
    assert texts(await town.claim(fence)) == ["work"]


# Looking.


async def test_looking_shows_everything_in_the_order_of_reading_and_changes_nothing(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "claimed")
    await town.claim(fence)
    await town.send(ada, "low", priority=LOW)
    await town.send(ada, "normal 1", "normal 2")
    await town.send(ada, "urgent", priority=URGENT)
    await town.ask("RPUSH", town.keys("high", ada.id), b"\xff broken")
    before = await snapshot(town.connection)

    assert texts(await town.mailbox.peek(ada.id)) == ["claimed", "urgent", "normal 1", "normal 2", "low"]
    assert texts(await town.mailbox.peek(ada.id, most=1)) == ["claimed", "urgent", "normal 1", "low"]
    assert (None, b"\xff broken") in await town.mailbox.peek_with_bytes(ada.id)
    assert await town.mailbox.waiting(ada.id) == 6
    assert await town.mailbox.ready() == {ada.id}
    assert await snapshot(town.connection) == before
