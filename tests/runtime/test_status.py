"""The state of a town, what happened in it, and waiting for an end."""

from __future__ import annotations

import os
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing
from runtime_parts import add, added, worker

from tinytown.errors import AgentNotFound, Conflict, Invalid, TaskNotFound, TownError
from tinytown.ids import new_id
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.records import Agent, Event, Task
from tinytown.runtime.opening import open_async
from tinytown.runtime.operations.agents import Kill, kill
from tinytown.runtime.operations.clearing import Reset, reset
from tinytown.runtime.operations.events import Events, events, follow
from tinytown.runtime.operations.messages import Send, SendKind, send
from tinytown.runtime.operations.pending import Counts
from tinytown.runtime.operations.status import Status, status
from tinytown.runtime.operations.tasks import Assign, TaskEnd, assign, complete_task
from tinytown.runtime.operations.waiting import Wait, wait
from tinytown.runtime.town import Town
from tinytown.transport.blocking import run_sync
from tinytown.transport.placement import RuntimeCard, new_runtime_id


def test_an_empty_town_has_a_status(town: Town) -> None:
    found = run_sync(status(town, Status(deep=True, tasks=True)))
    assert (found.name, found.root, found.durability) == ("demo", str(town.root), "external")
    assert found.redis_url == os.environ["REDIS_URL"]
    assert (found.agents, found.runtimes, found.tasks, found.backlog) == ((), (), (), 0)
    assert found.task_counts == dict.fromkeys(TaskState, 0)
    assert (found.dead_letters, found.quarantined, found.notices) == (0, 0, ())


def test_it_counts_what_waits_and_what_is_done(town: Town) -> None:
    add(town, "ada")
    add(town, "bob")
    first = run_sync(assign(town, Assign("ada", "dig"))).task
    run_sync(assign(town, Assign("ada", "fill")))
    run_sync(send(town, Send("bob", "news", SendKind.INFO)))
    run_sync(complete_task(town, TaskEnd(first.id)))
    later = Task("later")
    run_sync(town.store.commit(town.store.change().create_task(later).write("RPUSH", town.keys("backlog"), later.id)))
    card = RuntimeCard(new_runtime_id(), "here", 42, "2026-01-01T00:00:00.000Z")
    run_sync(town.placement.begin(card, lease=60))
    found = run_sync(status(town, Status()))
    assert [(each.agent.name, each.pending, each.counts) for each in found.agents] == [
        ("ada", 2, Counts(tasks=2)),
        ("bob", 1, Counts(informational=1)),
    ]
    assert {state: count for state, count in found.task_counts.items() if count} == {
        TaskState.PENDING: 1,
        TaskState.ASSIGNED: 1,
        TaskState.COMPLETED: 1,
    }
    assert (found.backlog, found.runtimes, found.tasks) == (1, (card,), ())
    assert len(run_sync(status(town, Status(tasks=True))).tasks) == 3


def test_deep_shows_the_last_five_rounds_of_each_agent(town: Town) -> None:
    ada, bob = add(town, "ada"), add(town, "bob")
    for number in range(1, 8):
        run_sync(town.journal.append(Event("round.started", agent=ada.id, detail=f"Round {number}")))
        run_sync(town.journal.append(Event("round.finished", agent=ada.id, detail=f"Round {number}")))
    run_sync(town.journal.append(Event("round.failed", agent=bob.id, detail="Round 1")))
    found = run_sync(status(town, Status(deep=True)))
    assert [[event.detail for event in each.rounds] for each in found.agents] == [
        [f"Round {number}" for number in (7, 6, 5, 4, 3)],
        ["Round 1"],
    ]
    assert all(each.rounds == () for each in run_sync(status(town, Status())).agents)


def test_a_damaged_record_hides_no_other(town: Town) -> None:
    ada = add(town, "ada")
    add(town, "bob")
    run_sync(town.connection.execute("SET", town.keys("agent", ada.id), b"broken"))
    assert [each.agent.name for each in run_sync(status(town, Status())).agents] == ["bob"]


def test_a_worker_sees_the_status(town: Town) -> None:
    assert len(run_sync(status(worker(town, add(town, "ada")), Status())).agents) == 1


