"""A push means the same however often it is done; a pull says how things stand."""

from __future__ import annotations

from typing import Any

import pytest
from runtime_parts import add, limit, worker
from towns import snapshot

from tinytown.errors import Forbidden, Invalid, MailboxFull, TooLarge, Untrusted
from tinytown.ids import SUPERVISOR_ID, TaskId, is_id
from tinytown.lifecycle import TaskState
from tinytown.messages import TaskAssign
from tinytown.plan import InvalidPlan, parse_plan
from tinytown.records import Agent, Task, TaskSource
from tinytown.runtime.caller import EVERYTHING, Caller, Scope
from tinytown.runtime.operations.backlog import ClaimFromBacklog, claim_from_backlog
from tinytown.runtime.operations.plan import MOST, Pull, Pulled, Push, Pushed, pull, push, task_id_of
from tinytown.runtime.operations.tasks import Assign, TaskEnd, assign, complete_task, fail_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync

PIPELINE = """
[meta]
description = "A pipeline"

[[tasks]]
id = "epic"
description = "All of it"

[[tasks]]
id = "design"
description = "Design it"
agent = "ada"
parent = "epic"
tags = ["design"]

[[tasks]]
id = "build"
description = "Build it"
agent = "bob"
parent = "epic"
depends_on = ["design"]

[[tasks]]
id = "test"
description = "Test it"
agent = "ada"
after = ["build", "design"]
"""


def entry(plan_id: str, *lines: str, text: str = "do it") -> str:
    return "\n".join(["[[tasks]]", f'id = "{plan_id}"', f'description = "{text}"', *lines, ""])


def pushed(town: Town, text: str, **given: Any) -> Pushed:
    return run_sync(push(town, Push(text, **given)))


def pulled(town: Town, text: str | None, *, everything: bool = False) -> Pulled:
    return run_sync(pull(town, Pull(text, everything=everything)))


def task(town: Town, plan_id: str) -> Task:
    return run_sync(town.store.task(task_id_of(plan_id)))


def states(town: Town) -> dict[str | None, str]:
    return {each.plan_id: each.state.value for each in run_sync(town.store.tasks())}


def mail(town: Town, agent: Agent) -> list[object]:
    return [message.body for message in run_sync(town.mailbox.peek(agent.id))]


def backlog(town: Town) -> list[str]:
    raws: Any = run_sync(town.connection.execute("LRANGE", town.keys("backlog"), 0, -1))
    return [raw.decode() for raw in raws]


NONE_LIVES = "No runtime is alive: it will begin after 'tt start'"


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada")


@pytest.fixture
def bob(town: Town) -> Agent:
    return add(town, "bob")


# Push.


def test_every_entry_becomes_a_task_with_its_agent_and_its_place(town: Town, ada: Agent, bob: Agent) -> None:
    result = pushed(town, PIPELINE)

    assert (len(result.tasks), result.created, result.changed, result.notes) == (4, 4, 0, (NONE_LIVES,))
    assert states(town) == {"epic": "pending", "design": "assigned", "build": "pending", "test": "pending"}
    design, build = task(town, "design"), task(town, "build")
    assert (design.parent_id, design.tags, design.source) == (
        task_id_of("epic"), ("design", "plan:design"), TaskSource.PLAN,
    )  # fmt: skip
    assert (build.assigned_to, build.waits, build.depends_on) == (bob.id, True, (design.id,))
    assert build.assigned_by == SUPERVISOR_ID
    assert mail(town, ada) == [TaskAssign(design.id)]
    assert mail(town, bob) == []
    assert backlog(town) == [task_id_of("epic")]
    assert [each.plan_id for each in run_sync(town.store.tasks())] == ["epic", "design", "build", "test"]


def test_tasks_run_in_the_order_of_what_they_depend_on(town: Town, ada: Agent, bob: Agent) -> None:
    pushed(town, PIPELINE)
    run_sync(complete_task(town, TaskEnd(task_id_of("design"))))
    assert states(town) == {"epic": "pending", "design": "completed", "build": "assigned", "test": "pending"}
    run_sync(complete_task(town, TaskEnd(task_id_of("build"))))

    assert task(town, "test").state is TaskState.ASSIGNED


def test_pushing_again_changes_nothing(town: Town, ada: Agent, bob: Agent) -> None:
    first = pushed(town, PIPELINE)
    before = run_sync(snapshot(town.connection))
    again = pushed(town, PIPELINE)

    assert (again.created, again.changed) == (0, 0)
    assert again.tasks == first.tasks
    assert run_sync(snapshot(town.connection)) == before


def test_the_id_of_a_task_follows_from_that_of_the_plan() -> None:
    assert is_id(task_id_of("auth-api"))
    assert task_id_of("auth-api") != task_id_of("auth-API")
    own = "550e8400-e29b-41d4-a716-446655440000"
    assert task_id_of(own) == own


