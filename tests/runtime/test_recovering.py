"""What a dead runtime left behind is found by leases, and recovered once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from leftovers import assigned, dump, kill_runtime_of, mail, send, stop, working
from runtime_parts import add, move, place

from tinytown import times
from tinytown.ids import new_id
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Work
from tinytown.records import Agent
from tinytown.runtime.operations.recovering import STARTS_WITHIN, Recover, Recovered, recover
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.placement import RuntimeCard, new_runtime_id

OLD = times.timestamp(1_000_000_000)


def recovered(town: Town) -> Recovered:
    return run_sync(recover(town, Recover()))


def state(town: Town, agent: Agent) -> AgentState:
    return run_sync(town.store.agent(agent.id)).state


def aged(town: Town, agent: Agent) -> Agent:
    return run_sync(town.store.update_agent(agent.id, lambda found: replace(found, last_heartbeat=OLD)))


def test_a_healthy_town_is_left_as_it_is(town: Town) -> None:
    working(town, "ada", "dig")
    add(town, "bob")
    stop(town, add(town, "eve"))
    place(town, move(town, add(town, "tom"), AgentEvent.READY))
    before = dump(town)

    found = recovered(town)

    assert (found.agents, found.checked, found.messages) == ((), 4, 0)
    assert dump(town) == before


def test_without_a_runtime_an_agent_that_worked_is_stopped_and_its_work_lies_in_its_mailbox(town: Town) -> None:
    ada, _, _ = working(town, "ada", "one", "two")
    idle = move(town, add(town, "idle"), AgentEvent.READY)
    kill_runtime_of(town, ada)

    found = recovered(town)

    assert (found.agents, found.checked, found.by_runtime, found.messages) == ((ada,), 2, False, 2)
    record = run_sync(town.store.agent(ada.id))
    assert (record.state, record.in_round, record.current_task) == (AgentState.STOPPED, False, None)
    assert [task.state for task in run_sync(town.store.tasks())] == [TaskState.ASSIGNED] * 2
    assert len(mail(town, ada)) == 2
    assert run_sync(town.connection.execute("HLEN", town.keys("inflight", ada.id))) == 0
    assert state(town, idle) is AgentState.IDLE
    assert "agent.stopped" in [event.type for event in run_sync(town.journal.latest(10))]
    assert recovered(town).agents == ()


def test_the_death_is_counted_for_what_stood_in_the_prompt(town: Town) -> None:
    ada, _, (delivery,) = working(town, "ada", "one")
    kill_runtime_of(town, ada)
    recovered(town)

    assert delivery.message is not None
    count = run_sync(town.connection.execute("HGET", town.keys("recoveries"), delivery.message.id))
    assert isinstance(count, bytes)
    assert count.startswith(b"1|")


@pytest.mark.parametrize("then", ["paused", "draining", "stopped"])
def test_what_a_person_wanted_meanwhile_holds(town: Town, then: str) -> None:
    ada, _, _ = working(town, "ada", "one")
    event = {"paused": AgentEvent.PAUSE, "draining": AgentEvent.DRAIN, "stopped": AgentEvent.STOP}[then]
    ada = move(town, ada, event)
    kill_runtime_of(town, ada)

    found = recovered(town)

    assert (found.agents, found.messages) == ((ada,), 1)
    assert state(town, ada) is (AgentState.PAUSED if then == "paused" else AgentState.STOPPED)
    assert len(mail(town, ada)) == 1
    assert (ada.id in run_sync(town.placement.unplaced())) == (then == "paused")


def test_an_agent_that_was_just_spawned_is_not_lost_and_one_that_waits_for_long_is(town: Town) -> None:
    fresh, old = add(town, "fresh"), aged(town, add(town, "old"))

    assert [agent.name for agent in recovered(town).agents] == ["old"]

    assert (state(town, fresh), state(town, old)) == (AgentState.STARTING, AgentState.STOPPED)
    assert STARTS_WITHIN == 120


def test_an_agent_that_began_on_a_runtime_that_died_is_lost_at_once(town: Town) -> None:
    ada = add(town, "ada")
    place(town, ada)
    kill_runtime_of(town, ada)

    assert [agent.name for agent in recovered(town).agents] == ["ada"]


def test_silence_is_no_reason(town: Town) -> None:
    ada, _, _ = working(town, "ada", "think for an hour")
    aged(town, ada)
    before = dump(town)

    assert recovered(town).agents == ()
    assert dump(town) == before


def test_a_living_runtime_is_asked_to_go_on_with_them(town: Town) -> None:
    ada, _, _ = working(town, "ada", "one")
    kill_runtime_of(town, ada)
    place(town, add(town, "bob"))

    found = recovered(town)

    assert (found.agents, found.by_runtime) == ((ada,), True)
    assert state(town, ada) is AgentState.WORKING
    assert ada.id in run_sync(town.placement.unplaced())


def test_with_a_living_runtime_what_an_ended_agent_held_is_brought_back_here(town: Town) -> None:
    ada, _, _ = working(town, "ada", "one")
    stop(town, ada)
    kill_runtime_of(town, ada)
    place(town, add(town, "bob"))

    found = recovered(town)

    assert (found.by_runtime, found.messages) == (True, 1)
    assert ada.id not in run_sync(town.placement.unplaced())


def test_a_runtime_of_this_host_that_has_no_lock_is_dead_whatever_its_lease_says(town: Town) -> None:
    ada = move(town, add(town, "ada"), AgentEvent.READY, AgentEvent.BEGIN)
    card = RuntimeCard(new_runtime_id(), town.ground.host, 1, times.now())
    run_sync(town.placement.begin(card, lease=60))
    run_sync(town.placement.place(card.id, [ada.id]))

    found = recovered(town)

    assert (found.agents, found.by_runtime) == ((ada,), False)
    assert run_sync(town.placement.runtimes()) == []
    assert state(town, ada) is AgentState.STOPPED


def test_a_runtime_of_this_host_that_begins_is_left_to_do_it(town: Town) -> None:
    ada, _, _ = working(town, "ada", "one")
    kill_runtime_of(town, ada)

    with town.ground.state.hold_runtime():
        found = recovered(town)

    assert (found.agents, found.by_runtime) == ((ada,), True)
    assert state(town, ada) is AgentState.WORKING


def test_afterwards_a_runtime_can_start_at_once(town: Town) -> None:
    recovered(town)

    town.ground.state.hold_runtime().release()


def test_many_are_recovered_in_parts(town: Town) -> None:
    agents = [Agent(f"a{number}", "any", last_heartbeat=OLD) for number in range(300)]
    for agent in agents:
        run_sync(town.store.commit(town.store.change().create_agent(agent)))
    send(town, agents[-1], Work("dig"))

    assert len(recovered(town).agents) == 300
    assert {agent.state for agent in run_sync(town.store.agents())} == {AgentState.STOPPED}


def test_a_heartbeat_that_is_no_time_is_an_old_one(town: Town) -> None:
    ada = add(town, "ada")
    run_sync(town.store.update_agent(ada.id, lambda found: replace(found, last_heartbeat="yesterday")))  # type: ignore[arg-type]

    assert [agent.name for agent in recovered(town).agents] == ["ada"]


def test_tasks_of_others_are_not_touched(town: Town) -> None:
    ada, _, _ = working(town, "ada", "one")
    bob = add(town, "bob")
    assigned(town, bob, "two")
    kill_runtime_of(town, ada)
    recovered(town)

    assert len(mail(town, bob)) == 1
    assert run_sync(town.placement.holders([bob.id])) == {}
    assert new_id() not in run_sync(town.placement.unplaced())
