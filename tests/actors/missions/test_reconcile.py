"""What has become of the tasks of a mission, case by case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from plans import NOW, mission_of

from tinytown.actors.missions import outcomes
from tinytown.actors.missions.actions import Plan
from tinytown.actors.missions.reconcile import Town, finished, open_tasks, reconciled, workers
from tinytown.ids import AgentId, TaskId, WorkItemId
from tinytown.lifecycle import AgentState, TaskState, WatchState, WorkItemState
from tinytown.mission_records import EXTERNAL_GATE, Watch
from tinytown.records import Agent, Task

FIRST = WorkItemId("item-1")
ADA = Agent(name="ada", cli="any", state=AgentState.IDLE)
WORK, REVIEW, REPAIR = TaskId("work"), TaskId("review"), TaskId("repair")


def town(*tasks: Task, ada: AgentState | None = AgentState.WORKING) -> Town:
    agents = {} if ada is None else {ADA.id: replace(ADA, state=ada)}
    return Town(agents, {task.id: task for task in tasks})


def task(task_id: TaskId, then: Callable[[Task], Task] = lambda task: task) -> Task:
    return then(Task("do it", id=task_id).assign(ADA.id))


def in_work(attempts: int = 1) -> Plan:
    plan = mission_of({1: []})
    item = replace(plan.item(FIRST), state=WorkItemState.ASSIGNED, assigned_to=ADA.id, task_id=WORK, attempts=attempts)
    return plan.with_item(item)


def in_review(task_id: TaskId | None = REVIEW) -> Plan:
    plan = in_work()
    held = outcomes.work_ended(plan.mission, plan.item(FIRST), NOW, pull="o/r#40", head="aa")
    return plan.with_item(replace(held, review_task_id=task_id))


def in_repair(**fields: object) -> Plan:
    plan = in_review(None)
    watch = Watch(plan.mission.id, FIRST, "pr_checks", "o/r#40", head="aa", fix_task_id=REPAIR, findings=("lint",))
    return replace(plan, watches=(replace(watch, **{"handled": ("pr_checks/aa",), **fields}),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("there", "state", "reason"),
    [
        (town(task(WORK)), WorkItemState.ASSIGNED, None),
        (town(task(WORK, Task.start)), WorkItemState.RUNNING, None),
        (town(task(WORK, lambda task: task.complete("did"))), WorkItemState.ASSIGNED, None),
        (town(task(WORK, lambda task: task.fail("no\nway"))), WorkItemState.READY, "the task was failed: no way"),
        (town(task(WORK, lambda task: task.cancel())), WorkItemState.READY, "the task was cancelled: no reason given"),
        (town(), WorkItemState.READY, "its task is gone"),
        (town(task(WORK), ada=AgentState.STOPPED), WorkItemState.READY, "its agent has ended"),
        (town(task(WORK), ada=AgentState.ERROR), WorkItemState.READY, "its agent has ended"),
        (town(task(WORK), ada=AgentState.PAUSED), WorkItemState.ASSIGNED, None),
        (town(task(WORK), ada=None), WorkItemState.READY, "its agent has ended"),
        (town(task(WORK, Task.release), ada=None), WorkItemState.ASSIGNED, None),
    ],
)
def test_what_a_task_of_work_has_come_to(there: Town, state: WorkItemState, reason: str | None) -> None:
    item = reconciled(in_work(), there, NOW).item(FIRST)

    assert (item.state, item.reason) == (state, reason)


def test_work_that_was_completed_is_left_to_whoever_looks_for_its_pull_request() -> None:
    plan, there = in_work(), town(task(WORK, lambda task: task.complete("did")))

    assert [(item.id, done.result) for item, done in finished(plan, there)] == [(FIRST, "did")]
    assert reconciled(plan, there, NOW) == plan


def test_work_that_was_put_aside_goes_to_a_person_and_to_nobody_else_by_itself() -> None:
    there = replace(town(task(WORK)), aside={WORK})

    item = reconciled(in_work(), there, NOW).item(FIRST)

    assert (item.state, item.waits_for) == (WorkItemState.BLOCKED, "person")
    assert "tt dlq" in str(item.reason)


def test_a_review_and_a_repair_that_were_put_aside_are_asked_for_again() -> None:
    assert reconciled(in_review(), replace(town(task(REVIEW)), aside={REVIEW}), NOW).item(FIRST).review_task_id is None
    plan = reconciled(in_repair(), replace(town(task(REPAIR)), aside={REPAIR}), NOW)
    assert plan.watches[0].handled == ("lost/pr_checks/aa",)


def test_an_item_follows_its_task_to_another_agent() -> None:
    other = AgentId("other")
    there = Town({other: replace(ADA, id=other)}, {WORK: task(WORK, lambda task: task.assign(other))})

    assert reconciled(in_work(), there, NOW).item(FIRST).assigned_to == other


def test_what_comes_back_too_often_waits_for_a_person() -> None:
    item = reconciled(in_work(outcomes.MOST_ATTEMPTS), town(), NOW).item(FIRST)

    assert (item.state, item.waits_for) == (WorkItemState.BLOCKED, "person")


@pytest.mark.parametrize(
    ("result", "waits_for", "approved"),
    [("APPROVED", "merge", "aa"), ("REJECTED: no tests", None, None), ("Looks fine", "review", None)],
)
def test_a_review_counts_by_what_it_says_at_its_beginning(
    result: str, waits_for: str | None, approved: str | None
) -> None:
    there = town(task(REVIEW, lambda task: task.complete(result)))

    item = reconciled(in_review(), there, NOW).item(FIRST)

    assert (item.waits_for, item.approved_head, item.review_task_id) == (waits_for, approved, None)


@pytest.mark.parametrize(
    "there", [town(), town(task(REVIEW), ada=AgentState.STOPPED), town(task(REVIEW, lambda task: task.fail("no")))]
)
def test_a_review_that_came_to_no_end_may_be_asked_for_again(there: Town) -> None:
    item = reconciled(in_review(), there, NOW).item(FIRST)

    assert (item.waits_for, item.review_task_id) == ("review", None)


def test_a_repair_that_is_done_is_looked_at_at_once() -> None:
    plan = in_repair(next_due_at="2099-01-01T00:00:00.000Z")

    (watch,) = reconciled(plan, town(task(REPAIR, lambda task: task.complete("did"))), NOW).watches

    assert (watch.fix_task_id, watch.next_due_at) == (None, NOW)
    assert "pr_checks/aa" in watch.handled


def test_a_repair_that_cannot_be_done_waits_for_a_person() -> None:
    plan = reconciled(in_repair(), town(task(REPAIR, lambda task: task.fail("too hard"))), NOW)

    assert (plan.item(FIRST).waits_for, plan.watches[0].fix_task_id) == ("person", None)
    assert "too hard" in str(plan.item(FIRST).reason)


@pytest.mark.parametrize("there", [town(), town(task(REPAIR, lambda task: task.cancel()))])
def test_a_repair_that_was_given_back_is_forgotten_as_asked_for_and_in_the_end_a_person_looks(there: Town) -> None:
    plan = reconciled(in_repair(), there, NOW)
    assert (plan.watches[0].fix_task_id, plan.watches[0].handled) == (None, ("lost/pr_checks/aa",))
    assert plan.item(FIRST).waits_for == "review"

    often = tuple(f"lost/pr_checks/{number}" for number in range(outcomes.MOST_ATTEMPTS - 1))
    assert reconciled(in_repair(handled=(*often, "pr_checks/aa")), there, NOW).item(FIRST).waits_for == "person"


def test_the_watches_of_what_is_done_end_and_its_gates_serve_the_others() -> None:
    plan = in_repair()
    gate = Watch(plan.mission.id, FIRST, EXTERNAL_GATE, "o/r#9")
    plan = replace(plan.with_item(replace(plan.item(FIRST), state=WorkItemState.DONE)), watches=(*plan.watches, gate))

    watches = reconciled(plan, town(task(REPAIR)), NOW).watches

    assert [(watch.state, watch.fix_task_id) for watch in watches] == [
        (WatchState.DONE, None),
        (WatchState.ACTIVE, None),
    ]


def test_the_mission_waits_for_what_is_open_and_for_nothing_else() -> None:
    assert open_tasks(in_work()) == {WORK}
    assert open_tasks(in_review()) == {REVIEW}
    assert open_tasks(in_repair()) == {REPAIR}


def test_who_has_a_task_or_does_something_is_not_idle_and_who_ends_gets_nothing() -> None:
    states = (AgentState.IDLE, AgentState.IDLE, AgentState.WORKING, AgentState.DRAINING, AgentState.STOPPED)
    agents = [replace(ADA, id=AgentId(str(number)), state=state) for number, state in enumerate(states)]
    busy = Task("do", state=TaskState.ASSIGNED, assigned_to=AgentId("1"))

    assert [(worker.id, worker.idle, worker.load) for worker in workers(agents, [busy])] == [
        ("0", True, 0),
        ("1", False, 1),
        ("2", False, 0),
    ]
