"""Tasks with conditions: after others, verified, reviewed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from runtime_parts import add, added, configure, worker

from tinytown.actors.pickup import may_take, suits
from tinytown.config import VerifyCommand
from tinytown.errors import Conflict, Forbidden, IllegalTransition, Invalid, InvalidName, TaskNotFound
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import TaskState
from tinytown.messages import Informational, TaskAssign
from tinytown.records import Agent, Task
from tinytown.runtime.caller import EVERYTHING, Caller, Scope
from tinytown.runtime.operations.backlog import AssignAll, ClaimFromBacklog, assign_all, claim_from_backlog
from tinytown.runtime.operations.ending import Kill, kill
from tinytown.runtime.operations.reasons import Fact
from tinytown.runtime.operations.reclaiming import Reclaim, reclaim
from tinytown.runtime.operations.tasks import (
    Assign,
    TaskEnd,
    assign,
    assign_record,
    cancel_task,
    complete_task,
    fail_task,
)
from tinytown.runtime.operations.why import Why, why
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync


@pytest.fixture
def ada(town: Town) -> Agent:
    return add(town, "ada")


def given_to(town: Town, agent: Agent, text: str = "dig", **more: object) -> Task:
    return run_sync(assign(town, Assign(agent.id, text, **more))).task  # type: ignore[arg-type]


def now(town: Town, task: Task) -> Task:
    return run_sync(town.store.task(task.id))


def mail(town: Town, agent: Agent) -> list[object]:
    return [message.body for message in run_sync(town.mailbox.peek(agent.id))]


# After others.


def test_a_task_is_told_of_when_those_before_it_are_completed(town: Town, ada: Agent) -> None:
    bob = add(town, "bob")
    first = given_to(town, ada)
    assigned = run_sync(assign(town, Assign("bob", "fill", depends_on=(first.id[:8],))))
    later = assigned.task

    assert (later.state, later.waits, later.assigned_to) == (TaskState.PENDING, True, bob.id)
    assert assigned.note == f"It will begin when completed: {first.id[:8]}"
    assert mail(town, bob) == []

    run_sync(complete_task(town, TaskEnd(first.id)))
    assert now(town, later).state is TaskState.ASSIGNED
    assert mail(town, bob) == [TaskAssign(later.id)]


def test_a_task_after_completed_ones_begins_at_once(town: Town, ada: Agent) -> None:
    first = given_to(town, ada)
    run_sync(complete_task(town, TaskEnd(first.id)))

    assert given_to(town, ada, "fill", depends_on=(first.id,)).state is TaskState.ASSIGNED


@pytest.mark.parametrize("end", [fail_task, cancel_task])
def test_a_task_after_one_that_failed_never_begins_and_that_is_said(town: Town, ada: Agent, end: object) -> None:
    first = given_to(town, ada)
    early = given_to(town, ada, "early", depends_on=(first.id,))
    run_sync(end(town, TaskEnd(first.id)))  # type: ignore[operator]
    late = run_sync(assign(town, Assign("ada", "late", depends_on=(first.id,))))

    assert now(town, early).state is TaskState.PENDING
    assert late.note is not None
    assert late.note.endswith("this one will never begin")


def test_a_task_after_one_that_does_not_exist_is_refused(town: Town, ada: Agent) -> None:
    with pytest.raises(TaskNotFound):
        given_to(town, ada, depends_on=("deadbeef",))

    assert run_sync(town.store.tasks()) == []


def test_a_waiting_task_can_be_cancelled_and_not_completed(town: Town, ada: Agent) -> None:
    first = given_to(town, ada)
    later = given_to(town, ada, "later", depends_on=(first.id,))
    with pytest.raises(IllegalTransition):
        run_sync(complete_task(town, TaskEnd(later.id)))
    run_sync(cancel_task(town, TaskEnd(later.id)))
    run_sync(complete_task(town, TaskEnd(first.id)))

    assert now(town, later).state is TaskState.CANCELLED
    assert run_sync(town.store.waiting.part()) == (0, [])


def test_a_dependency_that_is_completed_at_that_very_moment_is_not_missed(
    town: Town, ada: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = given_to(town, ada)
    commit = town.store.commit
    raced = []

    async def late(change: object) -> None:
        if not raced:
            raced.append(change)
            await town.store.update_task(first.id, lambda found: found.complete("just now"))
        await commit(change)  # type: ignore[arg-type]

    monkeypatch.setattr(town.store, "commit", late)
    later = given_to(town, ada, "later", depends_on=(first.id,))

    assert later.state is TaskState.ASSIGNED


def test_a_record_that_is_there_already_is_a_conflict(town: Town, ada: Agent) -> None:
    first = given_to(town, ada)
    with pytest.raises(Conflict, match="is there already"):
        run_sync(assign_record(town, Task("x", id=first.id), ada))


# Reviewed.


def test_a_reviewer_need_not_be_there_yet_and_is_not_the_worker(town: Town, ada: Agent) -> None:
    assert given_to(town, ada, review="rex").review == "rex"
    assert given_to(town, ada, review="conductor").review == "conductor"
    with pytest.raises(Invalid, match="cannot review its own work"):
        given_to(town, ada, review="ada")
    with pytest.raises(InvalidName):
        given_to(town, ada, review="no name")


def test_a_worker_only_claims_what_has_a_reviewer(town: Town, ada: Agent) -> None:
    task = given_to(town, ada, review="rex")
    run_sync(town.store.update_task(task.id, lambda found: found.start()))

    view = run_sync(complete_task(worker(town, ada), TaskEnd(task.id, "I did")))

    assert (view.task.state, view.task.claim, view.task.result) == (TaskState.RUNNING, "I did", None)
    assert run_sync(town.store.agent(ada.id)).tasks_completed == 0
    assert mail(town, run_sync(town.store.agent(SUPERVISOR_ID))) == []


def test_the_word_of_a_person_completes_it(town: Town, ada: Agent) -> None:
    task = given_to(town, ada, review="rex", verify=("make test",))
    run_sync(complete_task(worker(town, ada), TaskEnd(task.id, "I did")))

    view = run_sync(complete_task(town, TaskEnd(task.id)))

    assert (view.task.state, view.task.result) == (TaskState.COMPLETED, "I did")


def in_review(town: Town, ada: Agent) -> tuple[Task, Task]:
    """A task of Ada's, and its review in the hands of Rex."""
    rex = add(town, "rex")
    task = given_to(town, ada, review="rex")
    review = replace(Task("review it", review_of=task.id).assign(rex.id))
    run_sync(town.store.commit(town.store.change().create_task(review)))
    task = run_sync(
        town.store.update_task(
            task.id, lambda found: replace(found.start(), claim="I did", waits=True, review_task=review.id)
        )
    )
    return task, review


