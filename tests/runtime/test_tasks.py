"""Tasks are handed out whole or not at all, and end once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runtime_parts import add, limit, worker

from tinytown.errors import (
    AgentNotFound,
    AmbiguousId,
    Forbidden,
    Full,
    IllegalTransition,
    Invalid,
    MailboxFull,
    TaskNotFound,
    TooLarge,
    TownFull,
)
from tinytown.ids import SUPERVISOR_ID, new_id
from tinytown.lifecycle import AgentEvent, TaskState
from tinytown.messages import Informational, TaskAssign, TaskDone, TaskFailed
from tinytown.records import Agent, Task, TaskSource
from tinytown.runtime.operations.agents import Kill, kill
from tinytown.runtime.operations.tasks import (
    Assign,
    CurrentTask,
    ListTasks,
    ShowTask,
    TaskEnd,
    assign,
    assign_record,
    cancel_task,
    complete_task,
    current_task,
    fail_task,
    list_tasks,
    show_task,
)
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.placement import RuntimeCard, new_runtime_id

ENDS = [complete_task, fail_task, cancel_task]


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada")


def given_to(town: Town, agent: Agent, text: str = "dig") -> Task:
    return run_sync(assign(town, Assign(agent.id, text))).task


def mail(town: Town, agent_id: str) -> list[object]:
    return [message.body for message in run_sync(town.mailbox.peek(agent_id))]  # type: ignore[arg-type]


def tasks(town: Town) -> list[Task]:
    return run_sync(town.store.tasks())


def test_a_task_and_its_message_arrive_together(town: Town, ada: Agent) -> None:
    assigned = run_sync(assign(town, Assign("ada", "dig\r\na hole", tags=("yard", "yard"))))
    task = assigned.task
    assert (task.description, task.state, task.assigned_to) == ("dig\na hole", TaskState.ASSIGNED, ada.id)
    assert (task.assigned_by, task.source, task.tags) == (SUPERVISOR_ID, TaskSource.ASSIGN, ("yard",))
    assert tasks(town) == [task]
    assert mail(town, ada.id) == [TaskAssign(task.id)]
    assert [event.type for event in run_sync(town.journal.latest(2))] == ["task.assigned", "message.sent"]


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("nul \0 inside", "nul \ufffd inside"),
        ("half a \udcc3 character", "half a \ufffd character"),
        ("kept \x1b[31m as it is", "kept \x1b[31m as it is"),
        ("äöü 🚀\n\t- list", "äöü 🚀\n\t- list"),
    ],
)
def test_a_text_is_stored_clean_and_whole(town: Town, ada: Agent, text: str, stored: str) -> None:
    assert run_sync(town.store.task(given_to(town, ada, text).id)).description == stored


@pytest.mark.parametrize("text", ["", "   ", "\n\t\n"])
def test_an_empty_task_is_refused(town: Town, ada: Agent, text: str) -> None:
    with pytest.raises(Invalid, match="empty"):
        given_to(town, ada, text)
    assert tasks(town) == []


def test_ten_megabytes_are_refused_with_the_limit(town: Town, ada: Agent) -> None:
    with pytest.raises(TooLarge, match=r"10,485,760 bytes; it may have 262,144") as caught:
        given_to(town, ada, "x" * (10 << 20))
    assert "[limits] message_bytes" in caught.value.hint
    assert (tasks(town), mail(town, ada.id)) == ([], [])


def test_the_limit_counts_bytes(town: Town, ada: Agent) -> None:
    limit(town, message_bytes=2000)
    given_to(town, ada, "ü" * 1000)
    with pytest.raises(TooLarge):
        given_to(town, ada, "ü" * 1000 + "x")


@pytest.mark.parametrize("name", ["nobody", "x/y", "..", "'quoted'", "two words", "a" * 200, "", "%", "\x1b[2J"])
def test_nobody_by_that_name_gets_nothing(town: Town, ada: Agent, name: str) -> None:
    with pytest.raises(AgentNotFound) as caught:
        run_sync(assign(town, Assign(name, "dig")))
    assert caught.value.hint
    assert tasks(town) == []


@pytest.mark.parametrize("tags", [(" ",), ("x" * 65,), ("a\nb",), tuple(map(str, range(33)))])
def test_tags_that_cannot_be_meant_are_refused(town: Town, ada: Agent, tags: tuple[str, ...]) -> None:
    with pytest.raises(Invalid, match="tag"):
        run_sync(assign(town, Assign("ada", "dig", tags=tags)))


def test_a_parent_groups_and_has_to_exist(town: Town, ada: Agent) -> None:
    parent = given_to(town, ada, "garden")
    child = run_sync(assign(town, Assign("ada", "dig", parent=parent.id[:10]))).task
    assert child.parent_id == parent.id
    with pytest.raises(TaskNotFound):
        run_sync(assign(town, Assign("ada", "dig", parent=new_id())))
    assert len(tasks(town)) == 2


@pytest.mark.parametrize("name", ["conductor", "supervisor"])
def test_the_conductor_can_be_given_a_task(town: Town, name: str) -> None:
    assigned = run_sync(assign(town, Assign(name, "think")))
    assert assigned.note is None
    assert mail(town, SUPERVISOR_ID) == [TaskAssign(assigned.task.id)]


def test_a_task_for_an_agent_that_ended_waits_and_says_so(town: Town, ada: Agent) -> None:
    run_sync(kill(town, Kill("ada")))
    assigned = run_sync(assign(town, Assign("ada", "dig")))
    assert assigned.note == "Agent 'ada' is stopped: it will begin after 'tt restart ada'"
    assert mail(town, ada.id) == [TaskAssign(assigned.task.id)]


def test_so_does_one_for_an_agent_that_is_paused_or_ending(town: Town, ada: Agent) -> None:
    for event, word in ((AgentEvent.PAUSE, "paused"), (AgentEvent.DRAIN, "ending")):
        run_sync(town.store.update_agent(ada.id, lambda agent, event=event: agent.after(event)))  # type: ignore[misc]
        assert word in (run_sync(assign(town, Assign("ada", "dig"))).note or "")


def test_without_a_runtime_it_says_so(town: Town, ada: Agent) -> None:
    assert "tt start" in (run_sync(assign(town, Assign("ada", "dig"))).note or "")
    card = RuntimeCard(new_runtime_id(), "here", 1, "2026-01-01T00:00:00.000Z")
    run_sync(town.placement.begin(card, lease=60))
    assert run_sync(assign(town, Assign("ada", "dig"))).note is None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 1500), max_size=6),
    inbox=st.integers(1, 4),
    total=st.integers(1, 4),
)
def test_an_assignment_is_there_whole_or_not_at_all(town: Town, sizes: list[int], inbox: int, total: int) -> None:
    """However the limits strike: each task has its message, each message its task, and no more was written."""
    ada = add(town, f"ada-{new_id()}")
    already = {task.id for task in tasks(town)}
    run_sync(town.connection.execute("DEL", town.keys("live")))
    limit(town, message_bytes=1024, inbox_messages=inbox, town_messages=total)
    accepted = []
    for size in sizes:
        before = run_sync(town.journal.position())
        try:
            accepted.append(given_to(town, ada, "x" * size).id)
        except TooLarge:
            assert size > 1024
        except Full:
            assert len(accepted) in (inbox, total)
        else:
            continue
        assert run_sync(town.journal.position()) == before
    run_sync(kill(town, Kill(ada.id)))
    limit(town, message_bytes=1024, inbox_messages=100, town_messages=100)
    assert {task.id for task in tasks(town)} - already == set(accepted)
    assert mail(town, ada.id) == [TaskAssign(task_id) for task_id in accepted]


def test_a_full_mailbox_and_a_full_town_are_named(town: Town, ada: Agent) -> None:
    limit(town, inbox_messages=1, town_messages=2)
    given_to(town, ada)
    with pytest.raises(MailboxFull, match="it holds 1 messages") as full:
        given_to(town, ada)
    assert "inbox_messages" in full.value.hint
    bob, eve = add(town, "bob"), add(town, "eve")
    given_to(town, bob)
    with pytest.raises(TownFull, match="2 undelivered"):
        given_to(town, eve)
    assert len(tasks(town)) == 2


def test_a_task_is_stored_once(town: Town, ada: Agent) -> None:
    task = run_sync(assign_record(town, Task("dig"), ada))
    with pytest.raises(IllegalTransition):
        run_sync(assign_record(town, run_sync(town.store.task(task.id)).complete("x"), ada))


def test_a_task_is_shown_with_names(town: Town, ada: Agent) -> None:
    task = given_to(town, ada)
    shown = run_sync(show_task(town, ShowTask(task.id[:8])))
    assert (shown.task, shown.agent_name, shown.assigned_by_name) == (task, "ada", "conductor")


@pytest.mark.parametrize("wanted", ["", "x", "abc", "../../etc", "z" * 36, "*"])
def test_what_is_no_task_is_not_found(town: Town, wanted: str) -> None:
    for attempt in (show_task(town, ShowTask(wanted)), complete_task(town, TaskEnd(wanted))):
        with pytest.raises(TaskNotFound):
            run_sync(attempt)


def test_a_prefix_that_fits_two_tasks_is_not_guessed(town: Town, ada: Agent) -> None:
    first = given_to(town, ada)
    run_sync(town.connection.execute("ZADD", town.keys("tasks"), 1, f"{first.id[:8]}-0000-4000-8000-000000000000"))
    with pytest.raises(AmbiguousId):
        run_sync(show_task(town, ShowTask(first.id[:8])))


def test_tasks_are_listed_by_state_and_by_agent(town: Town, ada: Agent) -> None:
    bob = add(town, "bob")
    one, two, three = given_to(town, ada, "one"), given_to(town, bob, "two"), given_to(town, ada, "three")
    run_sync(complete_task(town, TaskEnd(one.id, "done")))

    def shown(**wanted: object) -> set[str]:
        return {each.task.id for each in run_sync(list_tasks(town, ListTasks(**wanted))).tasks}  # type: ignore[arg-type]

    assert shown() == {one.id, two.id, three.id}
    assert shown(state=TaskState.COMPLETED) == {one.id}
    assert shown(agent="ada") == {one.id, three.id}
    assert shown(agent="ada", state=TaskState.ASSIGNED) == {three.id}
    with pytest.raises(AgentNotFound):
        shown(agent="nobody")


def test_a_completed_task_keeps_its_result_and_counts_for_its_agent(town: Town, ada: Agent) -> None:
    task = given_to(town, ada)
    ended = run_sync(complete_task(town, TaskEnd(task.id, "a hole,\0 2 m"))).task
    assert (ended.state, ended.result) == (TaskState.COMPLETED, "a hole,\ufffd 2 m")
    assert ended.completed_at is not None
    assert run_sync(town.store.agent(ada.id)).tasks_completed == 1
    assert run_sync(town.journal.latest(1))[0].type == "task.completed"


def test_a_failed_task_keeps_its_error_and_does_not_count(town: Town, ada: Agent) -> None:
    ended = run_sync(fail_task(town, TaskEnd(given_to(town, ada).id, "rock"))).task
    assert (ended.state, ended.result) == (TaskState.FAILED, "rock")
    assert run_sync(town.store.agent(ada.id)).tasks_completed == 0


def test_a_text_is_not_needed(town: Town, ada: Agent) -> None:
    for end in ENDS:
        assert run_sync(end(town, TaskEnd(given_to(town, ada).id))).task.state.is_terminal


@pytest.mark.parametrize("first", ENDS)
@pytest.mark.parametrize("second", ENDS)
def test_a_task_ends_once(town: Town, ada: Agent, first: object, second: object) -> None:
    task = given_to(town, ada)
    ended = run_sync(first(town, TaskEnd(task.id, "first"))).task  # type: ignore[operator]
    with pytest.raises(IllegalTransition, match=f"is {ended.state}"):
        run_sync(second(town, TaskEnd(task.id, "second")))  # type: ignore[operator]
    assert run_sync(town.store.task(task.id)) == ended


def test_a_result_that_is_too_large_is_refused_and_the_task_goes_on(town: Town, ada: Agent) -> None:
    task = given_to(town, ada)
    with pytest.raises(TooLarge):
        run_sync(complete_task(town, TaskEnd(task.id, "x" * (1 << 20))))
    assert run_sync(town.store.task(task.id)) == task


def test_whoever_assigned_it_is_told_but_not_of_what_he_did_himself(town: Town, ada: Agent) -> None:
    hers = worker(town, ada)
    one, two, three, four = (given_to(town, ada, text) for text in ("one", "two", "three", "four"))
    run_sync(complete_task(hers, TaskEnd(one.id, "done")))
    run_sync(fail_task(hers, TaskEnd(two.id, "rock")))
    run_sync(cancel_task(hers, TaskEnd(three.id, "rain")))
    run_sync(complete_task(town, TaskEnd(four.id, "by hand")))
    assert mail(town, SUPERVISOR_ID) == [
        TaskDone(one.id, "done"),
        TaskFailed(two.id, "rock"),
        Informational(f"Task {three.id} was cancelled. rain"),
    ]


def test_the_agent_hears_of_a_cancellation(town: Town, ada: Agent) -> None:
    task = given_to(town, ada)
    run_sync(cancel_task(town, TaskEnd(task.id)))
    assert mail(town, ada.id) == [TaskAssign(task.id), Informational(f"Task {task.id} was cancelled.")]


def test_a_full_mailbox_elsewhere_does_not_keep_a_task_from_ending(town: Town, ada: Agent) -> None:
    task = given_to(town, ada)
    limit(town, inbox_messages=1)
    run_sync(assign(town, Assign("conductor", "fills his mailbox")))
    ended = run_sync(complete_task(worker(town, ada), TaskEnd(task.id, "done")))
    assert ended.task.state is TaskState.COMPLETED
    assert run_sync(town.store.agent(ada.id)).tasks_completed == 1
    assert len(mail(town, SUPERVISOR_ID)) == 1


def test_nor_does_one_that_is_gone(town: Town, ada: Agent) -> None:
    bob = add(town, "bob")
    task = given_to(town, ada)
    run_sync(town.store.update_task(task.id, lambda found: Task.from_json({**found.to_json(), "assigned_by": bob.id})))
    run_sync(town.connection.execute("DEL", town.keys("agent", bob.id)))
    assert run_sync(complete_task(town, TaskEnd(task.id))).task.state is TaskState.COMPLETED


def test_an_agent_that_is_gone_does_not_keep_its_task_from_ending(town: Town, ada: Agent) -> None:
    task = given_to(town, ada)
    run_sync(town.connection.execute("DEL", town.keys("agent", ada.id)))
    assert run_sync(complete_task(town, TaskEnd(task.id))).agent_name == "ada"


def test_a_pending_task_leaves_the_backlog_when_it_is_cancelled(town: Town) -> None:
    task = Task("later")
    change = town.store.change().create_task(task).write("RPUSH", town.keys("backlog"), task.id)
    run_sync(town.store.commit(change))
    with pytest.raises(IllegalTransition):
        run_sync(complete_task(town, TaskEnd(task.id)))
    run_sync(cancel_task(town, TaskEnd(task.id)))
    assert run_sync(town.connection.execute("LLEN", town.keys("backlog"))) == 0


@pytest.mark.parametrize("end", ENDS)
def test_a_worker_ends_its_own_tasks_only(town: Town, ada: Agent, end: object) -> None:
    bob = add(town, "bob")
    theirs, hers = given_to(town, bob), given_to(town, ada)
    with pytest.raises(Forbidden, match="not yours"):
        run_sync(end(worker(town, ada), TaskEnd(theirs.id)))  # type: ignore[operator]
    assert run_sync(town.store.task(theirs.id)) == theirs
    assert run_sync(end(worker(town, ada), TaskEnd(hers.id))).task.state.is_terminal  # type: ignore[operator]


def test_a_worker_assigns_nothing(town: Town, ada: Agent) -> None:
    with pytest.raises(Forbidden, match=r"it needs town\.write") as caught:
        run_sync(assign(worker(town, ada), Assign("ada", "dig")))
    assert "conductor" in caught.value.hint
    assert tasks(town) == []


def test_the_current_task_is_that_of_the_caller(town: Town, ada: Agent) -> None:
    task = given_to(town, ada)
    assert run_sync(current_task(worker(town, ada), CurrentTask())).task is None

    run_sync(town.store.update_agent(ada.id, lambda agent: replace(agent, current_task=task.id)))
    for found in (current_task(worker(town, ada), CurrentTask()), current_task(town, CurrentTask("ada"))):
        shown = run_sync(found)
        assert shown.agent.name == "ada"
        assert shown.task is not None
        assert shown.task.task == task
    with pytest.raises(Invalid, match="Which agent"):
        run_sync(current_task(town, CurrentTask()))
