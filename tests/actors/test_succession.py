"""What waited for the end of a task goes on, once, and nothing else does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import Run, Runtime, Stage, good, settle_down, until
from towns import Parts, snapshot
from trio.testing import MockClock
from twin import Twin

from tinytown.actors import succession
from tinytown.actors.drivers.text import TurnResult
from tinytown.actors.reviews import NO_VERDICT
from tinytown.config import Limits
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId
from tinytown.lifecycle import AgentEvent, TaskState
from tinytown.messages import Informational, Message, Query, TaskAssign, TaskDone
from tinytown.records import Agent, Task
from tinytown.transport.blocking import run_sync


async def wait_for(town: Parts, agent: Agent | None, *needs: Task, text: str = "later", **given: Any) -> Task:
    """A task that waits for others."""
    owner = agent.id if agent is not None else None
    task = Task(
        text,
        assigned_to=owner,
        assigned_by=SUPERVISOR_ID,
        depends_on=tuple(need.id for need in needs),
        waits=True,
        **given,
    )
    await town.store.commit(town.store.change().create_task(task))
    return task


async def claimed(stage: Stage, agent: Agent, *, review: str = "rex", claim: str = "I did it", **given: Any) -> Task:
    """A task that its agent says is done, on its way to the reviewer."""
    (task,) = await stage.assign(agent, "write a parser")
    await stage.mailbox_empty(agent)
    return await stage.store.update_task(
        task.id, lambda found: replace(found.start(), review=review, claim=claim, waits=True, **given)
    )


async def mail(stage: Stage, agent_id: AgentId) -> list[Any]:
    return [message.body for message in await stage.mailbox.peek(agent_id)]


async def backlog(stage: Stage) -> list[str]:
    return [raw.decode() for raw in await stage.town.ask("LRANGE", stage.town.keys("backlog"), 0, -1)]


async def end(stage: Stage, task: Task, how: str, text: str = "so it is") -> None:
    """End a task as its agent does, and let go on what waits for it."""
    await stage.store.update_task(task.id, lambda found: getattr(found, how)(text))
    await succession.release_dependents(stage.store, task.id)


# Dependencies.


async def test_a_task_is_handed_out_when_the_last_it_depends_on_is_completed(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    first, second = await stage.assign(ada, "first", "second")
    later = await wait_for(stage.town, bob, first, second)

    await end(stage, first, "complete")
    assert (await stage.store.task(later.id)).state is TaskState.PENDING
    assert await mail(stage, bob.id) == []

    await end(stage, second, "complete")
    task = await stage.store.task(later.id)
    assert (task.state, task.waits, task.assigned_to) == (TaskState.ASSIGNED, False, bob.id)
    assert await mail(stage, bob.id) == [TaskAssign(later.id)]
    assert [event.task for event in await stage.events("task.assigned")] == [later.id]


@pytest.mark.parametrize("how", ["fail", "cancel"])
async def test_what_failed_or_was_cancelled_lets_nothing_go_on(clock: MockClock, stage: Stage, how: str) -> None:
    ada = await stage.agent()
    (first,) = await stage.assign(ada, "first")
    later = await wait_for(stage.town, ada, first)
    await end(stage, first, how)
    before = await snapshot(stage.town.connection)
    await succession.walk(stage.store, 0)

    assert await snapshot(stage.town.connection) == before
    assert (await stage.store.task(later.id)).state is TaskState.PENDING


async def test_a_dependency_that_is_gone_is_not_completed(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    later = await wait_for(stage.town, ada, Task("never stored"))

    await succession.walk(stage.store, 0)

    assert (await stage.store.task(later.id)).state is TaskState.PENDING


async def test_a_task_without_an_agent_goes_to_the_backlog(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    (first,) = await stage.assign(ada, "first")
    later = await wait_for(stage.town, None, first)
    assert await backlog(stage) == []

    await end(stage, first, "complete")

    assert await backlog(stage) == [later.id]
    assert not (await stage.store.task(later.id)).waits


async def test_a_task_whose_agent_is_gone_goes_to_the_backlog(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    (first,) = await stage.assign(ada, "first")
    later = await wait_for(stage.town, bob, first)
    await stage.town.ask("DEL", stage.town.keys("agent", bob.id))

    await end(stage, first, "complete")

    assert await backlog(stage) == [later.id]
    task = await stage.store.task(later.id)
    assert (task.state, task.assigned_to, task.waits) == (TaskState.PENDING, None, False)


async def test_a_full_mailbox_delays_and_loses_nothing(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    (first,) = await stage.assign(ada, "first")
    later = await wait_for(stage.town, bob, first)
    await stage.send(bob, "in the way")
    stage.store._limits = Limits(inbox_messages=1)
    await end(stage, first, "complete")
    assert (await stage.store.task(later.id)).state is TaskState.PENDING

    stage.store._limits = Limits()
    await succession.walk(stage.store, 0)

    assert (await stage.store.task(later.id)).state is TaskState.ASSIGNED


async def test_a_chain_runs_in_order_whoever_does_it(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    runtime = await Runtime(stage).start()
    (first,) = await stage.assign(ada, "design")
    second = await wait_for(stage.town, bob, first, text="implement")
    third = await wait_for(stage.town, ada, second, text="test")
    await settle_down()

    assert stage.cli.worked == [["design"], ["implement"], ["test"]]
    assert [run.agent.name for run in stage.cli.runs] == ["ada", "bob", "ada"]
    assert (await stage.store.task(third.id)).state is TaskState.COMPLETED
    assert await stage.town.ask("SCARD", stage.town.keys("waiting")) == 0
    await runtime.end()


async def test_a_crash_behind_the_end_of_a_task_delays_what_waits_by_one_walk(clock: MockClock, stage: Stage) -> None:
    """The runtime dies between "task completed" and "dependents released"."""
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    (first,) = await stage.assign(ada, "design")
    await wait_for(stage.town, bob, first, text="implement")
    runtime = await Runtime(stage).start()
    looked_up = stage.town.keys("dependents", first.id)
    stage.wire.keeps_back = lambda command: command[:2] == ("SMEMBERS", looked_up)
    await stage.wire.kept.wait()
    stage.wire.keeps_back = lambda _: False
    assert (await stage.store.task(first.id)).state is TaskState.COMPLETED
    await runtime.kill()
    stage.wire.release.set()
    assert stage.cli.worked == [["design"]]

    after = await Runtime(stage).start()
    await until(lambda: len(stage.cli.runs) == 2)

    assert stage.cli.worked == [["design"], ["implement"]]
    await after.end()


async def test_what_somebody_completed_in_redis_by_hand_is_found_by_a_walk(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    (first,) = await stage.assign(ada, "first")
    later = await wait_for(stage.town, ada, first, text="later")
    await stage.store.update_task(first.id, lambda found: found.complete("by hand"))
    runtime = await Runtime(stage).start()
    await trio.sleep(5.1)

    assert (await stage.store.task(later.id)).state is TaskState.COMPLETED
    await runtime.end()


async def test_the_index_forgets_what_waits_no_more(clock: MockClock, stage: Stage) -> None:
    task = Task("never waited")
    await stage.store.commit(stage.store.change().create_task(task))
    await stage.town.ask("SADD", stage.town.keys("waiting"), task.id, "no id", Task("gone").id)
    await stage.town.ask("SET", stage.town.keys("task", "broken"), "{")
    await stage.town.ask("SADD", stage.town.keys("waiting"), "broken")

    await succession.walk(stage.store, 0)

    assert await stage.town.ask("SCARD", stage.town.keys("waiting")) == 0


async def test_an_assignment_of_a_task_that_waits_is_not_worked_on(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent("ada")
    (first,) = await stage.assign(await stage.agent("bob"), "first")
    later = await wait_for(stage.town, ada, first)
    await stage.tell(ada, TaskAssign(later.id))
    await stage.start(ada)
    await settle_down()

    assert stage.cli.runs == []
    assert await stage.waiting(ada) == []


# Reviews.


async def test_a_claim_is_put_before_its_reviewer(clock: MockClock, stage: Stage) -> None:
    ada, rex = await stage.agent("ada"), await stage.agent("rex")
    task = await claimed(stage, ada, evidence=({"name": "make test", "code": 0},))
    await succession.advance(stage.store, [task.id])

    task = await stage.store.task(task.id)
    assert task.review_task is not None
    review = await stage.store.task(task.review_task)
    assert (task.state, task.waits) == (TaskState.RUNNING, True)
    assert (review.state, review.assigned_to, review.review_of) == (TaskState.ASSIGNED, rex.id, task.id)
    assert (review.tags, review.parent_id) == (("review",), task.id)
    assert await mail(stage, rex.id) == [TaskAssign(review.id)]
    for said in ("ada", "> write a parser", "> I did it", "- make test: exit status 0", review.id):
        assert said in review.description

    before = await snapshot(stage.town.connection)
    await succession.walk(stage.store, 0)
    assert await snapshot(stage.town.connection) == before


async def reviewed(stage: Stage, how: str, text: str, **given: Any) -> tuple[Agent, Task]:
    """A claimed task whose review has ended in this way, and its agent."""
    ada = await stage.agent("ada")
    await stage.agent("rex")
    task = await claimed(stage, ada, **given)
    await succession.advance(stage.store, [task.id])
    task = await stage.store.task(task.id)
    assert task.review_task is not None
    await end(stage, await stage.store.task(task.review_task), how, text)
    return ada, await stage.store.task(task.id)


async def test_an_approval_completes_the_task_with_what_was_claimed(clock: MockClock, stage: Stage) -> None:
    ada, task = await reviewed(stage, "complete", "well done", note="the reviewer's reason of last time")

    assert (task.state, task.result, task.note, task.waits) == (TaskState.COMPLETED, "I did it", None, False)
    assert (await stage.record(ada)).tasks_completed == 1
    assert await mail(stage, SUPERVISOR_ID) == [TaskDone(task.id, "I did it")]
    assert [event.detail for event in await stage.events("task.completed")] == ["approved by its reviewer"]


async def test_an_approval_lets_go_on_what_depends_on_the_task(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    await stage.agent("rex")
    task = await claimed(stage, ada)
    later = await wait_for(stage.town, bob, task)
    await succession.advance(stage.store, [task.id])
    review_id = (await stage.store.task(task.id)).review_task
    assert review_id is not None
    await end(stage, await stage.store.task(review_id), "complete")

    assert (await stage.store.task(later.id)).state is TaskState.ASSIGNED


async def test_an_approval_is_recorded_where_nobody_can_be_told(clock: MockClock, stage: Stage) -> None:
    await stage.agent("ada")
    _, task = await reviewed_with_room_for_none(stage)

    assert task.state is TaskState.COMPLETED
    assert await mail(stage, SUPERVISOR_ID) == [Informational("in the way")]


async def reviewed_with_room_for_none(stage: Stage) -> tuple[Agent, Task]:
    bea = await stage.agent("bea")
    await stage.agent("rex")
    task = await claimed(stage, bea)
    await succession.advance(stage.store, [task.id])
    review_id = (await stage.store.task(task.id)).review_task
    assert review_id is not None
    await stage.mailbox.send(Message(bea.id, SUPERVISOR_ID, Informational("in the way")))
    stage.store._limits = Limits(inbox_messages=1)
    await end(stage, await stage.store.task(review_id), "complete")
    return bea, await stage.store.task(task.id)


async def test_a_rejection_brings_the_task_back_with_the_reason(clock: MockClock, stage: Stage) -> None:
    ada, task = await reviewed(stage, "fail", "tests are missing")

    assert (task.state, task.reviews, task.note) == (TaskState.ASSIGNED, 1, "tests are missing")
    assert (task.claim, task.review_task, task.waits) == (None, None, False)
    assert await mail(stage, ada.id) == [TaskAssign(task.id)]


async def test_after_as_many_rejections_as_are_allowed_a_person_is_asked(clock: MockClock, stage: Stage) -> None:
    ada, task = await reviewed(stage, "fail", "still wrong", reviews=3)

    (asked,) = await mail(stage, SUPERVISOR_ID)
    assert isinstance(asked, Query)
    assert task.id in asked.question
    assert "rejected it 4 times" in asked.question
    assert task.note is not None
    assert task.note.endswith("still wrong")
    assert (task.state, task.waits, task.claim) == (TaskState.RUNNING, False, "I did it")
    assert await mail(stage, ada.id) == []


@pytest.mark.parametrize(
    ("how", "text", "why"),
    [("fail", NO_VERDICT, "gave no verdict"), ("cancel", "not now", "was cancelled")],
)
async def test_without_a_verdict_a_person_is_asked(
    clock: MockClock, stage: Stage, how: str, text: str, why: str
) -> None:
    _, task = await reviewed(stage, how, text)

    (asked,) = await mail(stage, SUPERVISOR_ID)
    assert why in asked.question
    assert (task.state.is_terminal, task.reviews) == (False, 0)


async def test_a_review_that_is_gone_is_asked_about(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent("ada")
    await claimed(stage, ada, review_task=TaskId(Task("gone").id))
    await succession.walk(stage.store, 0)

    (asked,) = await mail(stage, SUPERVISOR_ID)
    assert "its review is gone" in asked.question.lower()


async def test_nobody_reviews_what_it_has_done_itself(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent("ada")
    task = await claimed(stage, ada, review="ada")
    await succession.advance(stage.store, [task.id])

    (asked,) = await mail(stage, SUPERVISOR_ID)
    assert "'ada' has done it" in asked.question
    assert (await stage.store.task(task.id)).review_task is None


async def test_without_a_reviewer_the_review_waits_in_the_backlog_under_its_name(
    clock: MockClock, stage: Stage
) -> None:
    ada = await stage.agent("ada")
    task = await claimed(stage, ada)
    await succession.advance(stage.store, [task.id])

    (review_id,) = await backlog(stage)
    review = await stage.store.task(TaskId(review_id))
    assert (review.tags, review.assigned_to, review.state) == (("review", "rex"), None, TaskState.PENDING)
    assert (await stage.store.task(task.id)).review_task == review.id


async def test_a_rejected_task_whose_agent_is_gone_goes_to_the_backlog(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent("ada")
    await stage.agent("rex")
    task = await claimed(stage, ada)
    await succession.advance(stage.store, [task.id])
    await stage.town.ask("DEL", stage.town.keys("agent", ada.id))
    review_id = (await stage.store.task(task.id)).review_task
    assert review_id is not None
    await end(stage, await stage.store.task(review_id), "fail", "no")

    assert await backlog(stage) == [task.id]
    after = await stage.store.task(task.id)
    assert (after.state, after.assigned_to, after.note) == (TaskState.PENDING, None, "no")


async def test_worker_and_reviewer_go_round_until_the_work_is_good(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent("ada")
    await stage.agent("rex")
    said = iter(["first try", "REJECTED: tests are missing", "second try", "**APPROVED** it is good"])

    async def behave(run: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return good(next(said))

    stage.cli.behave = behave
    runtime = await Runtime(stage).start()
    task = replace(Task("write a parser", review="rex").assign(ada.id), assigned_by=SUPERVISOR_ID)
    message = Message(SUPERVISOR_ID, ada.id, TaskAssign(task.id))
    await stage.store.commit(stage.store.change().create_task(task).send(message))
    await settle_down()

    assert [run.agent.name for run in stage.cli.runs] == ["ada", "rex", "ada", "rex"]
    after = await stage.store.task(task.id)
    assert (after.state, after.result, after.reviews) == (TaskState.COMPLETED, "second try", 1)
    assert "REJECTED: tests are missing" in stage.cli.runs[2].texts
    assert "> REJECTED: tests are missing" in stage.cli.runs[3].prompt
    assert await mail(stage, SUPERVISOR_ID) == [TaskDone(task.id, "second try")]
    assert [(await stage.record(agent)).tasks_completed for agent in await stage.store.agents()] == [1, 1]
    await runtime.end()


async def test_a_dead_runtime_takes_no_task_from_its_reviewer(clock: MockClock, stage: Stage) -> None:
    """What is in review is at rest: whoever adopts its agent leaves it there."""
    ada = await stage.agent("ada")
    await stage.agent("rex")
    task = await claimed(stage, ada)
    await succession.advance(stage.store, [task.id])
    await stage.change_agent(ada, lambda found: found.after(AgentEvent.READY).after(AgentEvent.BEGIN), wake=False)
    await stage.start(ada)
    await settle_down()

    assert (await stage.store.task(task.id)).state is TaskState.RUNNING
    assert stage.cli.runs == []


# Any order, any ends, any crashes.


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[int]], list[tuple[int, str, bool]]]:
    """Up to eight tasks, each depending on some before it; and which is ended next, how, with or without a crash."""
    count = draw(st.integers(1, 8))
    needs = [draw(st.lists(st.integers(0, max(0, n - 1)), max_size=3, unique=True)) if n else [] for n in range(count)]
    ends = st.tuples(
        st.integers(0, count), st.sampled_from(["complete", "complete", "complete", "fail", "cancel"]), st.booleans()
    )
    return needs, draw(st.lists(ends, max_size=20))


@settings(max_examples=100, deadline=None)
@given(histories())
def test_nothing_starts_before_all_it_depends_on_is_completed(
    history: tuple[list[list[int]], list[tuple[int, str, bool]]],
) -> None:
    needs, ends = history
    town = Parts(Twin())

    async def play() -> None:
        ada = await town.agent()
        tasks: list[Task] = []
        for on in needs:
            if on:
                tasks.append(await wait_for(town, ada, *[tasks[each] for each in on]))
            else:
                task = Task("t").assign(ada.id)
                await town.store.commit(town.store.change().create_task(task))
                tasks.append(task)
        for which, how, crashes in ends:
            started = [task for task in await records(town, tasks) if task.state is TaskState.ASSIGNED]
            if started:
                ended = started[which % len(started)]
                await town.store.update_task(ended.id, lambda found, how=how: getattr(found, how)("so"))
                if not crashes:
                    await succession.release_dependents(town.store, ended.id)
            await check(town, tasks, needs)
        await succession.walk(town.store, 0)
        await check(town, tasks, needs, settled=True)

    run_sync(play())


async def records(town: Parts, tasks: Sequence[Task]) -> list[Task]:
    return [await town.store.task(task.id) for task in tasks]


async def check(town: Parts, tasks: Sequence[Task], needs: list[list[int]], *, settled: bool = False) -> None:
    """Whatever has started has all it needs; at rest, whatever has all it needs has started."""
    now = await records(town, tasks)
    told = [message.body.task_id for message in await town.mailbox.peek(now[0].assigned_to or SUPERVISOR_ID)]  # type: ignore[union-attr]
    for task, on in zip(now, needs, strict=True):
        free = all(now[each].state is TaskState.COMPLETED for each in on)
        assert free or task.state is TaskState.PENDING
        assert not (settled and free and task.state is TaskState.PENDING)
        assert told.count(task.id) == int(bool(on) and task.state is not TaskState.PENDING)