def test_the_reviewer_decides_with_the_usual_commands(town: Town, ada: Agent) -> None:
    task, review = in_review(town, ada)
    rex = worker(town, run_sync(town.store.find_agent("rex")))

    run_sync(complete_task(rex, TaskEnd(review.id, "good")))

    assert (now(town, task).state, now(town, task).result) == (TaskState.COMPLETED, "I did")


def test_what_is_in_review_is_not_claimed_again(town: Town, ada: Agent) -> None:
    task, _ = in_review(town, ada)
    with pytest.raises(Conflict, match="in review already"):
        run_sync(complete_task(worker(town, ada), TaskEnd(task.id, "I really did")))


@pytest.mark.parametrize("end", [complete_task, fail_task, cancel_task])
def test_nobody_reviews_what_has_ended(town: Town, ada: Agent, end: object) -> None:
    task, review = in_review(town, ada)

    run_sync(end(town, TaskEnd(task.id, "enough")))  # type: ignore[operator]

    assert now(town, review).state is TaskState.CANCELLED
    assert run_sync(town.store.waiting.part()) == (0, [])


# Verified.


def test_a_worker_only_claims_what_has_to_be_verified(town: Town, ada: Agent) -> None:
    own = given_to(town, ada, verify=("make test",))
    plain = given_to(town, ada)
    assert run_sync(complete_task(worker(town, ada), TaskEnd(own.id, "x"))).task.claim == "x"

    configure(town, verify=(VerifyCommand(name="all", command="make test"),))
    assert run_sync(complete_task(worker(town, ada), TaskEnd(plain.id, "y"))).task.claim == "y"


def test_a_worker_can_still_give_up_what_has_to_be_verified(town: Town, ada: Agent) -> None:
    task = given_to(town, ada, verify=("make test",), review="rex")

    assert run_sync(fail_task(worker(town, ada), TaskEnd(task.id, "no"))).task.state is TaskState.FAILED


