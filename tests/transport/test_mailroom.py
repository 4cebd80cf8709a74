"""Whole mailboxes are moved in one step, in order, with all that was counted: on a real server and on the twin."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from towns import Parts, snapshot, texts

from tinytown.config import Limits
from tinytown.errors import AgentNotFound, Conflict, MailboxFull
from tinytown.ids import AgentId, new_id
from tinytown.messages import Message, Priority, Work
from tinytown.records import Agent, Event
from tinytown.transport.delivery import Retry
from tinytown.transport.mailroom import Contents, Mailroom
from tinytown.transport.store import Raced

URGENT, HIGH, NORMAL, LOW = Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW


def room_of(town: Parts) -> Mailroom:
    return Mailroom(town.connection, town.keys, town.store)


async def contents(town: Parts, agent: Agent) -> Contents:
    (found,) = await room_of(town).contents([agent.id])
    return found


async def move(
    town: Parts,
    found: Contents,
    to: Agent | AgentId | None,
    kept: Sequence[bool] | None = None,
    *,
    by_force: bool = False,
) -> None:
    fates = [True] * len(found.letters) if kept is None else kept
    target = to.id if isinstance(to, Agent) else to
    await room_of(town).move(town.store.change(), found, fates, target, by_force=by_force)


def said(found: Contents) -> list[str]:
    return texts([letter.message for letter in found.letters if letter.message is not None])


async def test_every_lane_arrives_behind_what_is_there_in_its_order(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    for priority in (LOW, NORMAL, URGENT, HIGH):
        await town.send(ada, f"{priority} 1", f"{priority} 2", priority=priority)
        await town.send(bob, f"{priority} 0", priority=priority)
    before = await contents(town, ada)

    await move(town, before, bob)

    assert (await contents(town, ada)).letters == ()
    assert said(await contents(town, bob)) == [
        f"{priority} {number}" for priority in (URGENT, HIGH, NORMAL, LOW) for number in range(3)
    ]
    assert await town.mailbox.ready() == {bob.id}


async def test_a_message_keeps_its_id_and_everything_but_its_address(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    (sent,) = await town.send(ada, 'say "to":"nobody"')

    await move(town, await contents(town, ada), bob)

    (letter,) = (await contents(town, bob)).letters
    assert letter.message == Message(
        sent.sender, bob.id, sent.body, sent.priority, id=sent.id, created_at=sent.created_at
    )


async def test_failures_and_waiting_times_go_with_the_message(town: Parts) -> None:
    ada, fence = await town.someone("ada")
    bob = await town.agent("bob")
    await town.send(ada, "once", "later")
    once, later = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(once, Retry(0.0)), (later, Retry(1000.0))])
    ((member, due),) = await town.ask("ZRANGE", town.keys("snoozed"), 0, -1, "WITHSCORES")
    before = await contents(town, ada)
    assert [letter.failures for letter in before.letters] == [1, 1]

    await move(town, before, bob)

    ((moved, still_due),) = await town.ask("ZRANGE", town.keys("snoozed"), 0, -1, "WITHSCORES")
    assert (moved.startswith(bob.id.encode()), still_due) == (True, due)
    assert member.startswith(ada.id.encode())
    found = await contents(town, bob)
    assert said(found) == ["once", "later"]
    assert [letter.failures for letter in found.letters] == [1, 1]
    await town.pass_time()
    await town.mailbox.sweep([])
    assert [each.failures for each in (await town.claim(await town.fence(bob))).deliveries] == [1, 1]


@pytest.mark.parametrize("lane", ["urgent", "high", "inbox", "low"])
async def test_what_was_pushed_by_hand_and_what_is_no_message_is_moved_as_it_is(town: Parts, lane: str) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    raws = [f'{{"to":"{ada.id}","type":"task","description":"by hand"}}'.encode(), b"\xff\n1 x\n", b""]
    for raw in raws:
        await town.ask("RPUSH", town.keys(lane, ada.id), raw)

    await move(town, await contents(town, ada), bob)

    assert await town.lane(bob, lane) == raws


async def test_what_is_done_with_leaves_no_trace(town: Parts) -> None:
    ada, fence = await town.someone("ada")
    bob = await town.agent("bob")
    await town.send(ada, "keep", "done", "later done")
    keep, done, later = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(keep, Retry(0.0)), (done, Retry(0.0)), (later, Retry(99.0))])

    await move(town, await contents(town, ada), bob, [True, False, False])

    assert said(await contents(town, bob)) == ["keep"]
    assert keep.message is not None
    assert await town.ask("SMEMBERS", town.keys("live")) in ({keep.message.id.encode()}, [keep.message.id.encode()])
    assert await town.ask("HLEN", town.keys("attempts")) == 1
    assert await town.ask("ZCARD", town.keys("snoozed")) == 0


async def test_nothing_is_moved_to_nobody(town: Parts) -> None:
    ada = await town.agent("ada")
    await town.send(ada, "a")

    await move(town, await contents(town, ada), None, [False])

    assert (await contents(town, ada)).letters == ()


async def test_a_turn_keeps_what_it_holds(town: Parts) -> None:
    ada, fence = await town.someone("ada")
    bob = await town.agent("bob")
    await town.send(ada, "a", "b")
    await town.claim(fence, count=1)
    before = await snapshot(town.connection)
    found = await contents(town, ada)
    assert (said(found), found.in_hand) == (["a", "b"], 1)

    with pytest.raises(Conflict, match="in a turn"):
        await move(town, found, bob)

    assert await snapshot(town.connection) == before


async def test_by_force_it_is_taken_from_the_turn_in_its_old_order(town: Parts) -> None:
    ada, fence = await town.someone("ada")
    bob = await town.agent("bob")
    await town.send(ada, *(str(number) for number in range(12)))
    await town.send(ada, "now", priority=URGENT)
    await town.claim(fence, count=11)

    await move(town, await contents(town, ada), bob, by_force=True)

    assert said(await contents(town, bob)) == ["now", *(str(number) for number in range(12))]
    for name in ("inflight", "leases", "prompted"):
        assert await town.ask("EXISTS", town.keys(name, ada.id)) == 0


@pytest.mark.parametrize("what", ["sent", "claimed", "moved", "woken"])
async def test_a_mailbox_that_has_changed_is_not_moved(town: Parts, what: str) -> None:
    ada, fence = await town.someone("ada")
    bob = await town.agent("bob")
    await town.send(ada, "a", "later")
    held = (await town.claim(fence)).deliveries
    await town.mailbox.settle(fence, [(held[0], Retry(0.0)), (held[1], Retry(50.0))])
    found = await contents(town, ada)
    match what:
        case "sent":
            await town.send(ada, "b")
        case "claimed":
            await town.mailbox.settle(fence, [(each, Retry(99.0)) for each in (await town.claim(fence)).deliveries])
        case "moved":
            await move(town, found, bob)
        case "woken":
            await town.pass_time()
            await town.mailbox.sweep([])
    before = await snapshot(town.connection)

    with pytest.raises(Raced):
        await move(town, found, bob)

    assert await snapshot(town.connection) == before


async def test_a_change_that_cannot_be_made_moves_nothing(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    await town.send(ada, "a")
    before = await snapshot(town.connection)
    change = town.store.change().require_absent(town.keys("agent", bob.id))

    with pytest.raises(Raced):
        await room_of(town).move(change, await contents(town, ada), [True], bob.id, by_force=False)

    assert await snapshot(town.connection) == before


async def test_a_mailbox_that_has_no_room_or_nobody_takes_nothing(town: Parts) -> None:
    small = Parts(town.connection, Limits(inbox_messages=3))
    ada, bob = await small.agent("ada"), await small.agent("bob")
    await small.send(ada, "a", "b")
    await small.send(bob, "c", "d")
    before = await snapshot(town.connection)

    with pytest.raises(MailboxFull, match=bob.id):
        await move(small, await contents(small, ada), bob)
    with pytest.raises(AgentNotFound):
        await move(small, await contents(small, ada), AgentId(new_id()))

    assert await snapshot(town.connection) == before
    await move(small, await contents(small, ada), bob, [True, False])
    assert said(await contents(small, bob)) == ["c", "d", "a"]


async def test_the_change_and_its_messages_happen_with_it(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    await town.send(ada, "a")
    change = town.store.change().send(Message(ada.id, bob.id, Work("b"))).tell(Event("agent.reclaimed"))

    await room_of(town).move(change, await contents(town, ada), [True], bob.id, by_force=False)

    assert said(await contents(town, bob)) == ["a", "b"]
    assert [event.type for event in await town.journal.latest(2)] == ["agent.reclaimed", "message.sent"]


async def test_several_mailboxes_are_read_together(town: Parts) -> None:
    ada, bob, eve = [await town.agent(name) for name in ("ada", "bob", "eve")]
    await town.send(ada, "a")
    await town.send(eve, "e")

    found = await room_of(town).contents([bob.id, eve.id, ada.id])

    assert [(each.agent_id, said(each)) for each in found] == [(bob.id, []), (eve.id, ["e"]), (ada.id, ["a"])]
