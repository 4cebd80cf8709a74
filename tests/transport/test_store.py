"""Records and commits, on a real server and on the twin."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import trio
from towns import Parts, snapshot, texts, work

from tinytown.config import Limits
from tinytown.errors import (
    AgentNotFound,
    AmbiguousId,
    BadMessage,
    IllegalTransition,
    MailboxFull,
    TaskNotFound,
    TooLarge,
    TownFull,
)
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, new_id
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Priority, TaskAssign
from tinytown.records import Agent, Event, Task
from tinytown.transport.clearing import delete_task
from tinytown.transport.delivery import Control, ControlKind
from tinytown.transport.mailbox import LANE_NUMBER
from tinytown.transport.multiplexed import MultiplexedConnection
from tinytown.transport.store import Change, Raced, Store


async def new_task(town: Parts, text: str = "do it", **given: Any) -> Task:
    task = Task(description=text, **given)
    await town.store.commit(town.store.change().create_task(task))
    return task


# Reading.


async def test_an_agent_is_found_by_name_by_id_and_by_the_beginning_of_its_id(town: Parts) -> None:
    ada = await town.agent("ada")

    for wanted in ("ada", ada.id, ada.id.upper(), ada.id[:8]):
        assert await town.store.find_agent(wanted) == ada
    assert await town.store.agent(ada.id) == ada


@pytest.mark.parametrize(
    "wanted", ["nobody", "00", "00000000", "5f0c7c1e-8d0a-4a3e-9d52-3b6f0e9a7c11", "", "*", "ada ", "\n"]
)
async def test_who_is_not_there_is_not_found(town: Parts, wanted: str) -> None:
    await town.agent("ada")

    with pytest.raises(AgentNotFound):
        await town.store.find_agent(wanted)


async def test_a_beginning_that_fits_several_agents_is_refused_and_lists_them(town: Parts) -> None:
    twins = [Agent(name=name, cli="any", id=AgentId(f"aaaa{new_id()[4:]}")) for name in ("castor", "pollux")]
    for agent in twins:
        await town.store.commit(town.store.change().create_agent(agent))

    with pytest.raises(AmbiguousId) as refused:
        await town.store.find_agent("aaaa")

    assert all(agent.id in str(refused.value) for agent in twins)


async def test_the_reserved_names_give_the_supervisor(town: Parts) -> None:
    supervisor = Agent.supervisor()
    await town.store.commit(town.store.change().write("SET", town.keys("agent", SUPERVISOR_ID), supervisor.encode()))

    assert await town.store.find_agent("supervisor") == supervisor
    assert await town.store.find_agent("conductor") == supervisor
    assert await town.store.agents() == []


async def test_agents_are_listed_in_the_order_of_creation(town: Parts) -> None:
    wanted = [
        Agent(name=name, cli="any", created_at=f"2026-01-0{day}T00:00:00.000Z")
        for day, name in enumerate(("zoe", "ada", "bob"), 1)
    ]
    for agent in reversed(wanted):
        await town.store.commit(town.store.change().create_agent(agent))

    assert await town.store.agents() == wanted
    assert await town.store.names() == {agent.id: agent.name for agent in wanted}


async def test_a_damaged_record_does_not_hide_the_others(town: Parts) -> None:
    ada, bob, eve = [await town.agent(name) for name in ("ada", "bob", "eve")]
    await town.ask("SET", town.keys("agent", bob.id), b'{"name": "bob", "state": "\xff')
    await town.ask("DEL", town.keys("agent", eve.id))

    assert await town.store.agents() == [ada]
    with pytest.raises(BadMessage):
        await town.store.agent(bob.id)
    with pytest.raises(AgentNotFound):
        await town.store.agent(eve.id)


async def test_tasks_are_listed_by_state_and_found_by_the_beginning_of_their_id(town: Parts) -> None:
    first = await new_task(town, "first", created_at="2026-01-01T00:00:00.000Z")
    second = await new_task(town, "second", created_at="2026-01-02T00:00:00.000Z")
    assigned = await town.store.update_task(second.id, lambda task: task.assign(AgentId("x")))

    assert [task.id for task in await town.store.tasks()] == [first.id, second.id]
    assert await town.store.tasks(TaskState.PENDING) == [first]
    assert await town.store.tasks(TaskState.ASSIGNED) == [assigned]
    assert await town.store.tasks(TaskState.FAILED) == []
    assert await town.store.find_task(first.id[:8]) == first
    assert await town.store.find_task(second.id) == assigned
    for wanted in (new_id(), "ffffffff", "first"):
        with pytest.raises(TaskNotFound):
            await town.store.find_task(wanted)
    with pytest.raises(TaskNotFound):
        await town.store.task(TaskId(new_id()))


# Changing.


async def test_a_name_can_be_taken_once(town: Parts) -> None:
    ada = await town.agent("ada")
    before = await snapshot(town.connection)

    with pytest.raises(Raced):
        await town.agent("ada")

    assert await snapshot(town.connection) == before
    assert await town.store.find_agent("ada") == ada


async def test_a_record_that_was_changed_meanwhile_is_not_overwritten(town: Parts) -> None:
    ada = await town.agent("ada")
    seen = await town.store.see_agent(ada.id)
    await town.store.update_agent(ada.id, lambda agent: replace(agent, nickname="The Countess"))
    before = await snapshot(town.connection)

    late = town.store.change().replace_agent(seen, replace(seen.record, role="tester"))
    with pytest.raises(Raced):
        await town.store.commit(late.tell(Event("agent.state", agent=ada.id)).send(work(ada)))

    assert await snapshot(town.connection) == before


async def test_a_message_is_taken_in_the_same_commit_once(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    first, second = work(ada, "first"), work(ada, "second")
    for message in (first, second):
        await town.mailbox.send(message)
    taking = town.store.change().take(ada.id, LANE_NUMBER[Priority.NORMAL], first.encode()).send(work(bob))

    await town.store.commit(taking)

    assert await town.mailbox.peek(ada.id) == [second]
    assert len(await town.mailbox.peek(bob.id)) == 1
    before = await snapshot(town.connection)
    with pytest.raises(Raced):
        await town.store.commit(
            town.store.change().take(ada.id, LANE_NUMBER[Priority.NORMAL], first.encode()).send(work(bob))
        )
    # In another lane it does not lie either.
    with pytest.raises(Raced):
        await town.store.commit(
            town.store.change().take(ada.id, LANE_NUMBER[Priority.URGENT], second.encode()).send(work(bob))
        )
    assert await snapshot(town.connection) == before


async def test_an_update_that_was_overtaken_decides_again_on_what_is_there(town: Parts) -> None:
    ada = await town.agent("ada")
    decided_on: list[int] = []

    def decide(agent: Agent) -> Agent:
        decided_on.append(agent.rounds_completed)
        return replace(agent, rounds_completed=agent.rounds_completed + 1)

    class Overtaken(Store):
        """Somebody else commits between its first reading and its first writing."""

        async def commit(self, change: Change) -> None:
            if len(decided_on) == 1:
                await town.store.update_agent(ada.id, decide)
            await super().commit(change)

    after = await Overtaken(town.connection, town.keys, town.limits).update_agent(ada.id, decide)

    assert decided_on == [0, 0, 1]
    assert after.rounds_completed == 2
    assert await town.store.agent(ada.id) == after


async def test_of_many_updates_at_once_none_is_lost(connection: MultiplexedConnection) -> None:
    town = Parts(connection)
    ada, task = await town.agent("ada"), await new_task(town)

    async def count() -> None:
        await town.store.update_agent(ada.id, lambda a: replace(a, tasks_completed=a.tasks_completed + 1))
        await town.store.update_task(task.id, lambda t: replace(t, attempts=t.attempts + 1))

    async with trio.open_nursery() as nursery:
        for _ in range(32):
            nursery.start_soon(count)

    assert (await town.store.agent(ada.id)).tasks_completed == 32
    assert (await town.store.task(task.id)).attempts == 32


async def test_of_many_at_once_one_gets_the_name(connection: MultiplexedConnection) -> None:
    town = Parts(connection)
    won: list[Agent] = []

    async def spawn() -> None:
        with suppress(Raced):
            won.append(await town.agent("ada"))

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(spawn)

    assert await town.store.agents() == won
    assert len(won) == 1


async def test_a_lost_race_comes_back_as_the_state_the_record_is_in_by_now(town: Parts) -> None:
    task = await new_task(town)
    await town.store.update_task(task.id, lambda found: found.cancel())

    with pytest.raises(IllegalTransition, match="cancelled"):
        await town.store.update_task(task.id, lambda found: found.assign(AgentId("x")))


async def test_fields_of_a_newer_version_stay_as_they_are(town: Parts) -> None:
    ada = await town.agent("ada")
    raw: bytes = await town.ask("GET", town.keys("agent", ada.id))
    await town.ask(
        "SET", town.keys("agent", ada.id), raw[:-1] + b',"mood":["cheerful",{"since":12345678901234567890}]}'
    )

    await town.store.update_agent(ada.id, lambda agent: replace(agent, nickname="A"))

    raw = await town.ask("GET", town.keys("agent", ada.id))
    assert b'"mood":["cheerful",{"since":12345678901234567890}]' in raw
    assert b'"nickname":"A"' in raw


async def test_a_field_that_is_cleared_is_gone(town: Parts) -> None:
    ada = await town.agent("ada")
    await town.store.update_agent(ada.id, lambda agent: replace(agent, reason="broken"))

    await town.store.update_agent(ada.id, lambda agent: replace(agent, reason=None))

    assert b"reason" not in await town.ask("GET", town.keys("agent", ada.id))


# All or nothing.


async def test_a_task_and_the_message_about_it_are_written_in_one_step(town: Parts) -> None:
    ada, fence = await town.someone()
    task = Task(description="build").assign(ada.id)
    message = replace(work(ada), body=TaskAssign(task.id))
    change = town.store.change().create_task(task).send(message)

    await town.store.commit(change.tell(Event("task.assigned", task=task.id, agent=ada.id)))

    assert await town.store.task(task.id) == task
    (delivery,) = (await town.claim(fence)).deliveries
    assert delivery.message == message
    told = await town.journal.latest(2)
    assert [event.type for event in told] == ["task.assigned", "message.sent"]


async def test_an_agent_can_be_written_to_in_the_commit_that_creates_it(town: Parts) -> None:
    ada = Agent(name="ada", cli="any")

    await town.store.commit(town.store.change().create_agent(ada).send(work(ada, "welcome")))

    assert texts(await town.claim(await town.fence(ada))) == ["welcome"]


REFUSED = {
    "mailbox full": (MailboxFull, Limits(inbox_messages=1)),
    "town full": (TownFull, Limits(town_messages=3)),
    "too large": (TooLarge, Limits(message_bytes=2000)),
    "no such agent": (AgentNotFound, Limits()),
}


@pytest.mark.parametrize("reason", REFUSED)
async def test_a_commit_with_one_message_refused_writes_nothing_at_all(town: Parts, reason: str) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    await town.send(bob, "there already", *(["and this"] if reason == "town full" else []))
    before = await snapshot(town.connection)
    error, limits = REFUSED[reason]
    to = AgentId(new_id()) if error is AgentNotFound else bob.id
    store = Store(town.connection, town.keys, limits)
    change = store.change().create_task(Task(description="never")).send(work(ada)).tell(Event("task.assigned"))
    change = change.send(work(to, "x" * 3000 if error is TooLarge else "x")).ring(ada.id)

    with pytest.raises(error):
        await store.commit(change)

    assert await snapshot(town.connection) == before


async def test_the_messages_of_one_commit_count_against_the_limits_together(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    before = await snapshot(town.connection)

    for limits, error in ((Limits(inbox_messages=1), MailboxFull), (Limits(town_messages=1), TownFull)):
        store = Store(town.connection, town.keys, limits)
        second = work(ada) if error is MailboxFull else work(bob)
        with pytest.raises(error):
            await store.commit(store.change().send(work(ada)).send(second))

    assert await snapshot(town.connection) == before


async def test_a_message_that_was_accepted_before_does_not_stop_a_commit(town: Parts) -> None:
    ada, fence = await town.someone()
    (message,) = await town.send(ada, "once")
    task = Task(description="new")

    await town.store.commit(town.store.change().create_task(task).send(message).send(message))

    assert await town.store.task(task.id) == task
    assert texts(await town.claim(fence)) == ["once"]


async def test_a_message_given_twice_to_one_commit_is_sent_once(town: Parts) -> None:
    ada, fence = await town.someone()
    message = work(ada, "once")

    await town.store.commit(town.store.change().send(message).send(message))

    assert texts(await town.claim(fence)) == ["once"]


async def test_what_must_be_absent_stops_a_commit_when_it_is_there(town: Parts) -> None:
    key = town.keys("town_id")
    await town.store.commit(town.store.change().require_absent(key).write("SET", key, "first"))

    with pytest.raises(Raced):
        await town.store.commit(town.store.change().require_absent(key).write("SET", key, "second"))

    assert await town.ask("GET", key) == b"first"


async def test_a_commit_of_thousands_of_words_is_done(town: Parts) -> None:
    change = town.store.change()
    for number in range(3000):
        change.write("RPUSH", town.keys("backlog"), number)

    await town.store.commit(change)

    assert await town.ask("LLEN", town.keys("backlog")) == 3000


# What goes with a change of state.


async def test_tasks_are_found_by_the_agent_that_has_them(town: Parts) -> None:
    ada, bob = await town.agent("ada"), await town.agent("bob")
    dig, fill = Task("dig").assign(ada.id), Task("fill").assign(ada.id)
    free = Task("free")
    change = town.store.change()
    for task in (dig, fill, free):
        change.create_task(task)
    await town.store.commit(change)
    await town.store.update_task(fill.id, lambda task: task.complete("done"))

    async def found(agent: Agent, state: TaskState | None = None) -> list[str]:
        return sorted(task.description for task in await town.store.tasks(state, agent.id))

    assert (await found(ada), await found(bob)) == (["dig", "fill"], [])
    assert await found(ada, TaskState.COMPLETED) == ["fill"]
    await town.store.update_task(dig.id, lambda task: replace(task, assigned_to=bob.id))
    assert (await found(ada), await found(bob)) == (["fill"], ["dig"])
    await town.store.update_task(dig.id, lambda task: task.release())
    await town.store.commit(delete_task(town.store.change(), town.keys, await town.store.see_task(fill.id)))
    assert (await found(ada), await found(bob)) == ([], [])
    assert len(await town.store.tasks()) == 2


async def test_an_agent_is_held_exactly_in_the_states_in_which_it_may_take_nothing(town: Parts) -> None:
    ada = await town.agent("ada")
    held = {}
    for state in AgentState:
        await town.store.update_agent(ada.id, lambda agent, state=state: replace(agent, state=state))
        held[state] = bool(await town.ask("SISMEMBER", town.keys("held"), ada.id))

    assert {state for state in AgentState if held[state]} == {
        AgentState.PAUSED,
        AgentState.DRAINING,
        AgentState.STOPPED,
        AgentState.ERROR,
    }


async def test_a_new_agent_waits_for_a_runtime_until_it_is_placed(town: Parts) -> None:
    ada = await town.agent("ada")
    assert await town.placement.unplaced() == [ada.id]
    fence = await town.fence(ada)
    assert await town.placement.unplaced() == []

    await town.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.ADOPT), fence=fence)

    assert await town.placement.unplaced() == []


async def test_a_control_message_goes_with_the_change_of_the_record(town: Parts) -> None:
    ada, fence = await town.someone()
    told = Control(ControlKind.WAKE, ada.incarnation, "a test")

    await town.store.update_agent(
        ada.id,
        lambda agent: agent.after(AgentEvent.PAUSE),
        lambda change, before, after: change.control(after.id, told),
    )

    claim = await town.claim(fence)
    assert claim.controls == (told,)
    assert (await town.store.agent(ada.id)).state is AgentState.PAUSED
