"""Deleting takes what is the town's own, all of it, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from towns import Parts, snapshot

from tinytown.ids import SUPERVISOR_ID, AgentId, new_id
from tinytown.lifecycle import TaskState
from tinytown.messages import Message, Priority, Work
from tinytown.records import Agent, Event, Task
from tinytown.transport.clearing import FOUND_BY, KEPT, agent_keys, clear_town, delete_agent, delete_task
from tinytown.transport.delivery import ControlKind, DeadLetter, Quarantine, Retry
from tinytown.transport.keys import CATALOGUE, Keys
from tinytown.transport.store import Raced


async def fill(town: Parts) -> Agent:
    """Let the town have a bit of everything."""
    change = town.store.change().create_supervisor()
    for name in ("town_id", "incarnation", "schema", "roster"):
        change.write("SET", town.keys(name), "x")
    await town.store.commit(change)
    ada, fence = await town.someone("ada")
    await town.ask("HSET", town.keys("tokens"), ada.id, "digest")
    for state in TaskState:
        await town.store.commit(town.store.change().create_task(Task("dig", state=state)))
    (waiting,) = await town.store.tasks(TaskState.PENDING)
    await town.ask("RPUSH", town.keys("backlog"), waiting.id)
    await town.send(ada, *"abcdef")
    held = (await town.claim(fence, count=4)).deliveries
    await town.mailbox.renew(fence, held[:1], lease=60, prompted=True)
    outcomes = (DeadLetter("x"), Quarantine("x"), Retry(60.0))
    await town.mailbox.settle(fence, list(zip(held[1:], outcomes, strict=True)))
    for priority in Priority:
        await town.send(ada, "more", priority=priority)
    await town.mailbox.send(Message(ada.id, SUPERVISOR_ID, Work("for you")))
    await town.tell(ada, ControlKind.WAKE)
    await town.agent("bob")
    await town.mission(1, 2)
    return ada


async def clear(town: Parts) -> int:
    return await clear_town(town.connection, town.keys, Event("town.reset"), events=1000)


async def test_only_the_town_itself_its_supervisor_and_its_runtimes_stay(town: Parts) -> None:
    await fill(town)
    before = await snapshot(town.connection)

    count = await clear(town)

    after = await snapshot(town.connection)
    kept = {town.keys(name) for name in ("town_id", "incarnation", "schema", "runtimes")}
    kept |= {town.keys("runtime", town.runtime or ""), town.keys("agent", SUPERVISOR_ID)}
    assert after.keys() == kept | {town.keys("events")}
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert [event.type for event in await town.journal.latest(10)] == ["town.reset"]
    assert count == len(before) - len(kept)


def test_every_kind_of_key_can_be_found_from_an_index() -> None:
    """Who adds a key of another kind has to say here how `clear.lua` lists it."""
    assert {key.per for key in CATALOGUE} <= FOUND_BY
    assert {key.name for key in CATALOGUE if key.per == "runtime" and key.type != "channel"} <= KEPT


@pytest.mark.parametrize("known_by", ["epochs", "placed", "tokens", "ready", "unplaced", "held"])
async def test_what_belongs_to_an_agent_without_a_name_goes_too(town: Parts, known_by: str) -> None:
    ghost = new_id()
    add: Any = ("HSET", ghost, "1") if known_by in ("epochs", "placed", "tokens") else ("SADD", ghost)
    await town.ask(add[0], town.keys(known_by), *add[1:])
    await town.ask("RPUSH", town.keys("inbox", ghost), "left behind")

    await clear(town)

    assert (await snapshot(town.connection)).keys() == {town.keys("events")}


NEIGHBOURS = ["a:b", "a:", "a*", "a:agent", "A", "a b", "%", ":a"]


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
async def test_a_town_never_touches_one_whose_name_begins_with_its_own(town: Parts, neighbour: str) -> None:
    mine, other = Parts(town.connection, keys=Keys("a")), Parts(town.connection, keys=Keys(neighbour))
    ada = await fill(mine)
    await fill(other)
    theirs = {
        key: value for key, value in (await snapshot(town.connection)).items() if key.startswith(other.keys.prefix)
    }

    seen = await mine.store.see_agent(ada.id)
    await mine.store.commit(delete_agent(mine.store.change(), mine.keys, seen))
    await clear(mine)

    after = await snapshot(town.connection)
    assert {key: value for key, value in after.items() if key.startswith(other.keys.prefix)} == theirs
    await town.connection.pipeline([("DEL", key) for key in after])


async def test_an_agent_goes_with_all_that_is_its_own(town: Parts) -> None:
    ada = await fill(town)
    for key in agent_keys(town.keys, ada.id):
        if "snoozed" not in key and not key.endswith(f"agent:{ada.id}"):
            await town.ask("DEL", key)
    seen = await town.store.see_agent(ada.id)

    await town.store.commit(delete_agent(town.store.change(), town.keys, seen))

    found = await snapshot(town.connection)
    left = {
        key
        for key, (_, content) in found.items()
        if key not in (town.keys("events"), town.keys("dlq"), town.keys("quarantine"), town.keys("snoozed"))
        and (ada.id in key or ada.id.encode() in repr(content).encode())
    }
    assert left <= {town.keys("inbox", SUPERVISOR_ID), town.keys("ready")}
    assert set((await town.store.names()).values()) == {"bob"}


async def test_a_record_that_was_changed_is_not_deleted(town: Parts) -> None:
    ada = await town.agent()
    task = Task("dig")
    await town.store.commit(town.store.change().create_task(task))
    agent, seen = await town.store.see_agent(ada.id), await town.store.see_task(task.id)
    await town.store.update_agent(ada.id, lambda found: replace(found, nickname="A"))
    await town.store.update_task(task.id, lambda found: found.cancel("no"))
    before = await snapshot(town.connection)

    with pytest.raises(Raced):
        await town.store.commit(delete_agent(town.store.change(), town.keys, agent))
    with pytest.raises(Raced):
        await town.store.commit(delete_task(town.store.change(), town.keys, seen))

    assert await snapshot(town.connection) == before


async def test_a_task_goes_with_its_places_in_the_indexes(town: Parts) -> None:
    task = Task("dig")
    await town.store.commit(
        town.store.change().create_task(task).write("RPUSH", town.keys("backlog"), task.id, AgentId(new_id()))
    )
    await town.store.commit(delete_task(town.store.change(), town.keys, await town.store.see_task(task.id)))

    assert (await snapshot(town.connection)).keys() == {town.keys("backlog")}
    assert await town.ask("LLEN", town.keys("backlog")) == 1
