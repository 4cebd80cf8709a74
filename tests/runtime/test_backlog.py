"""The backlog: nothing in it is lost, and nothing in it is given twice."""

from __future__ import annotations

import threading

import pytest
from runtime_parts import add, configure, limit, worker
from towns import snapshot

from tinytown.config import BacklogSettings
from tinytown.errors import (
    AgentNotFound,
    AmbiguousId,
    Conflict,
    Forbidden,
    Full,
    Invalid,
    MailboxFull,
    TaskNotFound,
    TooLarge,
    TownError,
)
from tinytown.ids import SUPERVISOR_ID, TaskId, new_id
from tinytown.lifecycle import AgentEvent, TaskState
from tinytown.messages import Custom, TaskAssign
from tinytown.records import Agent, Task, TaskSource
from tinytown.runtime.operations.agents import Kill, kill
from tinytown.runtime.operations.backlog import (
    AddToBacklog,
    AssignAll,
    ClaimFromBacklog,
    ListBacklog,
    RemoveFromBacklog,
    add_to_backlog,
    assign_all,
    backlog_of,
    claim_from_backlog,
    list_backlog,
    remove_from_backlog,
)
from tinytown.runtime.operations.tasks import TaskEnd, complete_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import BlockingConnection, run_sync


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada", role="backend")


def item(town: Town, text: str = "dig", *tags: str) -> Task:
    return run_sync(add_to_backlog(town, AddToBacklog(text, tags))).task


def at_rest(town: Town, agent: Agent) -> Agent:
    return run_sync(town.store.update_agent(agent.id, lambda found: found.after(AgentEvent.READY)))


def mail(town: Town, agent: Agent) -> list[object]:
    return [message.body for message in run_sync(town.mailbox.peek(agent.id))]


def listed(town: Town, agent: str | None = None) -> list[str]:
    return [task.description for task in run_sync(list_backlog(town, ListBacklog(agent))).tasks]


def auto_claim(town: Town) -> None:
    configure(town, backlog=BacklogSettings(auto_claim=True))


# Adding and listing.


def test_an_item_is_a_pending_task_that_nobody_has(town: Town) -> None:
    task = item(town, "dig\r\na hole", "yard", "yard", "docs")

    assert run_sync(town.store.task(task.id)) == task
    assert (task.state, task.assigned_to, task.assigned_by) == (TaskState.PENDING, None, SUPERVISOR_ID)
    assert (task.description, task.tags, task.source) == ("dig\na hole", ("yard", "docs"), TaskSource.BACKLOG)
    assert listed(town) == ["dig\na hole"]
    assert run_sync(town.journal.latest(1))[0].type == "backlog.added"


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (AddToBacklog(" \n"), Invalid),
        (AddToBacklog("dig", ("a\tb",)), Invalid),
        (AddToBacklog("x" * 300_000), TooLarge),
    ],
)
def test_what_cannot_be_meant_is_not_added(town: Town, request_: AddToBacklog, error: type[TownError]) -> None:
    with pytest.raises(error):
        run_sync(add_to_backlog(town, request_))
    assert listed(town) == []


def test_idle_agents_that_an_item_suits_are_told_and_no_others(town: Town, ada: Agent) -> None:
    bob, eve, tom = add(town, "bob", role="docs"), add(town, "backend-2"), add(town, "backend-3")
    for agent in (ada, bob, eve):
        at_rest(town, agent)

    added = run_sync(add_to_backlog(town, AddToBacklog("dig", ("backend",))))

    assert sorted(added.woken) == ["ada", "backend-2"]
    (told,) = mail(town, ada)
    assert isinstance(told, Custom)
    assert added.task.id in told.payload
    assert (mail(town, bob), mail(town, tom)) == ([], [])


def test_an_item_without_tags_wakes_nobody(town: Town, ada: Agent) -> None:
    at_rest(town, ada)

    assert run_sync(add_to_backlog(town, AddToBacklog("dig"))).woken == ()
    assert mail(town, ada) == []


def test_with_auto_claim_they_are_rung_and_look_for_themselves(town: Town, ada: Agent) -> None:
    at_rest(town, ada)
    auto_claim(town)

    assert run_sync(add_to_backlog(town, AddToBacklog("dig", ("backend",)))).woken == ("ada",)
    assert run_sync(add_to_backlog(town, AddToBacklog("any"))).woken == ("ada",)
    assert run_sync(add_to_backlog(town, AddToBacklog("write", ("docs",)))).woken == ()
    assert mail(town, ada) == []
    assert run_sync(town.mailbox.ready()) == {ada.id}


def test_an_agent_whose_mailbox_is_full_keeps_nobody_from_adding(town: Town, ada: Agent) -> None:
    at_rest(town, ada)
    item(town, "one", "backend")
    limit(town, inbox_messages=1, town_messages=1)

    assert run_sync(add_to_backlog(town, AddToBacklog("two", ("backend",)))).woken == ()
    assert listed(town) == ["one", "two"]


