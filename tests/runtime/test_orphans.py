"""Open tasks whose agent has ended or is gone are found by their records and settled once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from leftovers import assigned, bodies, dump, stop, working
from runtime_parts import add, limit, worker

from tinytown.errors import AgentNotFound, Forbidden
from tinytown.ids import SUPERVISOR_ID, AgentId, new_id
from tinytown.lifecycle import TaskState
from tinytown.messages import Informational
from tinytown.records import Agent, Task
from tinytown.runtime.operations.backlog import backlog_of
from tinytown.runtime.operations.messages import Send, send
from tinytown.runtime.operations.orphans import OrphanAction, OrphanReason, Orphans, ReclaimOrphans, reclaim_orphans
from tinytown.runtime.operations.tasks import TaskEnd, complete_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync

GHOST = AgentId("11111111-2222-4333-8444-555555555555")


@pytest.fixture
def orphans(town: Town) -> list[Task]:
    """Of a stopped agent, of one that runs no more in its turn, of one that is gone; beside them what is none."""
    ada, bob = add(town, "ada"), add(town, "bob")
    (one,) = assigned(town, ada, "one")
    eve, _, _ = working(town, "eve", "two")
    two = next(task for task in run_sync(town.store.tasks()) if task.assigned_to == eve.id)
    three = Task("three", assigned_by=ada.id).assign(GHOST)
    four = Task("four", assigned_to=GHOST, depends_on=(one.id,))
    for task in (three, four, Task("free"), Task("the conductor's").assign(SUPERVISOR_ID)):
        run_sync(town.store.commit(town.store.change().create_task(task)))
    assigned(town, bob, "alive")
    (ended,) = assigned(town, ada, "ended")
    run_sync(complete_task(town, TaskEnd(ended.id)))
    for agent in (ada, eve):
        stop(town, agent)
    return [one, two, three, four]


def settle(town: Town, action: OrphanAction, source: str | None = None) -> Orphans:
    return run_sync(reclaim_orphans(town, ReclaimOrphans(action, source)))


def again(town: Town, tasks: list[Task]) -> list[Task]:
    return [run_sync(town.store.task(task.id)) for task in tasks]


def test_they_are_listed_with_the_reason_and_nothing_is_changed(town: Town, orphans: list[Task]) -> None:
    before = dump(town)

    found = settle(town, OrphanAction.LIST).orphans

    # Tasks of one millisecond are listed by their ids.
    found = tuple(sorted(found, key=lambda each: [task.id for task in orphans].index(each.task.id)))
    assert [each.task.id for each in found] == [task.id for task in orphans]
    ended, missing = OrphanReason.ENDED, OrphanReason.MISSING
    assert [(each.reason, each.agent_name) for each in found] == [
        (ended, "ada"),
        (ended, "eve"),
        (missing, ""),
        (missing, ""),
    ]
    assert dump(town) == before


def test_they_go_to_the_backlog_and_what_waits_for_others_to_nobody(town: Town, orphans: list[Task]) -> None:
    settle(town, OrphanAction.TO_BACKLOG)

    assert run_sync(backlog_of(town).ids()) == [task.id for task in orphans[:3]]
    assert {(task.state, task.assigned_to) for task in again(town, orphans)} == {(TaskState.PENDING, None)}
    assert settle(town, OrphanAction.LIST).orphans == ()


def test_they_are_cancelled_and_whoever_gave_them_is_told(town: Town, orphans: list[Task]) -> None:
    settle(town, OrphanAction.CANCEL)

    assert {task.state for task in again(town, orphans)} == {TaskState.CANCELLED}
    told = [body for body in bodies(town, orphans[2].assigned_by or GHOST) if isinstance(body, Informational)]
    assert told == [Informational(f"Task {orphans[2].id} was cancelled: its agent is gone")]


def test_a_mailbox_that_takes_nothing_keeps_no_task_open(town: Town, orphans: list[Task]) -> None:
    run_sync(send(town, Send("ada", "full")))
    limit(town, inbox_messages=1, town_messages=1)

    settle(town, OrphanAction.CANCEL)

    assert {task.state for task in again(town, orphans)} == {TaskState.CANCELLED}


def test_they_are_deleted(town: Town, orphans: list[Task]) -> None:
    settle(town, OrphanAction.DELETE)

    assert sorted(task.description for task in run_sync(town.store.tasks())) == [
        "alive",
        "ended",
        "free",
        "the conductor's",
    ]


def test_only_those_of_one_agent(town: Town, orphans: list[Task]) -> None:
    assert [each.task.id for each in settle(town, OrphanAction.LIST, "ada").orphans] == [orphans[0].id]
    assert len(settle(town, OrphanAction.LIST, GHOST).orphans) == 2
    assert settle(town, OrphanAction.LIST, "bob").orphans == ()
    for nobody in ("nobody", new_id()):
        with pytest.raises(AgentNotFound):
            settle(town, OrphanAction.LIST, nobody)


def test_workers_may_not(town: Town) -> None:
    ada: Agent = replace(add(town, "ada"))

    with pytest.raises(Forbidden):
        run_sync(reclaim_orphans(worker(town, ada), ReclaimOrphans()))
