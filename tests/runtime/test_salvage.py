"""The lifeline and the work that nobody works on, in virtual time."""

from __future__ import annotations

import trio
from stage import Runtime, Stage, settle_down
from trio.testing import MockClock

from tinytown.config import BacklogSettings
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Query
from tinytown.records import Agent, Task
from tinytown.runtime.lifeline import Lifeline
from tinytown.runtime.salvage import LOOK_EVERY, Salvage
from tinytown.transport.backlog import Backlog

PATIENCE = 600.0


def salvage_of(stage: Stage, runtime: Runtime, *, auto_claim: bool = True, after: float = PATIENCE) -> Salvage:
    settings = BacklogSettings(auto_claim=auto_claim, reclaim_after=after)
    return Salvage(runtime.supervisor, stage.store, stage.wire, stage.town.keys, settings)


def backlog_of(stage: Stage) -> Backlog:
    return Backlog(stage.wire, stage.town.keys)


async def put(stage: Stage, text: str, *tags: str) -> Task:
    task = Task(text, tags=tags)
    await stage.store.commit(backlog_of(stage).put(stage.store.change().create_task(task), task.id))
    return task


async def rung(stage: Stage, runtime: Runtime, salvage: Salvage) -> set[str]:
    """The agents that a walk rings: each looks at its mailbox."""
    await settle_down()
    before = len(stage.wire.commands)
    await salvage.walk()
    await settle_down()
    ids = {agent.id for agent in await stage.store.agents()}
    looked = [command for command in stage.wire.commands[before:] if command[0] in ("EVAL", "EVALSHA")]
    return {str(word) for command in looked for word in command if word in ids}


async def walked(salvage: Salvage, seconds: float) -> None:
    """Walk every five seconds, as the lifeline does."""
    for _ in range(int(seconds / 5)):
        await trio.sleep(5)
        await salvage.walk()


async def test_an_item_whose_bell_was_lost_is_offered_to_those_it_suits(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent("ada", role="backend")
    await stage.agent("bob", role="docs")
    runtime = await Runtime(stage).start()
    salvage = salvage_of(stage, runtime, auto_claim=False)
    await put(stage, "dig", "backend")
    await put(stage, "for anybody")

    assert await rung(stage, runtime, salvage) == {ada.id}
    assert await rung(stage, runtime, salvage) == set()
    await runtime.end()


async def test_with_auto_claim_what_has_no_tags_is_offered_to_everybody(clock: MockClock, stage: Stage) -> None:
    agents = [await stage.agent(name, role=role) for name, role in (("ada", "backend"), ("bob", "docs"))]
    runtime = await Runtime(stage).start()
    salvage = salvage_of(stage, runtime)
    await put(stage, "for anybody")

    assert await rung(stage, runtime, salvage) == {agent.id for agent in agents}
    await runtime.end()


async def test_while_nothing_comes_a_walk_costs_one_command(clock: MockClock, stage: Stage) -> None:
    await stage.agent()
    runtime = await Runtime(stage).start()
    salvage = salvage_of(stage, runtime, auto_claim=False)
    await put(stage, "dig")
    await salvage.walk()
    before = len(stage.wire.commands)
    for _ in range(10):
        await salvage.walk()

    assert len(stage.wire.commands) - before == 10
    await runtime.end()


async def leave(stage: Stage, name: str = "ada") -> tuple[Agent, Task]:
    """An ended agent with a task and a question in its mailbox."""
    agent = await stage.agent(name)
    (task,) = await stage.assign(agent, "dig")
    await stage.tell(agent, Query("which port?"))
    return await stage.change_agent(agent, lambda found: found.after(AgentEvent.STOP), wake=False), task


async def test_the_work_of_an_agent_that_stays_ended_goes_to_the_backlog(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    salvage = salvage_of(stage, runtime)
    ada, task = await leave(stage)

    await walked(salvage, PATIENCE)
    assert await backlog_of(stage).ids() == []
    await walked(salvage, 2 * LOOK_EVERY)

    assert await backlog_of(stage).ids() == [task.id]
    assert (await stage.store.task(task.id)).state is TaskState.PENDING
    assert await stage.waiting(ada) == []
    assert [message.body for message in await stage.mailbox.peek(SUPERVISOR_ID)] == [Query("which port?")]
    await runtime.end()


async def test_what_a_person_gives_it_afterwards_waits_for_it(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    salvage = salvage_of(stage, runtime)
    ada, _ = await leave(stage)
    await walked(salvage, PATIENCE + 2 * LOOK_EVERY)
    (later,) = await stage.assign(ada, "for your next life")
    await walked(salvage, 2 * PATIENCE)

    assert (await stage.store.task(later.id)).assigned_to == ada.id
    assert len(await stage.mailbox.peek(ada.id)) == 1
    await runtime.end()


async def test_one_that_was_started_again_in_time_keeps_it(clock: MockClock, stage: Stage) -> None:
    stage.cli.behave = stage.cli.hang
    runtime = await Runtime(stage).start()
    salvage = salvage_of(stage, runtime)
    ada, task = await leave(stage)
    await walked(salvage, PATIENCE - 60)
    await stage.change_agent(ada, lambda found: found.after(AgentEvent.RESTART))
    await walked(salvage, 2 * PATIENCE)

    assert (await stage.store.task(task.id)).assigned_to == ada.id
    assert await stage.state(ada) is AgentState.WORKING
    await runtime.end()


async def test_without_auto_claim_or_without_a_time_it_stays_where_it_is(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    ada, task = await leave(stage)
    for salvage in (salvage_of(stage, runtime, auto_claim=False), salvage_of(stage, runtime, after=0.0)):
        await walked(salvage, 2 * PATIENCE)

    assert (await stage.store.task(task.id)).assigned_to == ada.id
    await runtime.end()


async def test_what_a_turn_still_holds_is_taken_when_it_has_ended(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    (task,) = await stage.assign(ada, "dig")
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    await settle_down()
    await stage.change_agent(ada, lambda found: found.after(AgentEvent.STOP), wake=False)
    salvage = salvage_of(stage, runtime)
    await walked(salvage, PATIENCE + 2 * LOOK_EVERY)
    assert (await stage.store.task(task.id)).assigned_to == ada.id

    await runtime.end()
    await walked(salvage, 2 * LOOK_EVERY)
    assert await backlog_of(stage).ids() == [task.id]


async def test_the_lifeline_walks_it(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent("ada", role="backend")
    runtime = await Runtime(stage).start()
    await settle_down()
    await put(stage, "dig", "backend")
    lifeline = Lifeline(
        runtime.supervisor,
        stage.mailbox,
        stage.town.placement,
        stage.store,
        host="here",
        interval=5.0,
        salvage=salvage_of(stage, runtime),
    )
    before = len(stage.wire.commands)
    await lifeline.walk()
    await settle_down()

    assert any(ada.id in command for command in stage.wire.commands[before:] if command[0] == "EVALSHA")
    await runtime.end()
