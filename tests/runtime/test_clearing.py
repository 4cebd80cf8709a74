"""Agents leave the town with nothing lost; a reset deletes what it has said, and no more."""

from __future__ import annotations

import pytest
from leftovers import EVERY_KIND, assigned, bodies, dump, everything_of, kill_runtime_of, mail, send, stop, working
from runtime_parts import add, limit, place, worker
from towns import strays

from tinytown.actors.handover import Where
from tinytown.errors import AgentNotFound, Forbidden, LeaseLost, MailboxFull
from tinytown.ids import SUPERVISOR_ID, new_id
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import Query, Work
from tinytown.records import Task
from tinytown.runtime.operations.backlog import AddToBacklog, add_to_backlog, backlog_of
from tinytown.runtime.operations.clearing import Prune, Pruned, Reset, WasReset, prune, reset
from tinytown.runtime.operations.status import Status, status
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import Ack
from tinytown.transport.keys import Keys


def pruned(town: Town, *, everyone: bool = False, force: bool = False) -> Pruned:
    return run_sync(prune(town, Prune(everyone=everyone, force=force)))


def was_reset(town: Town, *, force: bool = False, agents_only: bool = False) -> WasReset:
    return run_sync(reset(town, Reset(force=force, agents_only=agents_only)))


def names(result: Pruned) -> list[str]:
    return [done.agent.name for done in result.removed]


# Pruning.


def test_agents_that_have_ended_are_removed_and_no_others(town: Town) -> None:
    ada, bob = add(town, "ada"), add(town, "bob")
    stop(town, ada)

    result = pruned(town)

    assert names(result) == ["ada"]
    assert [agent.name for agent in run_sync(town.store.agents())] == ["bob"]
    assert everything_of(town, ada) == []
    with pytest.raises(AgentNotFound):
        run_sync(town.store.find_agent("ada"))
    assert "agent.pruned" in [event.type for event in run_sync(town.journal.latest(5))]
    assert names(pruned(town)) == []
    assert run_sync(town.store.agent(bob.id)) == bob


def test_what_they_had_is_in_the_backlog_and_with_the_conductor(town: Town) -> None:
    ada = add(town, "ada")
    (task,) = assigned(town, ada, "one")
    for body in EVERY_KIND:
        send(town, ada, body)
    stop(town, ada)

    (done,) = pruned(town).removed

    items = [run_sync(town.store.task(each)) for each in run_sync(backlog_of(town).ids())]
    assert [item.description for item in items] == ["one", "fix the login"]
    assert items[0].id == task.id
    assert bodies(town, SUPERVISOR_ID) == list(EVERY_KIND[1:])
    assert (done.count(Where.BACKLOG), done.count(Where.CONDUCTOR)) == (2, len(EVERY_KIND) - 1)
    assert everything_of(town, ada) == []


def test_no_task_stays_with_an_agent_that_is_gone(town: Town) -> None:
    ada = add(town, "ada")
    silent, waiting = Task("silent").assign(ada.id), Task("later", assigned_to=ada.id, depends_on=(new_id(),))
    for task in (silent, waiting):
        run_sync(town.store.commit(town.store.change().create_task(task)))
    stop(town, ada)
    pruned(town)

    assert [task.assigned_to for task in run_sync(town.store.tasks())] == [None, None]
    assert run_sync(backlog_of(town).ids()) == [silent.id]


def test_a_conductor_without_room_keeps_the_agent(town: Town) -> None:
    ada = add(town, "ada")
    send(town, ada, Query("?"))
    send(town, ada, Query("??"))
    stop(town, ada)
    limit(town, inbox_messages=1)
    before = dump(town)

    with pytest.raises(MailboxFull):
        pruned(town)

    assert dump(town) == before


def test_all_are_removed_but_those_in_a_turn(town: Town) -> None:
    add(town, "idle")
    ada, fence, deliveries = working(town, "ada", "one")

    result = pruned(town, everyone=True)

    assert (names(result), [agent.name for agent in result.busy]) == (["idle"], ["ada"])
    assert run_sync(town.mailbox.settle(fence, [(each, Ack()) for each in deliveries])) == []
    assert run_sync(town.store.agent(ada.id)) == ada


def test_by_force_those_in_a_turn_too_and_the_turn_can_do_nothing_more(town: Town) -> None:
    ada, fence, deliveries = working(town, "ada", "one")

    result = pruned(town, everyone=True, force=True)

    assert (names(result), result.busy) == (["ada"], ())
    (task,) = run_sync(town.store.tasks())
    assert (task.state, task.assigned_to) == (TaskState.PENDING, None)
    with pytest.raises(LeaseLost):
        run_sync(town.mailbox.settle(fence, [(each, Ack()) for each in deliveries]))
    with pytest.raises(LeaseLost):
        run_sync(town.mailbox.claim(fence, count=1, size=1, lease=1))
    assert everything_of(town, ada) == []
    assert run_sync(backlog_of(town).ids()) == [task.id]