def test_the_last_events_are_shown_oldest_first(town: Town) -> None:
    ada = add(town, "ada")
    run_sync(assign(town, Assign("ada", "dig")))
    shown = run_sync(events(town, Events()))
    assert [event.type for event in shown.events] == [
        "town.initialized",
        "agent.spawned",
        "task.assigned",
        "message.sent",
    ]
    assert shown.names == {ada.id: "ada"}
    assert [event.type for event in run_sync(events(town, Events(count=1))).events] == ["message.sent"]
    assert run_sync(events(town, Events(count=0))).events == ()


def test_events_can_be_picked_by_type_agent_and_task(town: Town) -> None:
    add(town, "ada")
    add(town, "bob")
    task = run_sync(assign(town, Assign("ada", "dig"))).task
    run_sync(assign(town, Assign("bob", "fill")))
    run_sync(complete_task(town, TaskEnd(task.id)))

    def types(**wanted: object) -> list[str]:
        return [event.type for event in run_sync(events(town, Events(**wanted))).events]  # type: ignore[arg-type]

    assert types(type="task") == ["task.assigned", "task.assigned", "task.completed"]
    assert types(type="task.completed") == ["task.completed"]
    assert types(type="tas") == []
    assert types(agent="bob") == ["agent.spawned", "task.assigned", "message.sent"]
    assert types(task=task.id[:8], count=1) == ["task.completed"]
    for wanted, error in (({"agent": "nobody"}, AgentNotFound), ({"task": new_id()}, TaskNotFound)):
        with pytest.raises(error):
            types(**wanted)
    for refused in ({"count": -1}, {"before": "yesterday"}, {"before": "1-0", "after": "1-0"}):
        with pytest.raises(Invalid):
            types(**refused)


def test_events_are_read_page_by_page_in_both_directions(town: Town) -> None:
    add(town, "ada")
    add(town, "bob")
    for number in range(200):
        run_sync(town.journal.append(Event("noise", detail=str(number))))
        if number % 40 == 0:
            run_sync(assign(town, Assign("bob", f"dig {number}")))
    whole = [event.id for event in run_sync(events(town, Events(count=1000, agent="bob"))).events]

    backwards: list[str] = []
    before = None
    while not backwards or before is not None:
        page = run_sync(events(town, Events(count=4, agent="bob", before=before)))
        backwards[:0] = [event.id for event in page.events]
        before = page.next
    forwards: list[str] = []
    after = "0"
    while len(forwards) < len(whole):
        page = run_sync(events(town, Events(count=4, agent="bob", after=after)))
        forwards += [event.id for event in page.events]
        after = page.position

    assert backwards == forwards == whole
    assert len(whole) == 11
    last = run_sync(events(town, Events(after=after, agent="bob")))
    assert (last.events, last.position) == ((), run_sync(town.journal.position()))
    assert run_sync(events(town, Events(before="0"))).events == ()


async def test_events_can_be_followed(made: Path) -> None:
    async with open_async(made, environ=os.environ) as town:
        await added(town, "ada")
        shown = await events(town, Events())
        await kill(town, Kill("ada"))
        with trio.fail_after(5):
            async with aclosing(follow(town, Events(type="agent"), shown.position)) as happening:
                assert [(await anext(happening)).type for _ in range(2)] == ["agent.killed", "agent.stopped"]


async def test_following_begins_now(made: Path) -> None:
    async with open_async(made, environ=os.environ) as town, trio.open_nursery() as nursery:
        seen = []

        async def watch() -> None:
            async with aclosing(follow(town, Events(agent="ada"))) as happening:
                async for event in happening:
                    seen.append(event.type)
                    nursery.cancel_scope.cancel()

        await added(town, "ada")
        nursery.start_soon(watch)
        await added(town, "bob")
        with trio.fail_after(5):
            while not seen:
                await send(town, Send("ada", "Hello"))
    assert seen == ["message.sent"]


def test_what_has_ended_needs_no_waiting(town: Town) -> None:
    add(town, "ada")
    task = run_sync(assign(town, Assign("ada", "dig"))).task
    run_sync(complete_task(town, TaskEnd(task.id, "done")))
    run_sync(kill(town, Kill("ada")))
    ended = run_sync(wait(town, Wait(task=task.id[:8])))
    assert isinstance(ended, Task)
    assert ended.result == "done"
    stopped = run_sync(wait(town, Wait(agent="ada")))
    assert isinstance(stopped, Agent)


