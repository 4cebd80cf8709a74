"""Placement: runtimes with leases, actors under epochs, and what becomes of a dead runtime's work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from towns import Parts, texts

from tinytown.config import Limits
from tinytown.errors import BadMessage, LeaseLost
from tinytown.ids import RuntimeId
from tinytown.transport.delivery import Ack
from tinytown.transport.placement import RuntimeCard, new_runtime_id


async def let_pass(town: Parts, runtime: RuntimeId) -> None:
    """The lease of a runtime is over."""
    await town.ask("ZADD", town.keys("runtimes"), 1, runtime)


def card(host: str = "here") -> RuntimeCard:
    return RuntimeCard(new_runtime_id(), host, 42, "2026-01-01T00:00:00.000Z")


# Runtimes.


async def test_a_runtime_is_listed_while_its_lease_lasts(town: Parts) -> None:
    first, second = card("here"), card("there")
    for each in (first, second):
        await town.placement.begin(each, lease=60.0)
    assert sorted(await town.placement.runtimes(), key=lambda c: c.host) == [first, second]

    await let_pass(town, first.id)
    assert await town.placement.runtimes() == [second]

    await town.placement.end(second.id)
    assert await town.placement.runtimes() == []


async def test_whoever_beats_learns_of_the_dead_and_takes_them_off_the_list(town: Parts) -> None:
    dead, living = await town.begin(), await town.begin()
    assert await town.placement.beat(living, lease=60.0) == []
    await let_pass(town, dead)

    assert await town.placement.beat(living, lease=60.0) == [dead]
    assert await town.placement.beat(living, lease=60.0) == []

    with pytest.raises(LeaseLost):
        await town.placement.beat(dead, lease=60.0)


async def test_what_a_dead_runtime_held_waits_for_another_one_whoever_noticed(town: Parts) -> None:
    dead, living = await town.begin(), await town.begin()
    lost, kept = await town.agent("lost"), await town.agent("kept")
    await town.placement.place(dead, [lost.id])
    await town.placement.place(living, [kept.id])
    await let_pass(town, dead)

    await town.placement.beat(living, lease=60.0)
    assert await town.placement.unplaced() == [lost.id]

    (placed,) = await town.placement.place(living, [lost.id])
    assert placed.fence is not None
    assert await town.placement.unplaced() == []


async def test_a_lease_that_passed_unnoticed_is_renewed(town: Parts) -> None:
    runtime = await town.begin()
    await let_pass(town, runtime)

    assert await town.placement.beat(runtime, lease=60.0) == []
    assert [each.id for each in await town.placement.runtimes()] == [runtime]


async def test_a_runtime_known_to_be_dead_loses_its_lease_at_once(town: Parts) -> None:
    ada = await town.agent()
    dead = await town.begin()
    await town.place(ada, runtime=dead)
    successor = card()

    await town.placement.begin(successor, lease=60.0, dead=[dead])

    (placed,) = await town.place(ada, runtime=successor.id)
    assert placed.fence is not None
    assert await town.placement.runtimes() == [successor]


@pytest.mark.parametrize("raw", [b"[]", b"nonsense", b'"x"'])
def test_what_is_no_card_is_refused(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        RuntimeCard.decode(raw)


def test_a_card_of_another_version_is_read_as_far_as_it_goes() -> None:
    assert RuntimeCard.decode(b'{"id": "r", "pid": "many"}') == RuntimeCard(RuntimeId("r"), "", 0, "")


# Actors.


async def test_a_living_runtime_keeps_its_actors(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    first, second = await town.begin(), await town.begin()
    await town.place(ada, runtime=first)

    of_ada, of_bob = await town.place(ada, bob, runtime=second)

    assert (of_ada.fence, of_ada.holder) == (None, first)
    assert of_bob.fence is not None
    assert await town.placement.holders([ada.id, bob.id]) == {ada.id: first, bob.id: second}


async def test_every_placing_raises_the_epoch_and_fences_the_one_before(town: Parts) -> None:
    ada = await town.agent()
    fences = [await town.fence(ada) for _ in range(3)]

    assert [fence.epoch for fence in fences] == [1, 2, 3]
    for stale in fences[:2]:
        with pytest.raises(LeaseLost):
            await town.claim(stale)
    assert (await town.claim(fences[2])).deliveries == ()


async def test_what_a_dead_runtime_had_claimed_stands_in_its_old_order_for_the_next(town: Parts) -> None:
    ada, old = await town.someone()
    wanted = [str(number) for number in range(12)]
    await town.send(ada, *wanted)
    claimed = (await town.claim(old, count=11)).deliveries
    await town.mailbox.settle(old, [(claimed[0], Ack())])
    assert town.runtime is not None
    await let_pass(town, town.runtime)

    (placed,) = await town.place(ada, runtime=await town.begin())

    assert (placed.recovered, placed.quarantined) == (10, 0)
    assert placed.fence is not None
    assert await town.mailbox.ready() == {ada.id}
    assert texts(await town.claim(placed.fence)) == wanted[1:]


async def test_only_deaths_with_the_message_in_a_prompt_are_counted(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "prompted", "only claimed")
    for deaths in range(3):
        claimed = (await town.claim(fence)).deliveries
        assert [delivery.recoveries for delivery in claimed] == [min(deaths, 2), 0]
        if deaths < 2:
            await town.mailbox.renew(fence, claimed[:1], lease=60.0, prompted=True)
        (placed,) = await town.place(ada)
        assert placed.fence is not None
        fence = placed.fence
        assert (placed.recovered, placed.quarantined) == (2, 0)


async def test_a_message_that_kills_goes_to_quarantine_with_the_reason(town: Parts) -> None:
    ada, fence = await town.someone()
    await town.send(ada, "killer")
    await town.send(ada, "innocent")
    outcomes = []
    for _ in range(3):
        (killer,) = (await town.claim(fence, count=1)).deliveries
        await town.mailbox.renew(fence, [killer], lease=60.0, prompted=True)
        (placed,) = await town.place(ada)
        assert placed.fence is not None
        fence = placed.fence
        outcomes.append((placed.recovered, placed.quarantined))

    assert outcomes == [(1, 0), (1, 0), (0, 1)]
    (entry,) = await town.entries("quarantine")
    assert b"killer" in entry["raw"]
    assert entry["reason"] == b"its runtime died 3 times while it was being worked on"
    assert texts(await town.claim(fence)) == ["innocent"]


async def test_deaths_long_ago_do_not_count(town: Parts) -> None:
    ada, fence = await town.someone()
    (message,) = await town.send(ada, "unlucky")
    await town.ask("HSET", town.keys("recoveries"), message.id, "2|1000")
    (delivery,) = (await town.claim(fence)).deliveries
    assert delivery.recoveries == 2
    await town.mailbox.renew(fence, [delivery], lease=60.0, prompted=True)

    (placed,) = await town.place(ada)

    assert (placed.recovered, placed.quarantined) == (1, 0)
    assert placed.fence is not None
    assert [again.recoveries for again in (await town.claim(placed.fence)).deliveries] == [1]


async def test_letting_go_gives_back_what_was_claimed_and_counts_nothing(town: Parts) -> None:
    strict = Parts(town.connection, replace(Limits(), max_recoveries=1))
    ada, fence = await strict.someone()
    await strict.send(ada, "a", "b")
    claimed = (await strict.claim(fence)).deliveries
    await strict.mailbox.renew(fence, claimed, lease=60.0, prompted=True)

    await strict.placement.unplace(fence, wanted=True)

    assert await strict.placement.holders([ada.id]) == {}
    assert await strict.placement.unplaced() == [ada.id]
    with pytest.raises(LeaseLost):
        await strict.claim(fence)
    (placed,) = await strict.place(ada, runtime=await strict.begin())
    assert placed.fence is not None
    again = await strict.claim(placed.fence)
    assert texts(again) == ["a", "b"]
    assert [delivery.attempt for delivery in again.deliveries] == [1, 1]


async def test_an_actor_that_has_ended_waits_for_nobody(town: Parts) -> None:
    ada, fence = await town.someone()

    await town.placement.unplace(fence, wanted=False)

    assert await town.placement.unplaced() == []
    assert await town.placement.holders([ada.id]) == {}


async def test_placing_nobody_asks_nothing(town: Parts) -> None:
    runtime = await town.begin()

    assert await town.placement.place(runtime, []) == []
    assert await town.placement.holders([]) == {}
