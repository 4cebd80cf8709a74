"""What ended agents left goes to others whole: every kind of message, with its id, its order and its task."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from leftovers import (
    EVERY_KIND,
    assigned,
    bodies,
    dump,
    kill_runtime_of,
    mail,
    send,
    stop,
    working,
)
from runtime_parts import add, limit, place, worker

from tinytown.actors.handover import Where
from tinytown.errors import AgentNotFound, Conflict, Forbidden, Invalid, LeaseLost, MailboxFull, TownError
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, new_id
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import Priority, Query, TaskAssign, Work
from tinytown.records import Agent, Task, TaskSource
from tinytown.runtime.operations.agents import Restart, restart
from tinytown.runtime.operations.backlog import backlog_of
from tinytown.runtime.operations.reclaiming import Reclaim, Reclaimed, reclaim
from tinytown.runtime.operations.tasks import TaskEnd, complete_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import Ack, Retry


@pytest.fixture
def ada(town: Town) -> Agent:
    """An agent that has not ended yet, so that it can be given something to leave."""
    return add(town, "ada")


@pytest.fixture
def bob(town: Town) -> Agent:
    return add(town, "bob")


def moved(town: Town, **asked: object) -> Reclaimed:
    return run_sync(reclaim(town, Reclaim(**asked)))  # type: ignore[arg-type]


def in_backlog(town: Town) -> list[Task]:
    return [run_sync(town.store.task(task_id)) for task_id in run_sync(backlog_of(town).ids())]


# Previews.


def leave_everything(town: Town, agent: Agent) -> list[Task]:
    tasks = assigned(town, agent, "one", "two")
    for body in EVERY_KIND:
        send(town, agent, body)
    send(town, agent, Work("now"), Priority.URGENT)
    run_sync(town.connection.execute("RPUSH", town.keys("low", agent.id), b"\xff"))
    return tasks


def test_a_preview_shows_all_and_changes_not_a_byte(town: Town, ada: Agent, bob: Agent) -> None:
    tasks = leave_everything(town, ada)
    stop(town, ada)
    send(town, bob, Work("bob's own"))
    before = dump(town)

    (left,) = moved(town).left

    assert left.agent.name == "ada"
    assert [message.body for message in left.messages] == [
        Work("now"),
        *(TaskAssign(task.id) for task in tasks),
        *EVERY_KIND,
    ]
    assert (left.unreadable, left.tasks) == (1, ())
    assert moved(town, source="ada").left == (left,)
    assert dump(town) == before


def test_a_preview_shows_tasks_that_no_message_speaks_of(town: Town, ada: Agent) -> None:
    (task,) = assigned(town, ada, "silent")
    fence = place(town, ada)
    claim = run_sync(town.mailbox.claim(fence, count=5, size=1 << 20, lease=60))
    run_sync(town.mailbox.settle(fence, [(each, Ack()) for each in claim.deliveries]))
    stop(town, ada)

    (left,) = moved(town).left
    assert [each.id for each in left.tasks] == [task.id]
    assert left.messages == ()


def test_with_nothing_left_there_is_nothing_to_show_or_to_move(town: Town, ada: Agent, bob: Agent) -> None:
    send(town, bob, Work("alive"))
    stop(town, ada)
    before = dump(town)

    assert moved(town).left == ()
    assert moved(town, to_backlog=True).moved == ()
    assert moved(town, to="bob").moved == ()
    assert dump(town) == before


# To another agent.


def test_everything_goes_to_the_other_agent_as_it_is(town: Town, ada: Agent, bob: Agent) -> None:
    tasks = leave_everything(town, ada)
    own = send(town, bob, Work("bob's own"))
    stop(town, ada)
    before = mail(town, ada)

    result = moved(town, to="bob")

    assert mail(town, ada) == []
    after = [message for message in mail(town, bob) if message.id != own.id]
    assert after == [replace(message, to=bob.id) for message in before]
    assert mail(town, bob).index(own) == 1  # behind what is urgent, before the rest
    assert run_sync(town.connection.execute("LRANGE", town.keys("low", bob.id), 0, -1)) == [b"\xff"]
    assert [run_sync(town.store.task(task.id)).assigned_to for task in tasks] == [bob.id] * 2
    (done,) = result.moved
    assert {piece.where for piece in done.pieces} == {Where.AGENT}
    assert (result.to, done.agent.name, len(done.pieces)) == (bob, "ada", len(before) + 1)
    assert bob.id in run_sync(town.mailbox.ready())


def test_attempts_and_waiting_times_are_kept(town: Town, ada: Agent, bob: Agent) -> None:
    message = send(town, ada, Work("hard"))
    fence = place(town, ada)
    (delivery,) = run_sync(town.mailbox.claim(fence, count=5, size=1 << 20, lease=60)).deliveries
    run_sync(town.mailbox.settle(fence, [(delivery, Retry(1000.0, 7))]))
    stop(town, ada)

    moved(town, to="bob")

    assert run_sync(town.connection.execute("HGET", town.keys("attempts"), message.id)) == b"1|7"
    (member,) = run_sync(town.connection.execute("ZRANGE", town.keys("snoozed"), 0, -1))  # type: ignore[misc]
    assert member.startswith(bob.id.encode())  # type: ignore[union-attr]


def test_a_task_that_ran_waits_for_its_new_agent(town: Town, bob: Agent) -> None:
    ada, _, _ = working(town, "ada", "dig")
    kill_runtime_of(town, ada)
    stop(town, ada)

    moved(town, to="bob")

    (task,) = run_sync(town.store.tasks())
    assert (task.state, task.assigned_to, task.attempts) == (TaskState.ASSIGNED, bob.id, 1)
    assert bodies(town, bob) == [TaskAssign(task.id)]


def test_a_task_without_a_message_gets_one(town: Town, ada: Agent, bob: Agent) -> None:
    (task,) = assigned(town, ada, "silent")
    run_sync(town.connection.execute("DEL", town.keys("inbox", ada.id)))
    stop(town, ada)

    result = moved(town, to="bob")

    assert bodies(town, bob) == [TaskAssign(task.id)]
    assert run_sync(town.store.task(task.id)).assigned_to == bob.id
    assert [piece.message for piece in result.moved[0].pieces] == [None]


def test_a_task_that_waits_for_others_waits_for_the_new_agent(town: Town, ada: Agent, bob: Agent) -> None:
    waiting = Task("later", assigned_to=ada.id, depends_on=(new_id(),))
    run_sync(town.store.commit(town.store.change().create_task(waiting)))
    stop(town, ada)

    moved(town, to_backlog=True)
    assert run_sync(town.store.task(waiting.id)) == waiting
    moved(town, to="bob")

    after = run_sync(town.store.task(waiting.id))
    assert (after.state, after.assigned_to) == (TaskState.PENDING, bob.id)
    assert mail(town, bob) == []


def test_a_mailbox_without_room_leaves_everything_where_it_is(town: Town, ada: Agent, bob: Agent) -> None:
    assigned(town, ada, "one", "two")
    send(town, bob, Work("mine"))
    stop(town, ada)
    limit(town, inbox_messages=2)
    before = dump(town)

    with pytest.raises(MailboxFull):
        moved(town, to="bob")

    assert dump(town) == before


def test_the_conductor_can_have_it(town: Town, ada: Agent) -> None:
    (task,) = assigned(town, ada, "dig")
    stop(town, ada)

    moved(town, to="conductor")

    assert bodies(town, SUPERVISOR_ID) == [TaskAssign(task.id)]
    assert run_sync(town.store.task(task.id)).assigned_to == SUPERVISOR_ID


# To the backlog.


def test_work_goes_to_the_backlog_and_the_rest_to_the_conductor(town: Town, ada: Agent) -> None:
    one, two = leave_everything(town, ada)
    text = next(message for message in mail(town, ada) if message.body == Work("fix the login"))
    urgent = next(message for message in mail(town, ada) if message.body == Work("now"))
    stop(town, ada)

    (done,) = moved(town, to_backlog=True).moved

    items = in_backlog(town)
    assert [item.id for item in items] == [urgent.id, one.id, two.id, text.id]
    assert [item.description for item in items] == ["now", "one", "two", "fix the login"]
    assert {(item.state, item.assigned_to) for item in items} == {(TaskState.PENDING, None)}
    assert items[-1].source is TaskSource.BACKLOG
    assert bodies(town, SUPERVISOR_ID) == list(EVERY_KIND[1:])
    assert mail(town, ada) == []
    assert (done.count(Where.BACKLOG), done.count(Where.CONDUCTOR)) == (4, len(EVERY_KIND))


def test_states_of_tasks_are_right_afterwards(town: Town) -> None:
    ada, _, _ = working(town, "ada", "dig")
    kill_runtime_of(town, ada)
    stop(town, ada)

    moved(town, to_backlog=True)

    assert run_sync(town.store.tasks(TaskState.RUNNING)) == []
    assert run_sync(town.store.tasks(TaskState.ASSIGNED)) == []
    (task,) = run_sync(town.store.tasks(TaskState.PENDING))
    assert (task.assigned_to, task.attempts) == (None, 1)


def test_failures_of_a_message_are_those_of_its_task(town: Town, ada: Agent) -> None:
    send(town, ada, Work("hard"))
    fence = place(town, ada)
    for _ in range(2):
        (delivery,) = run_sync(town.mailbox.claim(fence, count=5, size=1 << 20, lease=60)).deliveries
        run_sync(town.mailbox.settle(fence, [(delivery, Retry(0.0))]))
    stop(town, ada)

    moved(town, to_backlog=True)

    (task,) = in_backlog(town)
    assert task.attempts == 2
    assert run_sync(town.connection.execute("EXISTS", town.keys("attempts"))) == 0


def test_an_assignment_of_a_task_that_needs_nobody_is_done_with(town: Town, ada: Agent, bob: Agent) -> None:
    ended, other, twice = assigned(town, ada, "ended", "other", "twice")
    send(town, ada, TaskAssign(twice.id))
    run_sync(complete_task(town, TaskEnd(ended.id)))
    run_sync(town.store.update_task(other.id, lambda task: task.assign(bob.id)))
    stop(town, ada)

    (done,) = moved(town, to_backlog=True).moved

    assert [item.id for item in in_backlog(town)] == [twice.id]
    assert [piece.where for piece in done.pieces].count(Where.NOWHERE) == 3
    assert bodies(town, SUPERVISOR_ID) == []
    assert run_sync(town.store.task(ended.id)).state is TaskState.COMPLETED
    assert run_sync(town.store.task(other.id)).assigned_to == bob.id


def test_an_assignment_of_a_task_that_is_not_there_is_left_to_the_conductor(town: Town, ada: Agent) -> None:
    send(town, ada, TaskAssign(new_id()))
    send(town, ada, TaskAssign("nonsense"))
    stop(town, ada)

    moved(town, to_backlog=True)

    assert len(mail(town, SUPERVISOR_ID)) == 2
    assert in_backlog(town) == []


def test_a_message_whose_id_a_task_has_already_gets_a_task_of_another(town: Town, ada: Agent) -> None:
    (task,) = assigned(town, ada, "a task")
    raw = f'{{"id":"{task.id}","to":"{ada.id}","type":"task","description":"text"}}'
    run_sync(town.connection.execute("RPUSH", town.keys("inbox", ada.id), raw, raw))
    run_sync(town.connection.execute("RPUSH", town.keys("inbox", ada.id), raw.replace(task.id, "no uuid")))
    stop(town, ada)

    moved(town, to_backlog=True)

    items = in_backlog(town)
    assert [item.description for item in items] == ["a task", "text", "text", "text"]
    assert len({item.id for item in items}) == 4


def test_it_is_done_once(town: Town, ada: Agent) -> None:
    assigned(town, ada, "one")
    stop(town, ada)
    moved(town, to_backlog=True)
    before = dump(town)

    assert moved(town, to_backlog=True).moved == ()
    assert dump(town) == before


# From whom.


def test_only_from_the_one_that_was_named(town: Town, ada: Agent, bob: Agent) -> None:
    assigned(town, ada, "ada's")
    assigned(town, bob, "bob's")
    stop(town, ada)
    stop(town, bob)

    moved(town, to_backlog=True, source="ada")

    assert [item.description for item in in_backlog(town)] == ["ada's"]
    assert len(mail(town, bob)) == 1


def test_from_all_that_have_ended_and_from_nobody_else(town: Town, ada: Agent, bob: Agent) -> None:
    eve = add(town, "eve")
    for agent in (ada, bob, eve):
        assigned(town, agent, agent.name)
    stop(town, ada)
    stop(town, eve)

    result = moved(town, to_backlog=True)

    assert [done.agent.name for done in result.moved] == ["ada", "eve"]
    assert [item.description for item in in_backlog(town)] == ["ada", "eve"]
    assert len(mail(town, bob)) == 1


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"to": "bob", "to_backlog": True}, Invalid),
        ({"to": "nobody"}, AgentNotFound),
        ({"source": "nobody", "to_backlog": True}, AgentNotFound),
        ({"source": "bob", "to_backlog": True}, Conflict),
        ({"source": "bob"}, Conflict),
        ({"source": "conductor", "to_backlog": True}, Conflict),
        ({"to": "ada"}, Conflict),
        ({"to": "bob", "source": "bob", "force": True}, Conflict),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    town: Town, ada: Agent, bob: Agent, asked: dict[str, object], error: type[TownError]
) -> None:
    assigned(town, ada, "one")
    assigned(town, bob, "two")
    stop(town, ada)
    before = dump(town)

    with pytest.raises(error):
        moved(town, **asked)

    assert dump(town) == before


def test_workers_may_not(town: Town, ada: Agent) -> None:
    with pytest.raises(Forbidden):
        run_sync(reclaim(worker(town, ada), Reclaim()))


# Turns that run.


def test_an_ended_agent_whose_turn_still_ends_is_left_alone(town: Town) -> None:
    ada, _, _ = working(town, "ada", "one")
    stop(town, ada)
    before = dump(town)

    result = moved(town, to_backlog=True)

    assert ([agent.name for agent in result.busy], result.moved) == (["ada"], ())
    assert dump(town) == before


@pytest.mark.parametrize("alive", [True, False])
def test_by_force_it_is_taken_from_the_turn_which_can_do_nothing_more(town: Town, bob: Agent, *, alive: bool) -> None:
    ada, fence, deliveries = working(town, "ada", "one", "two")
    if not alive:
        stop(town, ada)

    moved(town, to="bob", source="ada", force=True)

    assert run_sync(town.store.agent(ada.id)).state is AgentState.STOPPED
    assert [message.body.type for message in mail(town, bob)] == ["task_assign"] * 2
    assert {task.assigned_to for task in run_sync(town.store.tasks())} == {bob.id}
    if alive:
        with pytest.raises(LeaseLost):
            run_sync(town.mailbox.settle(fence, [(each, Ack()) for each in deliveries]))
    else:
        assert run_sync(town.mailbox.settle(fence, [(each, Ack()) for each in deliveries])) == deliveries[::-1]
    assert len(mail(town, bob)) == 2


def test_an_agent_that_was_started_again_keeps_its_work(town: Town, ada: Agent) -> None:
    (task,) = assigned(town, ada, "one")
    stop(town, ada)
    run_sync(restart(town, Restart("ada", runtime=False)))

    assert moved(town, to_backlog=True).moved == ()
    assert run_sync(town.store.task(task.id)).assigned_to == ada.id


# All of it, however it lies.


LEFT = st.lists(
    st.tuples(st.sampled_from(["task", "work", "query", "raw", "silent"]), st.sampled_from(list(Priority))), max_size=12
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=LEFT, to_agent=st.booleans())
def test_nothing_is_lost_and_nothing_is_doubled(
    town: Town, left: list[tuple[str, Priority]], *, to_agent: bool
) -> None:
    ada, bob = add(town, f"ada-{new_id()}"), add(town, f"bob-{new_id()}")
    run_sync(town.connection.execute("DEL", town.keys("backlog"), *town.keys.lanes(SUPERVISOR_ID)))
    tasks: list[TaskId] = []
    works, queries, raws = [], [], 0
    for kind, priority in left:
        match kind:
            case "task":
                tasks += [task.id for task in assigned(town, ada, "dig")]
            case "silent":
                task = Task("silent").assign(ada.id)
                run_sync(town.store.commit(town.store.change().create_task(task)))
                tasks.append(task.id)
            case "work":
                works.append(send(town, ada, Work("dig"), priority).id)
            case "query":
                queries.append(send(town, ada, Query("?"), priority).id)
            case _:
                raws += 1
                lane = town.keys("inbox", ada.id)
                run_sync(town.connection.execute("RPUSH", lane, f"raw {raws}"))
    stop(town, ada)
    moved(town, source=ada.id, **({"to": bob.id} if to_agent else {"to_backlog": True}))
    stop(town, bob)

    def total(agent_id: AgentId) -> int:
        return run_sync(town.mailbox.waiting(agent_id))

    assert total(ada.id) == 0
    if to_agent:
        assert {run_sync(town.store.task(task)).assigned_to for task in tasks} <= {bob.id}
        assert total(bob.id) == len(left)
        assert {message.id for message in mail(town, bob)} >= {*works, *queries}
    else:
        assert sorted(run_sync(backlog_of(town).ids())) == sorted([*tasks, *works])
        assert total(SUPERVISOR_ID) == len(queries) + raws