def test_what_a_dead_runtime_had_in_hand_is_no_reason_to_stay(town: Town) -> None:
    ada, _, _ = working(town, "ada", "one")
    stop(town, ada)
    kill_runtime_of(town, ada)

    assert names(pruned(town)) == ["ada"]
    assert len(run_sync(backlog_of(town).ids())) == 1


def test_a_name_is_free_again_and_its_new_agent_has_nothing_of_the_old(town: Town) -> None:
    old = add(town, "ada")
    send(town, old, Work("dig"))
    stop(town, old)
    pruned(town)

    new = add(town, "ada")

    assert new.id != old.id
    assert mail(town, new) == []


# Resetting.


@pytest.fixture
def busy_town(town: Town) -> Town:
    """A town with three agents, one of them in a turn, five tasks, two of them in the backlog."""
    add(town, "idle")
    ada = add(town, "ada")
    assigned(town, ada, "one", "two")
    send(town, ada, Query("?"))
    working(town, "eve", "three")
    for text in ("four", "five"):
        run_sync(add_to_backlog(town, AddToBacklog(text, ("docs",))))
    send(town, run_sync(town.store.agent(SUPERVISOR_ID)), Query("for you"))
    return town


@pytest.mark.parametrize("agents_only", [True, False])
def test_a_preview_says_what_there_is_and_changes_not_a_byte(busy_town: Town, *, agents_only: bool) -> None:
    before = dump(busy_town)

    assert was_reset(busy_town, agents_only=agents_only) == WasReset("demo", 3, 5, 2, in_turn=1)

    assert dump(busy_town) == before


def test_a_reset_leaves_an_empty_town_that_works(busy_town: Town) -> None:
    before = dump(busy_town)
    assert isinstance(before, dict)

    result = was_reset(busy_town, force=True)

    after = dump(busy_town)
    assert isinstance(after, dict)
    assert (result.agents, result.tasks, result.backlog) == (3, 5, 2)
    assert result.keys == len(before.keys() - after.keys()) + 1  # the journal, which has begun anew
    found = run_sync(status(busy_town, Status()))
    assert (found.agents, found.backlog, sum(found.task_counts.values())) == ((), 0, 0)
    assert mail(busy_town, SUPERVISOR_ID) == []
    assert strays(after, busy_town.keys) == []
    (task,) = assigned(busy_town, add(busy_town, "ada"), "again")
    assert run_sync(busy_town.store.tasks()) == [task]


def test_a_turn_that_ran_during_a_reset_can_do_nothing_more(town: Town) -> None:
    _, fence, deliveries = working(town, "ada", "one")

    was_reset(town, force=True)

    before = dump(town)
    with pytest.raises(LeaseLost):
        run_sync(town.mailbox.settle(fence, [(each, Ack()) for each in deliveries]))
    assert dump(town) == before


def test_a_reset_of_the_agents_keeps_every_task_and_every_message(busy_town: Town) -> None:
    tasks = {task.id: task for task in run_sync(busy_town.store.tasks())}

    result = was_reset(busy_town, force=True, agents_only=True)

    assert (result.agents, result.to_backlog, result.to_conductor) == (3, 3, 1)
    assert run_sync(busy_town.store.agents()) == []
    after = {task.id: task for task in run_sync(busy_town.store.tasks())}
    assert after.keys() == tasks.keys()
    assert {(task.state, task.assigned_to) for task in after.values()} == {(TaskState.PENDING, None)}
    assert sorted(run_sync(backlog_of(busy_town).ids())) == sorted(after)
    assert bodies(busy_town, SUPERVISOR_ID) == [Query("for you"), Query("?")]
    assert result.keys is not None
    assert result.keys >= 5


def test_a_neighbour_with_a_longer_name_is_not_touched(busy_town: Town) -> None:
    theirs = Keys("demo:b")
    for number, name in enumerate(("agent", "inbox", "task")):
        run_sync(busy_town.connection.execute("SET", theirs(name, new_id()), number))
    run_sync(busy_town.connection.execute("SET", theirs("roster"), "x"))
    before = dump(busy_town)
    assert isinstance(before, dict)

    stop(busy_town, run_sync(busy_town.store.find_agent("ada")))
    pruned(busy_town)
    was_reset(busy_town, force=True, agents_only=True)
    was_reset(busy_town, force=True)

    after = dump(busy_town)
    assert isinstance(after, dict)
    assert {key: value for key, value in after.items() if key.startswith(theirs.prefix)} == {
        key: value for key, value in before.items() if key.startswith(theirs.prefix)
    }
    run_sync(busy_town.connection.execute("DEL", *(key for key in after if key.startswith(theirs.prefix))))


def test_workers_may_not(town: Town) -> None:
    mine = worker(town, add(town, "ada"))

    for asked in (prune(mine, Prune()), reset(mine, Reset()), reset(mine, Reset(force=True))):
        with pytest.raises(Forbidden):
            run_sync(asked)


def test_the_runtimes_stay_registered(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)

    was_reset(town, force=True)

    assert len(run_sync(town.placement.runtimes())) == 1
    assert add(town, "ada").state is AgentState.STARTING
