"""The written life of an agent: each step one commit, decided on what is there by then."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from stage import Stage
from towns import snapshot
from trio.testing import MockClock

from tinytown.actors.progress import Progress
from tinytown.actors.prompts import Entry
from tinytown.actors.rounds import Round
from tinytown.errors import AgentNotFound, IllegalTransition, LeaseLost, TownFull
from tinytown.ids import SUPERVISOR_ID, AgentId
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Message, Priority, TaskAssign, TaskDone
from tinytown.records import Agent, Task
from tinytown.transport.delivery import Delivery


def round_on(agent: Agent, *tasks: Task, number: int = 1) -> Round:
    """A round that works on these tasks."""
    found = Round(number)
    for tag, task in enumerate(tasks, 1):
        message = Message(SUPERVISOR_ID, agent.id, TaskAssign(task.id))
        delivery = Delivery(tag, Priority.NORMAL, message.encode(), message)
        found.entries.append((delivery, Entry(message, "conductor", 1, task)))
    return found


async def ready(stage: Stage, *texts: str) -> tuple[Agent, Progress, list[Task]]:
    """An agent at rest with these tasks, and the right to write its life."""
    agent = await stage.agent()
    progress = Progress(stage.store, await stage.town.fence(agent))
    tasks = await stage.assign(agent, *texts)
    return await progress.adopt(), progress, tasks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (AgentState.STARTING, AgentState.IDLE),
        (AgentState.IDLE, AgentState.IDLE),
        (AgentState.WORKING, AgentState.IDLE),
        (AgentState.PAUSED, AgentState.PAUSED),
        (AgentState.DRAINING, AgentState.STOPPED),
        (AgentState.STOPPED, AgentState.STOPPED),
        (AgentState.ERROR, AgentState.ERROR),
    ],
)
async def test_an_agent_is_adopted_from_any_state(
    clock: MockClock, stage: Stage, before: AgentState, after: AgentState
) -> None:
    agent, progress, (task,) = await ready(stage, "left behind")
    await stage.store.update_task(task.id, lambda found: found.start())
    await stage.change_agent(agent, lambda found: replace(found, state=before), wake=False)

    adopted = await progress.adopt()

    assert adopted.state is after
    assert await stage.record(agent) == adopted
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    ended_now = before is AgentState.DRAINING
    assert [event.type for event in await stage.events("agent")] == ["agent.stopped"] * ended_now


async def test_a_round_that_begins_marks_the_agent_and_its_tasks(clock: MockClock, stage: Stage) -> None:
    agent, progress, tasks = await ready(stage, "a", "b")

    begun = await progress.begin(round_on(agent, *tasks))

    assert (begun.state, begun.in_round, begun.current_task) == (AgentState.WORKING, True, tasks[0].id)
    assert begun.last_active_at is not None
    for task in tasks:
        found = await stage.store.task(task.id)
        assert (found.state, found.attempts) == (TaskState.RUNNING, 1)
        assert found.started_at is not None


@pytest.mark.parametrize("event", [AgentEvent.PAUSE, AgentEvent.STOP, AgentEvent.FAIL])
async def test_a_round_does_not_begin_when_the_agent_may_not(clock: MockClock, stage: Stage, event: AgentEvent) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    await stage.change_agent(agent, lambda found: found.after(event), wake=False)
    before = await snapshot(stage.town.connection)

    with pytest.raises(IllegalTransition):
        await progress.begin(round_on(agent, task))

    assert await snapshot(stage.town.connection) == before


async def test_a_good_round_completes_what_is_open_and_tells_who_gave_it(clock: MockClock, stage: Stage) -> None:
    agent, progress, (mine, ended) = await ready(stage, "mine", "ended")
    work = round_on(agent, mine, ended)
    await progress.begin(work)
    await stage.store.update_task(ended.id, lambda found: found.fail("no"))

    after = await progress.succeed(work, "the answer")

    assert (after.state, after.rounds_completed, after.tasks_completed) == (AgentState.IDLE, 1, 1)
    assert (await stage.store.task(mine.id)).result == "the answer"
    assert (await stage.store.task(ended.id)).result == "no"
    assert [message.body for message in await stage.mailbox.peek(SUPERVISOR_ID)] == [TaskDone(mine.id, "the answer")]


async def test_what_its_rounds_have_used_adds_up_and_is_told(clock: MockClock, stage: Stage) -> None:
    agent, progress, _ = await ready(stage)
    for end in (
        lambda work: progress.succeed(work, "done"),
        lambda work: progress.fail(work, "why", fatal=False, wait=0, most=5),
    ):
        work = round_on(await stage.record(agent))
        await progress.begin(work)
        work.tokens = 12_345
        await end(work)

    assert (await stage.record(agent)).tokens_used == 24_690
    assert [str(event.detail).endswith(", 12,345 tokens") for event in await stage.events("round.f")] == [True, True]


async def test_an_agent_that_gave_itself_a_task_is_not_told_that_it_has_done_it(clock: MockClock, stage: Stage) -> None:
    agent, progress, _ = await ready(stage)
    (task,) = await stage.assign(agent, "a", by=agent.id)
    work = round_on(agent, task)
    await progress.begin(work)
    await progress.succeed(work, "done")

    assert [message.body.type for message in await stage.mailbox.peek(agent.id)] == ["task_assign"]


async def test_an_answer_too_long_for_a_message_keeps_no_task_from_being_completed(
    clock: MockClock, stage: Stage
) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    work = round_on(agent, task)
    await progress.begin(work)

    after = await progress.succeed(work, "x" * 300_000)

    assert after.state is AgentState.IDLE
    assert (await stage.store.task(task.id)).state is TaskState.COMPLETED
    assert await stage.mailbox.peek(SUPERVISOR_ID) == []


async def test_what_was_asked_for_during_the_round_holds_after_it(clock: MockClock, stage: Stage) -> None:
    wanted = {AgentEvent.PAUSE: AgentState.PAUSED, AgentEvent.DRAIN: AgentState.STOPPED}
    for event, state in wanted.items():
        agent = await stage.agent(event.value)
        progress = Progress(stage.store, await stage.town.fence(agent))
        await progress.adopt()
        for finish in (
            lambda work, p=progress: p.succeed(work, "a"),
            lambda work, p=progress: p.abandon(work, "x"),
        ):
            await stage.change_agent(agent, lambda found: replace(found, state=AgentState.IDLE), wake=False)
            work = round_on(agent)
            await progress.begin(work)
            await stage.change_agent(agent, lambda found, e=event: found.after(e), wake=False)

            assert (await finish(work)).state is state


async def test_an_agent_that_somebody_ended_during_its_round_stays_ended(clock: MockClock, stage: Stage) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    work = round_on(agent, task)
    for finish, state in (
        (lambda: progress.succeed(work, "done"), TaskState.COMPLETED),
        (lambda: progress.fail(work, "why", fatal=False, wait=1, most=5), TaskState.ASSIGNED),
        (lambda: progress.abandon(work, "why"), TaskState.ASSIGNED),
    ):
        await stage.change_agent(agent, lambda found: replace(found, state=AgentState.IDLE), wake=False)
        await stage.store.update_task(task.id, lambda found: replace(found, state=TaskState.ASSIGNED))
        await progress.begin(work)
        await stage.change_agent(agent, lambda found: found.after(AgentEvent.STOP), wake=False)

        after = await finish()

        assert (after.state, after.in_round) == (AgentState.STOPPED, False)
        assert (await stage.store.task(task.id)).state is state
    assert await stage.events("agent") == []


async def test_a_round_that_never_began_or_has_been_told_leaves_nothing_to_abandon(
    clock: MockClock, stage: Stage
) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    work = round_on(agent, task)
    before = await snapshot(stage.town.connection)
    await progress.abandon(work, "too early")
    assert await snapshot(stage.town.connection) == before

    await progress.begin(work)
    await progress.succeed(work, "done")
    before = await snapshot(stage.town.connection)
    await progress.abandon(work, "too late")
    assert await snapshot(stage.town.connection) == before


async def test_a_failure_sets_the_time_before_which_no_round_starts(clock: MockClock, stage: Stage) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    work = round_on(agent, task)
    await progress.begin(work)

    after = await progress.fail(work, "why", fatal=False, wait=30, most=5)

    assert (after.state, after.failed_rounds, after.reason) == (AgentState.IDLE, 1, "why")
    assert after.backoff_until is not None
    assert after.backoff_until > after.last_heartbeat
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    assert [event.detail for event in await stage.events("round.failed")] == ["Round 1: ⚠️ why"]


async def test_a_new_round_forgets_the_old_reason(clock: MockClock, stage: Stage) -> None:
    agent, progress, _ = await ready(stage)
    await progress.begin(round_on(agent))
    await progress.fail(round_on(agent), "why", fatal=False, wait=30, most=5)

    begun = await progress.begin(round_on(agent))

    assert (begun.reason, begun.backoff_until, begun.failed_rounds) == (None, None, 1)


async def test_an_end_is_told_once(clock: MockClock, stage: Stage) -> None:
    _, progress, _ = await ready(stage)

    first = await progress.end(AgentEvent.STOP)
    second = await progress.end(AgentEvent.FAIL, "too late")

    assert first == second
    assert [event.type for event in await stage.events("agent")] == ["agent.stopped"]


async def test_a_step_that_loses_a_race_is_decided_again(clock: MockClock, stage: Stage) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    work = round_on(agent, task)
    await progress.begin(work)
    stage.wire.keeps_back = lambda command: command[:2] == ("GET", stage.town.keys("task", task.id))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(progress.succeed, work, "done")
        await stage.wire.kept.wait()  # it has read the task, and does not know yet what comes
        stage.wire.keeps_back = lambda _: False
        await stage.store.update_task(task.id, lambda found: found.cancel("not needed"))
        stage.wire.release.set()

    after = await stage.record(agent)
    assert (after.rounds_completed, after.tasks_completed) == (1, 0)
    assert (await stage.store.task(task.id)).state is TaskState.CANCELLED


async def test_who_lost_the_agent_writes_nothing(clock: MockClock, stage: Stage) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    work = round_on(agent, task)
    await progress.begin(work)
    await stage.take_over(agent)
    before = await snapshot(stage.town.connection)

    for step in (
        lambda: progress.succeed(work, "a"),
        lambda: progress.fail(work, "a", fatal=True, wait=0, most=5),
        lambda: progress.abandon(work, "a"),
        lambda: progress.end(AgentEvent.STOP),
        lambda: progress.adopt(),
    ):
        with pytest.raises(LeaseLost):
            await step()

    assert await snapshot(stage.town.connection) == before


async def test_an_agent_that_is_gone_is_said_to_be(clock: MockClock, stage: Stage) -> None:
    agent, progress, _ = await ready(stage)
    await stage.town.ask("DEL", stage.town.keys("agent", agent.id))

    with pytest.raises(AgentNotFound):
        await progress.adopt()


async def test_a_town_that_is_full_still_learns_of_every_end(clock: MockClock, stage: Stage) -> None:
    agent, progress, (task,) = await ready(stage, "a")
    work = round_on(agent, task)
    await progress.begin(work)
    stage.town.limits = replace(stage.town.limits, town_messages=1)
    stage.town.__post_init__()
    with pytest.raises(TownFull):
        await stage.town.mailbox.send(Message(SUPERVISOR_ID, agent.id, TaskAssign("x")))

    full = Progress(stage.town.store, progress.fence)
    after = await full.fail(work, "why", fatal=True, wait=0, most=5)

    assert after.state is AgentState.ERROR
    assert await stage.mailbox.peek(AgentId(SUPERVISOR_ID)) == []