def test_one_thing_is_waited_for(town: Town) -> None:
    for request in (Wait(), Wait(agent="ada", task="1234")):
        with pytest.raises(Invalid):
            run_sync(wait(town, request))
    with pytest.raises(AgentNotFound):
        run_sync(wait(town, Wait(agent="nobody")))
    with pytest.raises(TaskNotFound):
        run_sync(wait(town, Wait(task=new_id())))


async def test_waiting_returns_when_the_end_comes(made: Path) -> None:
    async with open_async(made, environ=os.environ) as town:
        ada = await added(town, "ada")
        await added(town, "bob")
        task = (await assign(town, Assign("ada", "dig"))).task
        ended: list[Agent | Task] = []

        async def await_end(request: Wait) -> None:
            ended.append(await wait(town, request))

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(await_end, Wait(agent="ada"))
                nursery.start_soon(await_end, Wait(task=task.id))
                # Not ends of what is waited for.
                await kill(town, Kill("bob"))
                await send(town, Send("ada", "Hello"))
                await town.store.update_agent(ada.id, lambda agent: agent.after(AgentEvent.READY))
                assert ended == []
                await complete_task(town, TaskEnd(task.id, "done"))
                await kill(town, Kill("ada"))
        assert {type(each) for each in ended} == {Agent, Task}
        assert all(each.state.is_terminal for each in ended)


@pytest.mark.parametrize("wanted", ["agent", "task"])
async def test_nobody_waits_for_what_a_reset_has_taken(made: Path, wanted: str) -> None:
    async with open_async(made, environ=os.environ) as town:
        await added(town, "ada")
        task = (await assign(town, Assign("ada", "dig"))).task
        missed: list[TownError] = []

        async def await_end() -> None:
            try:
                await wait(town, Wait(agent="ada") if wanted == "agent" else Wait(task=task.id))
            except (AgentNotFound, TaskNotFound) as error:
                missed.append(error)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(await_end)
                await trio.testing.wait_all_tasks_blocked(0.05)
                await reset(town, Reset(force=True))
        assert len(missed) == 1


def test_a_task_of_an_agent_that_has_ended_is_not_waited_for(town: Town) -> None:
    add(town, "ada")
    bob = add(town, "bob")
    dig = run_sync(assign(town, Assign("ada", "dig"))).task
    fill = run_sync(assign(town, Assign("bob", "fill"))).task
    run_sync(kill(town, Kill("ada")))
    failed = run_sync(
        town.store.update_agent(bob.id, lambda agent: replace(agent.after(AgentEvent.FAIL), reason="no such program"))
    )
    assert failed.state is AgentState.ERROR

    with pytest.raises(Conflict, match="agent 'ada' has stopped") as stopped:
        run_sync(wait(town, Wait(task=dig.id)))
    with pytest.raises(Conflict, match="agent 'bob' is in error: no such program") as broken:
        run_sync(wait(town, Wait(task=fill.id)))
    assert (stopped.value.hint, broken.value.hint) == ("tt restart ada", "Mend the cause, then: tt restart bob")

    # A task that is ended by a person has ended, whatever its agent does.
    run_sync(complete_task(town, TaskEnd(dig.id, "by hand")))
    assert run_sync(wait(town, Wait(task=dig.id))).state is TaskState.COMPLETED


async def test_waiting_for_a_task_ends_when_its_agent_stops(made: Path) -> None:
    async with open_async(made, environ=os.environ) as town:
        for name in ("ada", "bob"):
            await added(town, name)
        task = (await assign(town, Assign("ada", "dig"))).task
        said: list[str] = []

        async def await_end() -> None:
            try:
                await wait(town, Wait(task=task.id))
            except Conflict as error:
                said.append(error.message)

        with trio.fail_after(5):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(await_end)
                await kill(town, Kill("bob"))
                assert said == []
                await kill(town, Kill("ada"))
        assert said == [f"Task {task.id[:8]} does not go on: agent 'ada' has stopped"]
