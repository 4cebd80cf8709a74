"""The backlog as a list of tasks, on a real server and on the twin."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

from towns import Parts

from tinytown.ids import TaskId, new_id
from tinytown.records import Task
from tinytown.transport.backlog import AT_ONCE, Backlog, is_free


async def put(town: Parts, *texts: str) -> tuple[Backlog, list[Task]]:
    backlog, tasks = Backlog(town.connection, town.keys), [Task(text) for text in texts]
    for task in tasks:
        await town.store.commit(backlog.put(town.store.change().create_task(task), task.id))
    return backlog, tasks


async def listed(backlog: Backlog) -> list[str]:
    async with aclosing(backlog.each()) as items:
        return [seen.record.description async for seen in items]


async def test_items_stand_in_the_order_in_which_they_came(town: Parts) -> None:
    backlog, tasks = await put(town, "a", "b", "c")

    assert await backlog.ids() == [task.id for task in tasks]
    assert await backlog.newest() == tasks[-1].id
    assert await listed(backlog) == ["a", "b", "c"]


async def test_an_empty_one_has_nothing(town: Parts) -> None:
    backlog = Backlog(town.connection, town.keys)

    assert (await backlog.ids(), await backlog.newest(), await listed(backlog)) == ([], None, [])
    assert not await backlog.holds(TaskId(new_id()))


async def test_an_item_is_in_it_once_and_a_taken_one_is_not(town: Parts) -> None:
    backlog, (first, second) = await put(town, "a", "b")
    await town.store.commit(backlog.put(town.store.change(), first.id))
    assert await backlog.ids() == [second.id, first.id]

    await town.store.commit(backlog.take(town.store.change(), second.id))

    assert await backlog.ids() == [first.id]
    assert (await backlog.holds(first.id), await backlog.holds(second.id)) == (True, False)


async def test_only_what_can_be_claimed_is_listed(town: Parts) -> None:
    backlog, (gone, broken, mine, free) = await put(town, "gone", "broken", "mine", "free")
    await town.ask("DEL", town.keys("task", gone.id))
    await town.ask("SET", town.keys("task", broken.id), "{")
    agent = await town.agent()
    await town.store.update_task(mine.id, lambda task: task.assign(agent.id))
    await town.ask("RPUSH", town.keys("backlog"), "", b"\xff")

    assert await listed(backlog) == ["free"]
    found = await backlog.see(await backlog.ids())
    assert [seen and seen.record.id for seen in found] == [None, None, mine.id, free.id, None, None]
    assert [is_free(task) for task in (free, free.assign(agent.id), replace(free, assigned_to=agent.id))] == [
        True,
        False,
        False,
    ]


async def test_a_long_one_is_read_in_parts(town: Parts) -> None:
    backlog, tasks = await put(town, *(str(number) for number in range(AT_ONCE + 5)))

    assert await listed(backlog) == [task.description for task in tasks]