def test_the_default_agent_is_that_of_entries_that_name_none(town: Town, ada: Agent) -> None:
    pushed(town, '[meta]\ndefault_agent = "ada"\n' + entry("a"))

    assert task(town, "a").assigned_to == ada.id


def test_the_conductor_can_be_given_a_task(town: Town) -> None:
    pushed(town, entry("a", 'agent = "conductor"'))

    assert task(town, "a").assigned_to == SUPERVISOR_ID
    assert mail(town, run_sync(town.store.agent(SUPERVISOR_ID))) == [TaskAssign(task_id_of("a"))]


def test_a_task_for_an_agent_that_is_not_there_yet_waits_in_the_backlog_for_it(town: Town) -> None:
    text = entry("a", 'agent = "ada"', 'tags = ["x"]')
    result = pushed(town, text)
    assert result.notes == ("Task 'a' waits in the backlog: no agent is called 'ada' yet",)
    assert (backlog(town), task(town, "a").tags) == ([task_id_of("a")], ("x", "ada", "plan:a"))

    ada = add(town, "ada")
    assert pushed(town, text).changed == 1
    assert (backlog(town), task(town, "a").tags) == ([], ("x", "plan:a"))
    assert mail(town, ada) == [TaskAssign(task_id_of("a"))]


def test_a_waiting_task_without_an_agent_gets_into_the_backlog_when_it_may_begin(town: Town, ada: Agent) -> None:
    pushed(town, entry("a", 'agent = "ada"') + entry("b", 'after = ["a"]'))
    assert backlog(town) == []
    run_sync(complete_task(town, TaskEnd(task_id_of("a"))))

    assert backlog(town) == [task_id_of("b")]


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled"])
def test_what_has_ended_in_the_file_is_not_sent_to_anybody(town: Town, ada: Agent, state: str) -> None:
    text = entry("a", 'agent = "ada"', f'status = "{state}"', 'result = "as it was"')
    result = pushed(town, text + entry("b", 'agent = "ada"', 'after = ["a"]'))

    first, second = task(town, "a"), task(town, "b")
    assert (first.state, first.result, first.assigned_to) == (state, "as it was", ada.id)
    assert first.completed_at is not None
    done = state == "completed"
    assert second.state is (TaskState.ASSIGNED if done else TaskState.PENDING)
    assert result.notes == ((NONE_LIVES,) if done else (f"Task 'b' will not begin: 'a' is {state}",))
    assert mail(town, ada) == ([TaskAssign(second.id)] if done else [])


@pytest.mark.parametrize("state", ["assigned", "running"])
def test_what_only_had_begun_in_the_file_begins_anew(town: Town, ada: Agent, state: str) -> None:
    pushed(town, entry("a", 'agent = "ada"', f'status = "{state}"'))

    assert task(town, "a").state is TaskState.ASSIGNED


# Push again, after an edit.


def test_what_has_not_begun_is_brought_up_to_date(town: Town, ada: Agent) -> None:
    pushed(town, entry("a", 'agent = "ada"'))
    result = pushed(town, entry("a", 'agent = "ada"', 'tags = ["new"]', 'review = "bob"', text="do it better"))

    after = task(town, "a")
    assert (result.created, result.changed) == (0, 1)
    assert (after.description, after.tags, after.review) == ("do it better", ("new", "plan:a"), "bob")
    assert mail(town, ada) == [TaskAssign(after.id)]


def test_a_task_goes_to_another_agent(town: Town, ada: Agent, bob: Agent) -> None:
    pushed(town, entry("a", 'agent = "ada"'))
    pushed(town, entry("a", 'agent = "bob"'))

    assert task(town, "a").assigned_to == bob.id
    assert mail(town, bob) == [TaskAssign(task_id_of("a"))]


def test_a_task_leaves_the_backlog_for_an_agent(town: Town, ada: Agent) -> None:
    pushed(town, entry("a"))
    pushed(town, entry("a", 'agent = "ada"'))

    assert (backlog(town), task(town, "a").state) == ([], TaskState.ASSIGNED)


def test_an_entry_without_an_agent_leaves_the_task_to_who_claimed_it(town: Town, ada: Agent) -> None:
    pushed(town, entry("a"))
    run_sync(claim_from_backlog(town, ClaimFromBacklog(task_id_of("a"), "ada")))
    result = pushed(town, entry("a", text="do it well"))

    after = task(town, "a")
    assert (result.changed, after.assigned_to, after.description) == (1, ada.id, "do it well")
    assert backlog(town) == []


