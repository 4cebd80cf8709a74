"""A town as one picture, at a cost that does not grow with the town."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from runtime_parts import add, place

from tinytown.errors import Invalid
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import Priority
from tinytown.runtime.operations.agents import Agents, ListAgents, list_agents
from tinytown.runtime.operations.conducting import Conduct, conduct
from tinytown.runtime.operations.messages import Send, send
from tinytown.runtime.operations.overview import Mail, Overview, overview
from tinytown.runtime.operations.tasks import Assign, TaskEnd, assign, complete_task
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.connection import Reply, Value
from tinytown.transport.delivery import DeadLetter


def test_an_empty_town(town: Town) -> None:
    found = run_sync(overview(town, Overview()))

    assert (found.name, found.agents, found.runtimes, found.tasks) == ("demo", (), (), ())
    assert (found.backlog, found.put_aside, found.conductor) == (0, 0, Mail())
    assert [event.type for event in found.events] == ["town.initialized"]
    assert found.position == found.events[-1].id


@pytest.mark.parametrize("asked", [Overview(events=-1), Overview(tasks=1001)])
def test_a_number_out_of_its_range_is_refused(town: Town, asked: Overview) -> None:
    with pytest.raises(Invalid, match=r"The number of (events|tasks) is -?\d+; expected 0 to 1,000"):
        run_sync(overview(town, asked))


def test_agents_with_their_mail_and_what_they_are_at(town: Town) -> None:
    ada, bob = add(town, "ada"), add(town, "bob")
    fence = place(town, ada)
    task = run_sync(assign(town, Assign("ada", "dig"))).task
    run_sync(town.mailbox.claim(fence, count=1, size=1 << 20, lease=60))
    run_sync(town.store.update_agent(ada.id, lambda it: replace(it, current_task=task.id)))
    run_sync(send(town, Send("bob", "one")))
    run_sync(send(town, Send("bob", "two", priority=Priority.URGENT)))

    found = run_sync(overview(town, Overview()))

    assert [(line.agent.name, line.mail, line.work) for line in found.agents] == [
        ("ada", Mail(0, 0, 1), "dig"),
        ("bob", Mail(2, 1, 0), ""),
    ]
    assert len(found.runtimes) == 1
    assert found.names[bob.id] == "bob"


def test_the_task_of_an_agent_is_shown_however_old_it_is(town: Town) -> None:
    ada = add(town, "ada")
    tasks = [run_sync(assign(town, Assign("ada", f"task {number}"))).task for number in range(6)]
    run_sync(complete_task(town, TaskEnd(tasks[5].id)))
    run_sync(town.store.update_agent(ada.id, lambda it: replace(it, current_task=tasks[0].id)))

    found = run_sync(overview(town, Overview(events=2, tasks=2)))

    # Of those that were made in one millisecond any may count as the newest.
    assert found.tasks[0].task.id == tasks[0].id
    assert 2 <= len(found.tasks) <= 3
    assert found.task_counts[TaskState.ASSIGNED] == 5
    assert len(found.events) == 2
    assert run_sync(overview(town, Overview(events=0, tasks=0))).events == ()


def test_a_conductor_is_shown_with_its_goal_beside_the_agents(town: Town) -> None:
    run_sync(conduct(town, Conduct("build it", cli="claude", runtime=False)))

    found = run_sync(overview(town, Overview()))

    assert found.agents == ()
    assert found.conducting is not None
    assert (found.conducting.agent.name, found.conducting.work) == ("conductor", "build it")
    assert found.conducting.mail == found.conductor == Mail(waiting=1)
    assert run_sync(list_agents(town, ListAgents())) == Agents((), found.conducting.agent)


def test_what_was_put_aside_and_what_waits_for_a_person_is_counted(town: Town) -> None:
    fence = place(town, add(town, "ada"))
    run_sync(send(town, Send("ada", "dig")))
    (delivery,) = run_sync(town.mailbox.claim(fence, count=1, size=1 << 20, lease=60)).deliveries
    run_sync(town.mailbox.settle(fence, [(delivery, DeadLetter("no"))]))
    run_sync(send(town, Send("conductor", "look")))

    found = run_sync(overview(town, Overview()))

    assert (found.put_aside, found.conductor.waiting) == (1, 1)


def test_of_many_agents_those_are_shown_that_are_at_work_and_all_are_counted(town: Town) -> None:
    for number in range(8):
        agent = add(town, f"agent-{number}")
        changed = {5: {"state": AgentState.WORKING, "in_round": True}, 0: {"state": AgentState.STOPPED}}.get(number, {})
        run_sync(town.store.update_agent(agent.id, lambda it, changed=changed: replace(it, **changed)))
    task = run_sync(assign(town, Assign("agent-7", "dig"))).task

    found = run_sync(overview(town, Overview(agents=2)))

    assert [line.agent.name for line in found.agents] == ["agent-5", "agent-1"]
    assert (sum(found.agent_counts.values()), found.agent_counts[AgentState.STOPPED], found.at_work) == (8, 1, 1)
    assert [(each.task.id, each.agent_name) for each in found.tasks] == [(task.id, "agent-7")]
    assert set(found.names.values()) == {f"agent-{number}" for number in range(8)}
    everyone = run_sync(overview(town, Overview(agents=8)))
    assert [line.agent.name for line in everyone.agents] == [f"agent-{number}" for number in range(8)]


def test_it_reads_no_message_and_no_more_agents_and_tasks_than_it_shows(town: Town) -> None:
    for number in range(9):
        add(town, f"agent-{number}")
    add(town, "ada")
    for number in range(40):
        run_sync(assign(town, Assign("ada", f"task {number}")))
    asked: list[tuple[Value, ...]] = []
    execute, pipeline = town.connection.execute, town.connection.pipeline

    async def heard(*command: Value, repeat: bool = False) -> Reply:
        asked.append(command)
        return await execute(*command, repeat=repeat)

    async def heard_all(commands: Sequence[Sequence[Value]], *, repeat: bool = False) -> list[Reply]:
        asked.extend(tuple(command) for command in commands)
        return await pipeline(commands, repeat=repeat)

    town.connection.execute, town.connection.pipeline = heard, heard_all  # type: ignore[method-assign]
    run_sync(overview(town, Overview(events=5, tasks=5, agents=5)))

    assert {"LRANGE", "HGETALL", "HVALS"}.isdisjoint(command[0] for command in asked)
    assert max(len(command) for command in asked if command[0] == "MGET") == 1 + 5 + 1
    assert sum(command[0] == "LLEN" for command in asked) == 4 * 6 + 1
