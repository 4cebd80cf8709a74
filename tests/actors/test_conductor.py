"""The conductor: what wakes it, what it is told, when it ends, and that it costs nothing in between."""

from __future__ import annotations

from dataclasses import replace

import trio
from stage import Life, Run, Stage, good, settle_down
from trio.testing import MockClock

from tinytown.actors.conductor import note
from tinytown.actors.drivers.text import TurnResult
from tinytown.ids import SUPERVISOR_ID, TaskId
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import (
    AckType,
    Confirmation,
    Informational,
    Message,
    Priority,
    Query,
    TaskAssign,
    TaskDone,
    TaskFailed,
)
from tinytown.records import Agent, Task


async def conducting(stage: Stage, goal: str = "build a bridge") -> tuple[Agent, Task, Life]:
    """A conductor with this goal, which has had its first round."""
    seen = await stage.store.see_agent(SUPERVISOR_ID)
    task = replace(Task(goal).assign(SUPERVISOR_ID), assigned_by=SUPERVISOR_ID)
    agent = replace(seen.record, cli="any", state=AgentState.STARTING, goal=task.id, max_rounds=1000)
    change = stage.store.change().replace_agent(seen, agent).create_task(task)
    await stage.store.commit(change.send(Message(SUPERVISOR_ID, SUPERVISOR_ID, TaskAssign(task.id))))
    life = await stage.start(agent)
    await settle_down()
    return agent, task, life


async def test_the_goal_outlives_the_rounds_until_the_conductor_ends_it(clock: MockClock, stage: Stage) -> None:
    agent, goal, life = await conducting(stage)
    worker = await stage.agent("worker")
    after_one, resting = await stage.store.task(goal.id), await stage.waiting(agent)

    async def end_it(_: Run) -> TurnResult:
        await stage.store.update_task(goal.id, lambda task: task.complete("a bridge"))
        return good()

    stage.cli.behave = end_it
    await stage.tell(agent, TaskDone("t1", "pillars"), sender=worker.id)
    await life.over.wait()

    assert (after_one.state, after_one.attempts) == (TaskState.ASSIGNED, 1)
    assert [run.number for run in stage.cli.runs] == [1, 2]
    assert stage.cli.worked == [["build a bridge"], ["build a bridge", *resting, "Task t1 is completed: pillars"]]
    assert goal.id in stage.cli.runs[0].prompt
    assert (await stage.store.task(goal.id)).result == "a bridge"
    ended = await stage.record(agent)
    assert (ended.state, ended.acts, life.error) == (AgentState.STOPPED, False, None)
    assert "The goal is completed: a bridge" in await stage.waiting(agent)


async def test_only_what_needs_a_decision_wakes_it(clock: MockClock, stage: Stage) -> None:
    agent, _, _ = await conducting(stage)
    worker = await stage.agent("worker")
    await stage.tell(agent, Informational("half way"), sender=worker.id)
    await stage.tell(agent, Confirmation(AckType.RECEIVED), sender=worker.id)
    await trio.sleep(24 * 3600)
    asleep = len(stage.cli.runs)
    rounds = []
    for body, priority in (
        (Query("which way?"), Priority.NORMAL),
        (TaskDone("t1", "left"), Priority.NORMAL),
        (TaskFailed("t2", "no stone"), Priority.NORMAL),
        (Informational("worker is in Error"), Priority.HIGH),
        (Informational("fire"), Priority.URGENT),
    ):
        await stage.tell(agent, body, sender=worker.id, priority=priority)
        await settle_down()
        rounds.append(len(stage.cli.runs))
    await stage.inform(agent, "the person speaks")
    await settle_down()

    assert (asleep, rounds, len(stage.cli.runs)) == (1, [2, 3, 4, 5, 6], 7)
    assert "half way" in stage.cli.runs[1].prompt
    assert "half way" not in stage.cli.runs[2].prompt


async def test_what_is_for_the_person_waits_until_the_person_speaks(clock: MockClock, stage: Stage) -> None:
    agent, _, _ = await conducting(stage)
    await stage.mailbox_empty(agent)
    worker = await stage.agent("worker")
    await stage.mailbox.send(note("stone or wood?"))
    await settle_down()
    await stage.tell(agent, Query("what now?"), sender=worker.id)
    await settle_down()
    unanswered = await stage.waiting(agent)
    await stage.send(agent, "wood")
    await settle_down()

    assert "stone or wood?" in unanswered
    assert [("stone or wood?" in run.prompt) for run in stage.cli.runs] == [False, True, True]
    assert "wood" in stage.cli.worked[2]
    assert "stone or wood?" not in await stage.waiting(agent)


async def test_the_person_is_told_once_when_nobody_works_for_the_goal(clock: MockClock, stage: Stage) -> None:
    agent, _, _ = await conducting(stage)
    worker = await stage.agent("worker")
    told = await stage.waiting(agent)
    await stage.tell(agent, Query("what now?"), sender=worker.id)
    await settle_down()

    assert len(told) == 1
    assert told[0].startswith("The goal is open, and nobody works for it")
    assert await stage.waiting(agent) == told
    assert len(stage.cli.runs) == 2


async def test_nobody_works_for_it_where_all_have_ended_that_have_work(clock: MockClock, stage: Stage) -> None:
    gone = await stage.agent("gone")
    await stage.store.update_agent(gone.id, lambda agent: agent.after(AgentEvent.STOP))
    for task in (Task("left behind").assign(gone.id), Task("for nobody")):
        await stage.store.commit(stage.store.change().create_task(task))

    agent, _, _ = await conducting(stage)

    (told,) = await stage.waiting(agent)
    assert told.startswith("The goal is open, and nobody works for it")


async def test_it_ends_when_the_person_cancels_the_goal(clock: MockClock, stage: Stage) -> None:
    agent, goal, life = await conducting(stage)
    await stage.store.update_task(goal.id, lambda task: task.cancel("enough"))
    await stage.store.commit(stage.store.change().ring(agent.id))
    await life.over.wait()

    assert (await stage.record(agent)).state is AgentState.STOPPED
    assert len(stage.cli.runs) == 1


async def test_what_came_during_a_round_still_wakes_it(clock: MockClock, stage: Stage) -> None:
    worker = await stage.agent("worker")
    told: list[list[str]] = []

    async def behave(run: Run) -> TurnResult:
        told.append([text for text in await stage.waiting(conductor) if "nobody works for it" in text])
        if run.number == 1:
            await stage.mailbox.send(Message(worker.id, SUPERVISOR_ID, TaskDone(TaskId("t1"), "pillars")))
        return good()

    conductor = await stage.store.agent(SUPERVISOR_ID)
    stage.cli.behave = behave
    await conducting(stage)

    assert told == [[], []]
    assert len(await stage.waiting(conductor)) == 1