def test_the_list_can_be_of_what_suits_one_agent(town: Town, ada: Agent) -> None:
    item(town, "a", "backend")
    item(town, "b", "docs")
    item(town, "c")

    assert listed(town, "ada") == ["a"]
    assert listed(town) == ["a", "b", "c"]
    with pytest.raises(AgentNotFound):
        listed(town, "nobody")


def test_entries_without_a_free_task_are_named_and_can_be_removed(town: Town, ada: Agent) -> None:
    gone, taken, free = item(town, "gone"), item(town, "taken"), item(town, "free")
    run_sync(town.connection.execute("DEL", town.keys("task", gone.id)))
    run_sync(claim_from_backlog(town, ClaimFromBacklog(taken.id, "ada")))
    run_sync(town.connection.execute("RPUSH", town.keys("backlog"), taken.id, "by hand"))

    found = run_sync(list_backlog(town, ListBacklog()))
    assert ([task.id for task in found.tasks], found.damaged) == ([free.id], (gone.id, taken.id, "by hand"))
    for identifier in found.damaged:
        removed = run_sync(remove_from_backlog(town, RemoveFromBacklog(identifier)))
        assert (removed.id, removed.task) == (identifier, None)

    assert run_sync(backlog_of(town).ids()) == [free.id]
    assert run_sync(town.store.task(taken.id)).assigned_to == ada.id


# Claiming.


def test_a_claim_gives_the_task_and_tells_the_agent(town: Town, ada: Agent) -> None:
    task = item(town)

    claimed = run_sync(claim_from_backlog(town, ClaimFromBacklog(task.id[:8], "ada")))

    stored = run_sync(town.store.task(task.id))
    assert claimed.task == stored
    assert (stored.state, stored.assigned_to, stored.assigned_by) == (TaskState.ASSIGNED, ada.id, SUPERVISOR_ID)
    assert mail(town, ada) == [TaskAssign(task.id)]
    assert listed(town) == []
    assert claimed.note is not None
    assert [event.type for event in run_sync(town.journal.latest(2))] == ["task.assigned", "message.sent"]


@pytest.mark.parametrize(
    ("task", "agent", "error"),
    [
        ("", "nobody", AgentNotFound),
        ("", None, Invalid),
        ("5f0c7c1e-8d0a-4a3e-9d52-3b6f0e9a7c11", "ada", TaskNotFound),
        ("zzzz", "ada", TaskNotFound),
    ],
)
def test_a_claim_that_is_refused_changes_nothing(
    town: Town, ada: Agent, task: str, agent: str | None, error: type[TownError]
) -> None:
    stored = item(town)
    before = run_sync(snapshot(town.connection))

    with pytest.raises(error):
        run_sync(claim_from_backlog(town, ClaimFromBacklog(task or stored.id, agent)))

    assert run_sync(snapshot(town.connection)) == before


def test_a_full_mailbox_leaves_the_item_where_it_is(town: Town, ada: Agent) -> None:
    first, second = item(town, "a"), item(town, "b")
    limit(town, inbox_messages=1)
    run_sync(claim_from_backlog(town, ClaimFromBacklog(first.id, "ada")))
    before = run_sync(snapshot(town.connection))

    with pytest.raises(MailboxFull):
        run_sync(claim_from_backlog(town, ClaimFromBacklog(second.id, "ada")))

    assert run_sync(snapshot(town.connection)) == before


def test_what_is_claimed_cannot_be_claimed_again(town: Town, ada: Agent) -> None:
    task = item(town)
    run_sync(claim_from_backlog(town, ClaimFromBacklog(task.id, "ada")))

    with pytest.raises(Conflict, match="claimed by 'ada'"):
        run_sync(claim_from_backlog(town, ClaimFromBacklog(task.id, "ada")))
    with pytest.raises(Conflict, match="claimed by 'ada'"):
        run_sync(remove_from_backlog(town, RemoveFromBacklog(task.id)))
    run_sync(complete_task(town, TaskEnd(task.id)))
    with pytest.raises(Conflict, match="it is completed"):
        run_sync(claim_from_backlog(town, ClaimFromBacklog(task.id, "ada")))


def test_a_task_that_never_was_in_the_backlog_cannot_be_claimed(town: Town, ada: Agent) -> None:
    waiting = Task("waits for others")
    run_sync(town.store.commit(town.store.change().create_task(waiting)))

    with pytest.raises(Conflict, match="is not in the backlog: it is pending"):
        run_sync(claim_from_backlog(town, ClaimFromBacklog(waiting.id, "ada")))


def test_an_ambiguous_prefix_is_refused(town: Town, ada: Agent) -> None:
    for number in range(2):
        task = Task("dig", id=TaskId(f"aaaa{number}{new_id()[5:]}"))
        run_sync(town.store.commit(backlog_of(town).put(town.store.change().create_task(task), task.id)))

    with pytest.raises(AmbiguousId):
        run_sync(claim_from_backlog(town, ClaimFromBacklog("aaaa", "ada")))


