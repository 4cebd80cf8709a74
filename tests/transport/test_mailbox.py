"""Mailboxes, on a real server and on the twin."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import trio
from servers import valkey_server
from towns import Parts, snapshot, texts, work

from tinytown.config import Limits
from tinytown.errors import AgentNotFound, LeaseLost, MailboxFull, RedisFull, TooLarge, TownFull
from tinytown.ids import SUPERVISOR_ID, AgentId, new_id
from tinytown.lifecycle import AgentEvent
from tinytown.messages import Informational, Message, Priority, Query
from tinytown.records import Agent, Event
from tinytown.transport.batch import Grouped
from tinytown.transport.blocking import BlockingConnection
from tinytown.transport.delivery import (
    Ack,
    Control,
    ControlKind,
    DeadLetter,
    Fence,
    Quarantine,
    Retry,
    Return,
    Snooze,
)
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.multiplexed import MultiplexedConnection

URGENT, HIGH, NORMAL, LOW = Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW


def note(agent: Agent, text: str) -> Message:
    """A message that asks for nothing."""
    return Message(sender=SUPERVISOR_ID, to=agent.id, body=Informational(text))


# What is read, and in which order.


async def test_lanes_are_read_in_strict_order_and_each_first_come_first_served(town: Parts) -> None:
    ada, fence = await town.someone()
    for priority in (LOW, NORMAL, URGENT, HIGH, NORMAL, URGENT):
        await town.send(ada, f"{priority} {len(await town.lane(ada)) + 1}", priority=priority)

    assert texts(await town.claim(fence)) == ["urgent 2", "urgent 3", "high 2", "normal 1", "normal 2"]


async def test_the_low_lane_is_read_only_when_nothing_else_waits(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "some day", priority=LOW)
    await town.send(ada, "now")

    first, second = await town.claim(fence), await town.claim(fence)

    assert texts(first) == ["now"]
    assert first.waiting == 1
    assert texts(second) == ["some day"]
    assert second.waiting == 0


async def test_a_claim_takes_as_many_as_it_may(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "1", "2", "3", "4", "5")

    claims = [await town.claim(fence, count=2) for _ in range(4)]

    assert [texts(claim) for claim in claims] == [["1", "2"], ["3", "4"], ["5"], []]
    assert [claim.waiting for claim in claims] == [3, 1, 0, 0]


async def test_a_claim_takes_only_as_many_bytes_as_it_may(town: Parts) -> None:
    ada, fence = await town.someone()
    messages = await town.send(ada, "a" * 100, "b" * 100, "c" * 100)
    room = sum(len(message.encode()) for message in messages[:2])

    assert texts(await town.claim(fence, size=room)) == ["a" * 100, "b" * 100]
    assert texts(await town.claim(fence, size=room)) == ["c" * 100]


async def test_one_message_is_taken_however_large(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "long " * 100, "next")

    assert texts(await town.claim(fence, size=10)) == ["long " * 100]


async def test_a_small_message_does_not_overtake_one_of_an_earlier_lane_that_did_not_fit(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "first", "x" * 5000, priority=URGENT)
    await town.send(ada, "small", priority=HIGH)

    assert texts(await town.claim(fence, size=2000)) == ["first"]
    assert texts(await town.claim(fence, size=2000)) == ["x" * 5000]
    assert texts(await town.claim(fence, size=2000)) == ["small"]


@pytest.mark.parametrize("push", ["LPUSH", "RPUSH"])
@pytest.mark.parametrize(
    ("lane", "priority"), [("urgent", URGENT), ("high", HIGH), ("inbox", NORMAL), ("low", LOW)]
)
async def test_a_message_pushed_by_hand_is_delivered(
    town: Parts, push: str, lane: str, priority: Priority
) -> None:
    ada, fence = await town.someone()
    by_hand = f'{{"to": "{ada.id}", "type": "task", "description": "by hand"}}'
    await town.ask(push, town.keys(lane, ada.id), by_hand)

    _, _, waiting = await town.mailbox.sweep([ada.id])
    claim = await town.claim(fence)

    assert waiting == {ada.id: 1}
    assert texts(claim) == ["by hand"]
    assert claim.deliveries[0].lane is priority
    assert claim.deliveries[0].raw == by_hand.encode()


async def test_failures_of_a_message_pushed_by_hand_are_counted(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.ask(
        "RPUSH", town.keys("inbox", ada.id), f'{{"to": "{ada.id}", "type": "task", "description": "x"}}'
    )

    for failures in range(3):
        (delivery,) = (await town.claim(fence)).deliveries
        assert delivery.failures == failures
        await town.mailbox.settle(fence, [(delivery, Retry())])


BROKEN = [
    b"\xff\xfe",
    b"",
    b"hello",
    b"[]",
    b'{"to":"x"}',
    b'{"id":7,"to":"x","type":"ping"}',
    b'{"to":"x","type":"nonsense"}',
    b'{"to":"x","type":"task","description":"\\ud800"}',
    b"[" * 100_000,
    b'{"id":"a b","to":"x","type":"ping","priority":"NaN"}',
]


@pytest.mark.parametrize("raw", BROKEN, ids=lambda raw: repr(raw[:30]))
async def test_what_cannot_be_read_goes_to_quarantine_with_its_bytes(town: Parts, raw: bytes) -> None:
    ada, fence = await town.someone()
    await town.ask("RPUSH", town.keys("inbox", ada.id), raw)
    await town.send(ada, "after it")

    bad, good = (await town.claim(fence)).deliveries
    assert bad.message is None
    assert bad.fault
    await town.mailbox.settle(fence, [(bad, Quarantine(bad.fault)), (good, Ack())])

    (entry,) = await town.entries("quarantine")
    assert entry["raw"] == raw
    assert entry["reason"].decode() == bad.fault
    assert entry["agent"].decode() == ada.id
    assert (await town.claim(fence)).deliveries == ()


# What becomes of a claimed message.


async def test_an_acknowledged_message_leaves_nothing_behind(town: Parts) -> None:
    ada, fence = await town.someone()
    before = await snapshot(town.connection)
    (message,) = await town.send(ada, "once")
    for outcome in (Retry(), Ack()):
        (delivery,) = (await town.claim(fence)).deliveries
        assert await town.mailbox.settle(fence, [(delivery, outcome)]) == []

    after = await snapshot(town.connection)

    told_and_remembered = {town.keys(name) for name in ("events", "seen", "tags")}
    assert {key: value for key, value in after.items() if key not in told_and_remembered} == {
        key: value for key, value in before.items() if key not in told_and_remembered
    }
    assert [member for member, _ in after[town.keys("seen")][1]] == [message.id.encode()]


@pytest.mark.parametrize("outcome", [Return(), Return(quiet=True), Retry()])
async def test_what_goes_back_stands_in_its_old_order(town: Parts, outcome: Return | Retry) -> None:
    ada, fence = await town.someone()
    await town.send(ada, *(f"n{number}" for number in range(12)))
    await town.send(ada, "u1", "u2", priority=URGENT)
    lanes = [await town.lane(ada, name) for name in ("urgent", "inbox")]
    claimed = (await town.claim(fence, count=13)).deliveries

    await town.mailbox.settle(fence, [(delivery, outcome) for delivery in claimed])

    assert [await town.lane(ada, name) for name in ("urgent", "inbox")] == lanes


async def test_a_retry_counts_the_failure_and_keeps_the_successes_before_the_first(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "hard")
    seen = []
    for successes in (4, 7, 9):
        (delivery,) = (await town.claim(fence)).deliveries
        seen.append((delivery.failures, delivery.successes_before, delivery.attempt))
        await town.mailbox.settle(fence, [(delivery, Retry(successes=successes))])
    (delivery,) = (await town.claim(fence)).deliveries
    seen.append((delivery.failures, delivery.successes_before, delivery.attempt))

    assert seen == [(0, 0, 1), (1, 4, 2), (2, 4, 3), (3, 4, 4)]


@pytest.mark.parametrize(("outcome", "failures"), [(Retry(delay=30.0), 1), (Snooze(30.0), 0)])
async def test_what_shall_wait_comes_back_when_it_is_due(
    town: Parts, outcome: Retry | Snooze, failures: int
) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "later")
    (delivery,) = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(delivery, outcome)])
    await town.send(ada, "meanwhile")

    assert await town.mailbox.sweep([ada.id]) == (0, 0, {ada.id: 1})
    await town.pass_time()
    assert await town.mailbox.sweep([ada.id]) == (1, 0, {ada.id: 2})

    claim = await town.claim(fence)
    assert texts(claim) == ["later", "meanwhile"]
    assert claim.deliveries[0].failures == failures


async def test_messages_that_wait_together_come_back_in_their_old_order(town: Parts) -> None:
    ada, fence = await town.someone()
    wanted = [f"{number}" for number in range(12)]  # tags of one and of two digits
    await town.send(ada, *wanted)
    claimed = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(delivery, Retry(delay=30.0)) for delivery in claimed])

    await town.pass_time()
    assert (await town.mailbox.sweep([]))[0] == 12

    assert texts(await town.claim(fence)) == wanted


async def test_a_dead_letter_keeps_the_message_the_reason_and_the_count(town: Parts) -> None:
    ada, fence = await town.someone()
    (message,) = await town.send(ada, "poison", priority=HIGH)
    (delivery,) = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(delivery, Retry())])
    (delivery,) = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(delivery, DeadLetter("failed 2 times"))])

    (entry,) = await town.entries("dlq")
    assert Message.decode(entry["raw"]) == message
    assert (entry["reason"], entry["attempts"], entry["lane"]) == (b"failed 2 times", b"1", b"2")
    assert (entry["agent"].decode(), entry["key"].decode()) == (ada.id, message.id)
    assert (await town.claim(fence)).deliveries == ()


async def test_a_quiet_return_does_not_wake_the_agent_again(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.mailbox.send(note(ada, "for your information"))
    claimed = (await town.claim(fence)).deliveries

    await town.mailbox.settle(fence, [(delivery, Return(quiet=True)) for delivery in claimed])

    assert await town.mailbox.ready() == set()
    assert len((await town.claim(fence)).deliveries) == 1


async def test_a_quiet_return_does_not_hide_what_came_in_meanwhile(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.mailbox.send(note(ada, "for your information"))
    claimed = (await town.claim(fence)).deliveries
    await town.send(ada, "work")

    await town.mailbox.settle(fence, [(delivery, Return(quiet=True)) for delivery in claimed])

    assert await town.mailbox.ready() == {ada.id}


async def test_settling_tells_what_is_not_claimed_any_more(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "a", "b")
    first, second = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(first, Ack())])

    assert await town.mailbox.settle(fence, [(first, Ack()), (second, Ack())]) == [first]
    assert await town.mailbox.settle(fence, []) == []


# Leases.


async def test_a_message_whose_lease_has_passed_comes_back_and_is_no_longer_ours(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "a", "b", "c")
    claimed = (await town.claim(fence)).deliveries
    await town.pass_lease(ada, *claimed[:2])

    assert await town.mailbox.sweep([ada.id]) == (0, 2, {ada.id: 2})

    assert await town.mailbox.settle(fence, [(delivery, Ack()) for delivery in claimed]) == [
        claimed[1],
        claimed[0],
    ]
    assert texts(await town.claim(fence)) == ["a", "b"]


async def test_a_renewed_lease_does_not_pass(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "a", "b")
    claimed = (await town.claim(fence)).deliveries
    await town.pass_lease(ada, *claimed)

    assert await town.mailbox.renew(fence, claimed, lease=60.0) == 2

    assert await town.mailbox.sweep([ada.id]) == (0, 0, {ada.id: 0})


async def test_renewing_counts_what_is_still_held(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "a", "b")
    claimed = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(claimed[0], Ack())])

    assert await town.mailbox.renew(fence, claimed, lease=60.0) == 1
    assert await town.ask("ZCARD", town.keys("leases", ada.id)) == 1


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


async def test_the_sends_of_one_moment_ring_the_bell_once_for_each_recipient(
    connection: MultiplexedConnection,
) -> None:
    async with trio.open_nursery() as nursery:
        town = Parts(connection, batch=Grouped(nursery))
        ada, bob = await town.agent("ada"), await town.agent("bob")
        rings: list[list[str]] = []
        await connection.subscribe(town.keys("bell"), lambda payload: rings.append(payload.decode().split()))

        async with trio.open_nursery() as senders:
            for message in (work(ada), work(ada), work(bob), note(bob, "rings nobody")):
                senders.start_soon(town.mailbox.send, message)
        await town.store.commit(town.store.change().send(work(ada)).ring(bob.id))
        await town.mailbox.send(note(ada, "rings nobody"))

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


async def tell(town: Parts, agent: Agent, kind: ControlKind) -> Control:
    control = Control(kind, agent.incarnation, "somebody")
    await town.store.commit(town.store.change().control(agent.id, control))
    return control


async def test_control_messages_come_before_everything_and_alone(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "urgent", priority=URGENT)
    told = [await tell(town, ada, kind) for kind in (ControlKind.WAKE, ControlKind.STOP)]

    first, second = await town.claim(fence), await town.claim(fence)

    assert (first.controls, first.deliveries, first.waiting) == (tuple(told), (), 1)
    assert (second.controls, texts(second)) == ((), ["urgent"])


async def test_what_is_no_control_message_is_passed_over(town: Parts) -> None:
    ada, fence = await town.someone()
    for raw in ("nonsense", "[]", '{"kind":"dance","incarnation":1}', '{"kind":"stop"}'):
        await town.ask("RPUSH", town.keys("control", ada.id), raw)
    told = await tell(town, ada, ControlKind.CUT)

    assert (await town.claim(fence)).controls == (told,)


async def test_an_agent_that_is_told_something_is_ready_so_that_a_lost_ring_is_found(town: Parts) -> None:
    ada, fence = await town.someone()
    await tell(town, ada, ControlKind.WAKE)
    assert await town.mailbox.ready() == {ada.id}

    await town.claim(fence)
    await town.claim(fence)

    assert await town.mailbox.ready() == set()


async def test_a_glance_takes_control_messages_and_counts_the_urgent(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "normal")
    await town.send(ada, "u1", "u2", priority=URGENT)
    told = await tell(town, ada, ControlKind.CUT)

    assert await town.mailbox.glance(fence) == ((told,), 2)
    assert await town.mailbox.glance(fence) == ((), 2)
    assert (await town.claim(fence)).controls == ()


async def test_a_held_agent_gets_control_messages_and_nothing_else(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "work")
    await town.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.PAUSE))
    told = await tell(town, ada, ControlKind.WAKE)

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


# The fence.


STALE: dict[str, Any] = {
    "claim": lambda town, stale, held: town.claim(stale),
    "ack": lambda town, stale, held: town.mailbox.settle(stale, [(held, Ack())]),
    "return": lambda town, stale, held: town.mailbox.settle(stale, [(held, Return())]),
    "retry": lambda town, stale, held: town.mailbox.settle(stale, [(held, Retry(5.0))]),
    "snooze": lambda town, stale, held: town.mailbox.settle(stale, [(held, Snooze(5.0))]),
    "dead letter": lambda town, stale, held: town.mailbox.settle(stale, [(held, DeadLetter("x"))]),
    "quarantine": lambda town, stale, held: town.mailbox.settle(stale, [(held, Quarantine("x"))]),
    "renew": lambda town, stale, held: town.mailbox.renew(stale, [held], lease=60.0, prompted=True),
    "glance": lambda town, stale, held: town.mailbox.glance(stale),
    "commit": lambda town, stale, held: town.store.commit(
        town.store.change(stale).send(work(stale.id)).tell(Event("agent.state"))
    ),
    "transition": lambda town, stale, held: town.store.update_agent(
        stale.id, lambda agent: agent.after(AgentEvent.STOP), fence=stale
    ),
}


@pytest.mark.parametrize("verb", STALE)
async def test_who_lost_the_actor_can_change_nothing(town: Parts, verb: str) -> None:
    ada, stale = await town.someone()
    await town.send(ada, "a", "b")
    current = await town.fence(ada)
    (held,) = (await town.claim(current, count=1)).deliveries
    await tell(town, ada, ControlKind.WAKE)
    before = await snapshot(town.connection)

    with pytest.raises(LeaseLost):
        await STALE[verb](town, stale, held)

    assert await snapshot(town.connection) == before


async def test_who_lost_the_actor_cannot_let_go_of_it(town: Parts) -> None:
    ada, stale = await town.someone()
    await town.send(ada, "a")
    current = await town.fence(ada)
    await town.claim(current)
    before = await snapshot(town.connection)

    await town.placement.unplace(stale, wanted=True)

    assert await snapshot(town.connection) == before


# A server without memory.


async def test_a_full_server_refuses_what_is_new_and_lets_work_be_finished() -> None:
    with valkey_server() as server, BlockingConnection(server.address) as connection:
        town = Parts(connection)
        ada, fence = await town.someone()
        bob = await town.agent("bob")
        await town.send(ada, "a", "b", "c", "d")
        (snoozed,) = (await town.claim(fence, count=1)).deliveries
        await town.mailbox.settle(fence, [(snoozed, Snooze(30.0))])
        await town.pass_time()
        await town.ask("CONFIG", "SET", "maxmemory", 1)

        with pytest.raises(RedisFull):
            await town.mailbox.send(work(ada))
        with pytest.raises(RedisFull):
            await town.store.update_agent(bob.id, lambda agent: replace(agent, nickname="B"))

        assert (await town.mailbox.sweep([ada.id]))[0] == 1
        done, again, dead = (await town.claim(fence, count=3)).deliveries
        assert texts([done, again, dead]) == ["a", "b", "c"]
        assert await town.mailbox.renew(fence, [done], lease=60.0, prompted=True) == 1
        await town.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.READY), fence=fence)
        outcomes = [(done, Ack()), (again, Retry()), (dead, DeadLetter("no"))]
        assert await town.mailbox.settle(fence, outcomes) == []
        assert await town.mailbox.glance(fence) == ((), 0)
        await town.placement.beat(town.runtime or await town.begin(), lease=60.0)
        taken_over = await town.fence(ada)
        assert texts(await town.claim(taken_over)) == ["b", "d"]
        await town.placement.unplace(taken_over, wanted=True)


def replace_limits(town: Parts, **limits: int) -> Mailbox:
    """The mailboxes of the same town under smaller limits."""
    return Mailbox(town.connection, town.keys, replace(Limits(), **limits))