def test_a_command_that_cannot_be_run_is_refused(town: Town, ada: Agent) -> None:
    for command in ("make 'test", "", "  "):
        with pytest.raises(Invalid, match="The command of --verify"):
            given_to(town, ada, verify=(command,))


def test_whoever_may_not_manage_agents_names_no_commands(town: Town, ada: Agent) -> None:
    scopes = EVERYTHING - {Scope.MANAGE, Scope.ADMIN}
    visitor = Town(town.ground, town.connection, Caller("person", SUPERVISOR_ID, "api", scopes), environ=town.environ)
    assert given_to(visitor, ada).state is TaskState.ASSIGNED
    with pytest.raises(Forbidden):
        given_to(visitor, ada, verify=("curl evil",))


def test_a_cancelled_task_tells_its_agent(town: Town, ada: Agent) -> None:
    task, _ = in_review(town, ada)
    run_sync(cancel_task(town, TaskEnd(task.id, "enough")))

    assert Informational(f"Task {task.id} was cancelled. enough") in mail(town, ada)


# Beside everything else.


def test_what_an_ended_agent_has_in_review_stays_with_its_reviewer(town: Town, ada: Agent) -> None:
    task, review = in_review(town, ada)
    waiting = given_to(town, ada, "later", depends_on=(task.id,))
    run_sync(town.connection.execute("DEL", town.keys("inbox", ada.id)))
    run_sync(kill(town, Kill("ada")))
    run_sync(reclaim(town, Reclaim(to_backlog=True)))
    assert (now(town, task).review_task, now(town, task).assigned_to) == (review.id, ada.id)
    assert now(town, waiting).waits

    bob = add(town, "bob")
    run_sync(reclaim(town, Reclaim(to="bob")))
    assert (now(town, task).assigned_to, now(town, waiting).assigned_to) == (bob.id, bob.id)
    run_sync(complete_task(town, TaskEnd(review.id)))
    assert now(town, task).state is TaskState.COMPLETED
    assert mail(town, bob) == [TaskAssign(waiting.id)]


def test_it_can_be_asked_why_a_task_waits_for_a_person(town: Town, ada: Agent) -> None:
    task, review = in_review(town, ada)
    assert run_sync(why(town, Why(task.id))).fact is Fact.IN_REVIEW
    run_sync(cancel_task(town, TaskEnd(review.id)))

    answer = run_sync(why(town, Why(task.id)))

    assert answer.fact is Fact.FOR_A_PERSON
    assert "its review was cancelled" in answer.sentence


def test_the_tag_that_a_plan_gives_names_no_role(town: Town) -> None:
    tests = add(town, "tests")
    for task, suited, takes in (
        (Task("x", plan_id="auth-tests", tags=("plan:auth-tests",)), False, True),
        (Task("x", plan_id="auth-tests", tags=("api", "plan:auth-tests")), False, False),
        (Task("x", plan_id="auth-tests", tags=("tests", "plan:auth-tests")), True, True),
        (Task("x", tags=("plan:auth-tests",)), True, True),
    ):
        assert (suits(task, tests), may_take(task, tests)) == (suited, takes), task


async def test_a_program_that_completes_a_task_lets_go_on_what_waits_for_it(made: Path) -> None:
    async with Town.connect(made) as opened:
        ada = await added(opened, "ada")
        first = Task("first").assign(ada.id)
        await opened.channel.set_task(first)
        later = (await assign(opened, Assign("ada", "later", depends_on=(first.id,)))).task
        await opened.channel.set_task(first.complete("done"))

        assert not (await opened.store.task(later.id)).waits


def test_what_waits_for_others_lies_free_for_nobody(town: Town, ada: Agent) -> None:
    """Also when its id got into the list, by hand or by a race."""
    task = Task("later", depends_on=(given_to(town, ada).id,), waits=True)
    run_sync(town.store.commit(town.store.change().create_task(task).write("RPUSH", town.keys("backlog"), task.id)))

    with pytest.raises(Conflict, match="is not in the backlog"):
        run_sync(claim_from_backlog(town, ClaimFromBacklog(task.id, "ada")))
    assert run_sync(assign_all(town, AssignAll("ada"))).tasks == ()
    assert now(town, task).state is TaskState.PENDING
