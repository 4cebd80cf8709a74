"""What a conductor's operations promise, without a runtime."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tinytown.errors import Conflict, Invalid
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import Informational, Priority
from tinytown.records import Agent
from tinytown.runtime.operations.agents import Kill, Spawn, StopTown, kill, spawn, stop_town
from tinytown.runtime.operations.conducting import Conduct, Conducted, conduct
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync


def conducting(town: Town, goal: str | None = "build it") -> Conducted:
    """A conductor that no runtime runs."""
    return run_sync(conduct(town, Conduct(goal, cli="claude", runtime=False)))


def test_a_second_conductor_is_refused_until_the_first_is_killed(town: Town) -> None:
    first = conducting(town)
    with pytest.raises(Conflict, match="at work already: build it"):
        conducting(town, "something else")
    killed = run_sync(kill(town, Kill("conductor")))
    second = conducting(town, "something else")

    assert (killed.immediate, killed.agent.acts) == (True, False)
    assert second.agent.incarnation == first.agent.incarnation + 1
    assert run_sync(town.store.task(first.task.id)).state is TaskState.CANCELLED


def test_without_a_goal_it_goes_on_with_the_one_that_is_open(town: Town) -> None:
    with pytest.raises(Invalid, match="needs a goal"):
        conducting(town, None)
    first = conducting(town)
    run_sync(stop_town(town, StopTown()))
    again = conducting(town, None)

    assert (again.resumed, again.task.id, again.agent.state) == (True, first.task.id, AgentState.STARTING)


def test_a_conductor_hears_that_a_person_has_killed_its_agent(town: Town) -> None:
    run_sync(spawn(town, Spawn("worker", cli="claude", runtime=False)))
    worker = run_sync(town.store.find_agent("worker"))

    def adopted(agent: Agent) -> Agent:
        return replace(agent, parent_agent_id=SUPERVISOR_ID)

    run_sync(town.store.update_agent(worker.id, adopted))
    conducting(town)
    run_sync(kill(town, Kill("worker")))
    told = [message for message in run_sync(town.mailbox.peek(SUPERVISOR_ID)) if message.sender == worker.id]

    assert [(message.priority, message.body) for message in told] == [
        (
            Priority.HIGH,
            Informational("Agent 'worker' ends: kill, by supervisor. What it has not done waits for it."),
        )
    ]