def test_a_new_dependency_holds_back_what_has_not_begun(town: Town, ada: Agent, bob: Agent) -> None:
    one, two = entry("a", 'agent = "ada"'), entry("b", 'agent = "bob"')
    free = entry("c")
    pushed(town, one + two + free)
    pushed(town, one + entry("b", 'agent = "bob"', 'after = ["a"]') + entry("c", 'after = ["a"]'))

    assert states(town) == {"a": "assigned", "b": "pending", "c": "pending"}
    assert backlog(town) == []
    run_sync(complete_task(town, TaskEnd(task_id_of("a"))))
    assert (task(town, "b").state, task(town, "b").assigned_to) == (TaskState.ASSIGNED, bob.id)
    assert backlog(town) == [task_id_of("c")]


def test_a_dependency_that_is_taken_away_lets_the_task_begin(town: Town, ada: Agent, bob: Agent) -> None:
    one = entry("a", 'agent = "ada"')
    pushed(town, one + entry("b", 'agent = "bob"', 'after = ["a"]') + entry("c", 'after = ["a"]'))
    pushed(town, one + entry("b", 'agent = "bob"') + entry("c"))

    assert states(town) == {"a": "assigned", "b": "assigned", "c": "pending"}
    assert mail(town, bob) == [TaskAssign(task_id_of("b"))]
    assert backlog(town) == [task_id_of("c")]
    assert run_sync(town.store.waiting.part()) == (0, [])


def test_what_runs_or_has_ended_is_left_alone_and_that_is_said(town: Town, ada: Agent) -> None:
    both = entry("a", 'agent = "ada"') + entry("b", 'agent = "ada"')
    pushed(town, both)
    run_sync(town.store.update_task(task_id_of("a"), lambda found: found.start()))
    run_sync(fail_task(town, TaskEnd(task_id_of("b"), "no")))
    before = run_sync(snapshot(town.connection))
    result = pushed(town, both.replace("do it", "do something else"))

    assert result.notes == (
        "Task 'a' is running: what was changed in its entry is left out",
        "Task 'b' is failed: what was changed in its entry is left out",
    )
    assert run_sync(snapshot(town.connection)) == before


def test_an_entry_that_is_taken_out_of_the_file_leaves_its_task_alone(town: Town, ada: Agent) -> None:
    pushed(town, entry("a", 'agent = "ada"') + entry("b"))
    pushed(town, entry("b"))

    assert task(town, "a").state is TaskState.ASSIGNED


# All or nothing.


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (entry("a") + entry("a"), InvalidPlan, "line 4: id"),
        (entry("a", f'tags = ["{"x" * 65}"]'), Invalid, "line 1: The tag"),
        (entry("a", 'agent = "ada"', 'review = "ada"'), Invalid, "line 1: Agent 'ada' cannot review its own work"),
        (entry("a", 'verify = ["make \'x"]'), Invalid, "line 1: The command of --verify cannot be split"),
        (entry("a", text="x" * 300_000), TooLarge, "line 1: The description has"),
        (entry("a", 'agent = "-"'), InvalidPlan, "line 1: agent"),
    ],
)
def test_one_bad_entry_refuses_all(town: Town, ada: Agent, text: str, error: type[Invalid], said: str) -> None:
    before = run_sync(snapshot(town.connection))
    with pytest.raises(error, match=said):
        pushed(town, text + entry("z", 'agent = "ada"'), allow_verify=True)

    assert run_sync(snapshot(town.connection)) == before


def test_a_mailbox_that_cannot_take_its_tasks_refuses_all(town: Town, ada: Agent, bob: Agent) -> None:
    limit(town, inbox_messages=2)
    text = entry("x", 'agent = "bob"') + "".join(entry(f"t{number}", 'agent = "ada"') for number in range(3))
    before = run_sync(snapshot(town.connection))
    with pytest.raises(MailboxFull):
        pushed(town, text)

    assert run_sync(snapshot(town.connection)) == before


def test_a_large_plan_is_pushed_at_once_and_one_too_large_not_at_all(town: Town, ada: Agent) -> None:
    text = "".join(entry(f"t{number}", 'agent = "ada"') for number in range(MOST))
    assert pushed(town, text).created == MOST
    assert run_sync(town.mailbox.waiting(ada.id)) == MOST

    with pytest.raises(InvalidPlan, match="at most 2,000 are pushed"):
        pushed(town, text + entry("more"))


