"""The index of what waits says what the records say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from towns import Parts, snapshot, strays
from twin import Twin

from tinytown.ids import AgentId, TaskId, new_id
from tinytown.records import Task
from tinytown.transport.blocking import run_sync
from tinytown.transport.clearing import delete_task
from tinytown.transport.waiting import AT_ONCE

WORKER = AgentId(new_id())


async def everything(town: Parts) -> set[TaskId]:
    cursor, found = await town.store.waiting.part()
    ids = set(found)
    while cursor:
        cursor, found = await town.store.waiting.part(cursor)
        ids.update(found)
    return ids


async def create(town: Parts, task: Task) -> Task:
    await town.store.commit(town.store.change().create_task(task))
    return task


async def test_a_waiting_task_is_found_from_either_side(town: Parts) -> None:
    needs = [new_id(), new_id()]
    waiting = await create(town, Task("later", depends_on=tuple(needs), assigned_to=WORKER, waits=True))
    await create(town, Task("now"))

    assert await everything(town) == {waiting.id}
    for need in needs:
        assert await town.store.waiting.on(TaskId(need)) == [waiting.id]

    await town.store.update_task(waiting.id, lambda task: task.assign(WORKER))
    assert await everything(town) == set()
    assert [await town.store.waiting.on(TaskId(need)) for need in needs] == [[], []]
    assert strays(await snapshot(town.connection), town.keys) == []


@pytest.mark.parametrize("how", ["cancel", "delete"])
async def test_what_is_gone_waits_no_more(town: Parts, how: str) -> None:
    need = TaskId(new_id())
    waiting = await create(town, Task("later", depends_on=(need,), waits=True))
    if how == "cancel":
        await town.store.update_task(waiting.id, lambda task: task.cancel())
    else:
        seen = await town.store.see_task(waiting.id)
        await town.store.commit(delete_task(town.store.change(), town.keys, seen))

    assert (await everything(town), await town.store.waiting.on(need)) == (set(), [])


async def test_many_that_wait_are_read_in_parts(town: Parts) -> None:
    ids = [new_id() for _ in range(AT_ONCE * 3)]
    await town.ask("SADD", town.keys("waiting"), *ids)

    assert await everything(town) == set(ids)


STATES = st.builds(
    lambda needs, waits, review: {"depends_on": tuple(needs), "waits": waits, "review_task": review},
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True),
    st.booleans(),
    st.none() | st.sampled_from(["x", "y"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STATES, min_size=1, max_size=6), st.booleans())
def test_whatever_a_record_becomes_the_index_follows(steps: list[dict[str, Any]], running: bool) -> None:
    town = Parts(Twin())

    async def follow() -> None:
        task = Task("t", assigned_to=WORKER, **steps[0])
        if running:
            task = replace(task.assign(WORKER), **steps[0])
        await create(town, task)
        for step in steps[1:]:
            await town.store.update_task(task.id, lambda found, step=step: replace(found, **step))
        after = await town.store.task(task.id)

        assert await everything(town) == ({task.id} if after.waits else set())
        for other in ("a", "b", "c", "x", "y"):
            on = await town.store.waiting.on(TaskId(other))
            assert on == ([task.id] if other in after.awaited else []), (other, after)

    run_sync(follow())
