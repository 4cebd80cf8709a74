"""What is read, in which order, and what becomes of it: on a real server and on the twin."""

from __future__ import annotations

import pytest
from towns import Parts, note, snapshot, texts

from tinytown.messages import Message, Priority
from tinytown.transport.delivery import (
    Ack,
    DeadLetter,
    Quarantine,
    Retry,
    Return,
    Snooze,
)

URGENT, HIGH, NORMAL, LOW = Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW


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
@pytest.mark.parametrize(("lane", "priority"), [("urgent", URGENT), ("high", HIGH), ("inbox", NORMAL), ("low", LOW)])
async def test_a_message_pushed_by_hand_is_delivered(town: Parts, push: str, lane: str, priority: Priority) -> None:
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
    await town.ask("RPUSH", town.keys("inbox", ada.id), f'{{"to": "{ada.id}", "type": "task", "description": "x"}}')

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
async def test_what_shall_wait_comes_back_when_it_is_due(town: Parts, outcome: Retry | Snooze, failures: int) -> None:
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