def test_two_that_push_at_once_push_once(town: Town, ada: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Town(town.ground, town.connection, town.caller, environ=town.environ)
    commit, text = town.store.commit, entry("a", 'agent = "ada"')

    async def late(change: Any) -> None:
        monkeypatch.setattr(town.store, "commit", commit)
        await push(other, Push(text))
        await commit(change)

    monkeypatch.setattr(town.store, "commit", late)

    assert pushed(town, text).created == 0
    assert mail(town, ada) == [TaskAssign(task_id_of("a"))]


def test_a_dependency_that_ends_during_the_push_is_not_missed(
    town: Town, ada: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = entry("a", 'agent = "ada"')
    pushed(town, first)
    commit = town.store.commit

    async def late(change: Any) -> None:
        monkeypatch.setattr(town.store, "commit", commit)
        await complete_task(town, TaskEnd(task_id_of("a")))
        await commit(change)

    monkeypatch.setattr(town.store, "commit", late)
    pushed(town, first + entry("b", 'agent = "ada"', 'after = ["a"]'))

    assert task(town, "b").state is TaskState.ASSIGNED


# What runs commands.


def test_commands_of_a_plan_run_only_when_they_were_accepted(town: Town, ada: Agent) -> None:
    text = entry("a", 'agent = "ada"', 'verify = ["make test"]')
    with pytest.raises(Untrusted, match="a: make test"):
        pushed(town, text)
    assert states(town) == {}

    assert pushed(town, text, allow_verify=True).tasks[0].verify == ("make test",)
    assert pushed(town, text).changed == 0
    with pytest.raises(Untrusted, match="curl evil"):
        pushed(town, text.replace("make test", "curl evil"))


def test_who_may_push(town: Town, ada: Agent) -> None:
    with pytest.raises(Forbidden):
        run_sync(push(worker(town, ada), Push(entry("a"))))
    scopes = EVERYTHING - {Scope.MANAGE, Scope.ADMIN}
    visitor = Town(town.ground, town.connection, Caller("person", SUPERVISOR_ID, "api", scopes), environ=town.environ)
    assert pushed(visitor, entry("a")).created == 1
    with pytest.raises(Forbidden):
        pushed(visitor, entry("b", 'verify = ["make test"]'), allow_verify=True)


# Pull.


def test_a_pull_writes_down_how_things_stand(town: Town, ada: Agent, bob: Agent) -> None:
    pushed(town, PIPELINE)
    run_sync(complete_task(town, TaskEnd(task_id_of("design"), "drew it")))
    run_sync(claim_from_backlog(town, ClaimFromBacklog(task_id_of("epic"), "bob")))
    result = pulled(town, PIPELINE)

    epic, design, build, test = parse_plan(result.text).entries
    assert (result.count, result.added, result.missing) == (4, 0, ())
    assert (epic.status, epic.agent) == ("assigned", "bob")
    assert (design.status, design.result) == ("completed", "drew it")
    assert (build.status, test.status) == ("assigned", "pending")
    assert pushed(town, result.text).changed == 0


def test_a_pull_changes_nothing_in_the_town(town: Town, ada: Agent) -> None:
    pushed(town, PIPELINE)
    before = run_sync(snapshot(town.connection))
    pulled(town, PIPELINE, everything=True)

    assert run_sync(snapshot(town.connection)) == before


def test_entries_that_were_never_pushed_are_named(town: Town) -> None:
    result = pulled(town, entry("a"))

    assert (result.text, result.count, result.missing) == (entry("a"), 0, ("a",))


def test_tasks_that_are_not_in_the_file_are_added_when_everything_is_asked_for(town: Town, ada: Agent) -> None:
    pushed(town, entry("a", 'agent = "ada"') + entry("b", 'after = ["a"]'))
    other = run_sync(assign(town, Assign("ada", "by hand", tags=("x",), depends_on=(task_id_of("a"),)))).task
    assert pulled(town, entry("a")).added == 0

    result = pulled(town, entry("a"), everything=True)
    _a, b, by_hand = parse_plan(result.text).entries
    assert (result.count, result.added) == (3, 2)
    assert (b.id, b.depends_on, b.tags) == ("b", ("a",), ())
    assert (by_hand.id, by_hand.agent, by_hand.tags, by_hand.depends_on) == (other.id, "ada", ("x",), ("a",))

    before = run_sync(snapshot(town.connection))
    again = pushed(town, result.text)
    assert (again.created, again.changed) == (0, 0)
    assert run_sync(snapshot(town.connection)) == before


def test_without_a_file_the_plan_is_written_anew(town: Town, ada: Agent) -> None:
    pushed(town, PIPELINE)
    run_sync(assign(town, Assign("ada", "by hand")))
    result = pulled(town, None)

    assert [each.id for each in parse_plan(result.text).entries] == ["epic", "design", "build", "test"]
    assert result.added == 4


def test_a_pull_into_what_is_no_plan_is_refused(town: Town) -> None:
    with pytest.raises(InvalidPlan):
        pulled(town, "x = 1\n")


def test_a_review_is_no_task_of_the_plan(town: Town, ada: Agent) -> None:
    review = Task("review it", review_of=TaskId(task_id_of("a")))
    run_sync(town.store.commit(town.store.change().create_task(review)))

    assert pulled(town, "", everything=True).added == 0