def test_of_many_that_claim_at_once_exactly_one_wins(town: Town) -> None:
    agents = [add(town, f"a{number}") for number in range(4)]
    tasks = [item(town, str(number)) for number in range(10)]
    won: list[tuple[str, str]] = []
    lost: list[TownError] = []
    start = threading.Barrier(len(agents))

    def claim_all(agent: Agent) -> None:
        with BlockingConnection(town.connection.address) as connection:
            mine = Town(town.ground, connection, town.caller, environ=town.environ)
            start.wait()
            for task in tasks:
                try:
                    run_sync(claim_from_backlog(mine, ClaimFromBacklog(task.id, agent.id)))
                    won.append((task.id, agent.id))
                except Conflict as error:
                    lost.append(error)

    threads = [threading.Thread(target=claim_all, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(task for task, _ in won) == sorted(task.id for task in tasks)
    assert len(lost) == len(tasks) * (len(agents) - 1)
    for task_id, agent_id in won:
        assert run_sync(town.store.task(TaskId(task_id))).assigned_to == agent_id
    assert sum(len(mail(town, agent)) for agent in agents) == len(tasks)


# Workers.


def test_a_worker_lists_adds_and_claims_for_itself(town: Town, ada: Agent) -> None:
    mine = worker(town, ada)
    task = run_sync(add_to_backlog(mine, AddToBacklog("follow up", ("backend",)))).task
    assert task.assigned_by == ada.id
    assert listed(mine) == ["follow up"]

    claimed = run_sync(claim_from_backlog(mine, ClaimFromBacklog(task.id)))

    assert claimed.task.assigned_to == ada.id
    assert mail(town, ada) == [TaskAssign(task.id)]


def test_a_worker_claims_for_nobody_else_and_removes_nothing(town: Town, ada: Agent) -> None:
    add(town, "bob")
    task = item(town)
    mine = worker(town, ada)

    with pytest.raises(Forbidden):
        run_sync(claim_from_backlog(mine, ClaimFromBacklog(task.id, "bob")))
    with pytest.raises(Forbidden):
        run_sync(assign_all(mine, AssignAll("ada")))
    with pytest.raises(Forbidden):
        run_sync(remove_from_backlog(mine, RemoveFromBacklog(task.id)))

    assert listed(town) == ["dig"]


# All at once.


def test_all_items_go_to_one_agent_in_their_order(town: Town, ada: Agent) -> None:
    tasks = [item(town, str(number)) for number in range(450)]

    result = run_sync(assign_all(town, AssignAll("ada")))

    assert [task.id for task in result.tasks] == [task.id for task in tasks]
    assert (result.left, result.agent.id) == (0, ada.id)
    assert mail(town, ada) == [TaskAssign(task.id) for task in tasks]
    assert listed(town) == []
    assert run_sync(assign_all(town, AssignAll("ada"))).tasks == ()


@pytest.mark.parametrize("room", [1, 2, 3, 4, 6])
def test_what_the_agent_has_no_room_for_stays(town: Town, ada: Agent, room: int) -> None:
    tasks = [item(town, str(number)) for number in range(7)]
    limit(town, inbox_messages=room)

    result = run_sync(assign_all(town, AssignAll("ada")))

    assert [task.id for task in result.tasks] == [task.id for task in tasks[:room]]
    assert result.left == 7 - room
    assert result.note is not None
    assert "full" in result.note
    assert listed(town) == [str(number) for number in range(room, 7)]
    assert len(mail(town, ada)) == room


def test_an_agent_without_any_room_is_refused_and_nothing_is_lost(town: Town, ada: Agent) -> None:
    item(town, "a")
    limit(town, inbox_messages=1)
    run_sync(assign_all(town, AssignAll("ada")))
    item(town, "b")
    item(town, "c")
    before = run_sync(snapshot(town.connection))

    with pytest.raises(Full):
        run_sync(assign_all(town, AssignAll("ada")))
    with pytest.raises(AgentNotFound):
        run_sync(assign_all(town, AssignAll("nobody")))

    assert run_sync(snapshot(town.connection)) == before


def test_damaged_entries_are_left_and_counted(town: Town, ada: Agent) -> None:
    item(town, "a")
    run_sync(town.connection.execute("RPUSH", town.keys("backlog"), "by hand"))

    result = run_sync(assign_all(town, AssignAll("ada")))

    assert (len(result.tasks), result.left) == (1, 1)


def test_a_stopped_agent_gets_them_with_a_note(town: Town, ada: Agent) -> None:
    item(town)
    run_sync(kill(town, Kill("ada")))

    result = run_sync(assign_all(town, AssignAll("ada")))

    assert result.note is not None
    assert "tt restart ada" in result.note


# Removing.


def test_a_removed_item_is_gone_with_its_task(town: Town) -> None:
    stays, goes = item(town, "stays"), item(town, "goes")

    assert run_sync(remove_from_backlog(town, RemoveFromBacklog(goes.id[:8]))).task == goes

    assert listed(town) == ["stays"]
    assert run_sync(town.store.tasks()) == [stays]
    with pytest.raises(TaskNotFound):
        run_sync(remove_from_backlog(town, RemoveFromBacklog(goes.id)))
