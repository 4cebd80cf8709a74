"""A runtime as a process: start, one a host, work, signals, what it leaves and what it finds."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from living import LivingTown, wait_until
from relay import relay_to
from servers import RunningServer
from stage import Runtime as StageRuntime
from stage import Stage
from trio.testing import MockClock

from tinytown.actors.processes import RUNTIME_MARK, TOWN_MARK
from tinytown.errors import NotInitialized
from tinytown.ids import SUPERVISOR_ID, new_id
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import Message, TaskAssign, Work
from tinytown.records import Task
from tinytown.runtime.ground import survey
from tinytown.runtime.opening import open_blocking
from tinytown.runtime.operations.tasks import Assign, assign
from tinytown.runtime.operations.waiting import Wait, outlook
from tinytown.runtime.serve import LINGER, Runtime, _end_when_idle, run, serve
from tinytown.transport.blocking import run_sync
from tinytown.transport.delivery import Control, ControlKind
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.store import Store

FAKE = f"{sys.executable} {Path(__file__).parents[1] / 'fake_cli.py'}"


@pytest.fixture
def living(project: Path, user: Path) -> Iterator[LivingTown]:
    """A town on the server of the test run. A round takes as long as `WORKS_FOR` of its runtime says."""
    town = LivingTown(user)
    try:
        yield town
    finally:
        town.close()


@pytest.fixture
def slow(project: Path, user: Path) -> Iterator[LivingTown]:
    """A town whose rounds would take an hour."""
    town = LivingTown(user, works_for=3600.0, config="[runtime]\ninterrupt_grace = 0.2\nterminate_grace = 0.2\n")
    try:
        town.spawn("ada")
        yield town
    finally:
        town.close()


def state_of(town: LivingTown, name: str) -> AgentState:
    async def find(store: Store) -> AgentState:
        return (await store.find_agent(name)).state

    state: AgentState = town.ask(
        lambda connection: find(Store(connection, town.ground.keys, town.ground.settings.limits))
    )
    return state


def begin_round(town: LivingTown) -> None:
    """Send a message and wait until a CLI works on it."""
    town.send(1)
    wait_until(town.handled, what="the round to begin")


def test_what_agents_were_handed_on_a_connection_that_broke_is_found_when_there_is_a_new_one(
    living: LivingTown,
) -> None:
    names = [f"agent{number}" for number in range(20)]
    living.spawn(*names)
    runtime = living.start().wait_ready()
    standing = living.ground.keys("standing")
    wait_until(lambda: living.redis("HLEN", standing) == len(names), what="everybody to wait")
    limits = living.ground.settings.limits

    with runtime.frozen():
        # More than the socket holds: the last of it has not left the server when the connection breaks.
        for number, agent in enumerate(living.agents):
            message = Message(SUPERVISOR_ID, agent.id, Work(f"note id-{number:04d} {'x' * 15_000}"))
            living.ask(lambda wire, message=message: Mailbox(wire, living.ground.keys, limits).send(message))
        assert len(living.in_flight()) == len(names)
        living.redis("CLIENT", "KILL", "TYPE", "pubsub")

    # Long before the lease of what was handed over has passed.
    assert living.ground.settings.runtime.message_lease >= 60
    wait_until(lambda: len(living.handled()) == len(names), within=30, what="the lost ones to be found")
    wait_until(lambda: living.left() == 0, what="all to be settled")
    assert set(living.handled().values()) == {1}


def test_a_runtime_works_and_a_signal_ends_it_cleanly(living: LivingTown) -> None:
    living.spawn("ada", "bob")
    runtime = living.start().wait_ready()
    (card,) = living.cards()
    assert (card.pid, card.host) == (runtime.pid, living.ground.host)
    assert set(living.holders().values()) == {card.id}
    for number in range(10):
        living.send(number)
    wait_until(lambda: not living.left(), what="the work to be done")
    wait_until(lambda: len(living.children()) == 1, what="nothing to be left but what the next round starts with")

    runtime.signal(signal.SIGTERM)

    assert runtime.wait() == 0
    assert living.children() == []
    assert living.cards() == []
    assert living.holders() == {}
    assert sum(living.handled().values()) == 10
    said = runtime.log.read_text()
    assert "🚀 Town connection open" in said
    assert "👋 Closing town connection..." in said
    assert "Traceback" not in said


def test_one_runtime_a_host_and_the_second_says_who_is_there(living: LivingTown) -> None:
    first = living.start().wait_ready()
    second = living.start()

    assert second.wait() == 1
    assert second.is_ready()  # for whoever started it to have one
    said = second.log.read_text()
    assert "A runtime of this town is running on this host already" in said
    assert f'"pid": {first.pid}' in said
    assert "tt stop" in said
    assert "Traceback" not in said
    assert first.process.poll() is None


def test_the_first_signal_lets_turns_end(project: Path, user: Path) -> None:
    town = LivingTown(user, works_for=0.5)
    try:
        town.spawn("ada")
        runtime = town.start().wait_ready()
        begin_round(town)
        runtime.signal(signal.SIGINT)

        assert runtime.wait() == 0
        assert town.left() == 0
        assert town.handled() == {"id-0001": 1}
    finally:
        town.close()


def test_the_second_signal_cuts_turns_and_what_was_cut_waits_uncounted(slow: LivingTown) -> None:
    runtime = slow.start().wait_ready()
    begin_round(slow)
    with open_blocking(slow.root, environ=os.environ) as town:
        assert run_sync(assign(town, Assign("ada", "note id-0002"))).note is None
        runtime.signal(signal.SIGTERM)
        wait_until(lambda: "Closing" in runtime.log.read_text())
        said = run_sync(assign(town, Assign("ada", "note id-0003")))
        looked = run_sync(outlook(town, Wait(task=said.task.id)))
        runtime.signal(signal.SIGTERM)

    assert said.note == looked == "The town is being stopped: it will begin after 'tt start'"
    assert runtime.wait() == 0
    assert slow.left() == 3
    assert slow.children() == []
    for counter in ("attempts", "recoveries"):
        assert slow.redis("HLEN", slow.ground.keys(counter)) == 0
    assert state_of(slow, "ada") is AgentState.IDLE


def test_the_third_signal_kills_what_does_not_hear(project: Path, user: Path) -> None:
    town = LivingTown(user, config=f'[agent_clis.deaf]\ncommand = "{FAKE} deaf say=begun wait"\n')
    try:
        town.spawn("ada", cli="deaf")
        runtime = town.start().wait_ready()
        town.send(1)
        log = town.ground.files.round_log("ada", 1)
        wait_until(lambda: log.exists() and "begun" in log.read_text())
        runtime.signal(signal.SIGINT)
        wait_until(lambda: "Closing" in runtime.log.read_text())
        for number in (signal.SIGTERM, signal.SIGHUP):
            runtime.signal(number)

        assert runtime.wait() == 0
        assert town.children() == []
        assert town.left() == 1
    finally:
        town.close()


def test_no_child_outlives_a_runtime_that_was_killed(slow: LivingTown) -> None:
    runtime = slow.start().wait_ready()
    assert slow.children() == []
    begin_round(slow)
    assert slow.children()

    runtime.kill()

    wait_until(lambda: not slow.children(), what="the children to end", within=5)
    assert slow.in_flight() == {"id-0001"}


def test_a_runtime_sweeps_away_what_an_earlier_one_left_running(living: LivingTown) -> None:
    marks = {TOWN_MARK: living.ground.state.town_id, RUNTIME_MARK: new_id()}
    with subprocess.Popen(["sleep", "600"], env={**os.environ, **marks}) as stray:
        runtime = living.start().wait_ready()

        assert stray.wait(10) == -signal.SIGKILL
        assert "Ended 1 processes" in runtime.log.read_text()


def test_a_town_that_is_none_is_refused(user: Path) -> None:
    with pytest.raises(NotInitialized):
        run(user / "project", announce=lambda _: None)


async def test_a_runtime_inside_a_program_serves_for_as_long_as_its_block(living: LivingTown) -> None:
    living.spawn("ada")
    (ada,) = living.agents
    said: list[str] = []
    limits = living.ground.settings.limits
    with trio.fail_after(30):
        async with serve(living.ground, announce=said.append) as runtime:
            assert list(runtime.supervisor) == [ada.id]
            task = Task("note id-0007").assign(ada.id)

            async def assign(store: Store) -> None:
                message = Message(ada.id, ada.id, TaskAssign(task.id))
                await store.commit(store.change().create_task(task).send(message))

            async def state(store: Store) -> TaskState:
                return (await store.task(task.id)).state

            living.ask(lambda connection: assign(Store(connection, living.ground.keys, limits)))
            while (
                living.ask(lambda connection: state(Store(connection, living.ground.keys, limits)))
                is not TaskState.COMPLETED
            ):
                await trio.sleep(0.01)
            await runtime.drain()

    assert living.handled() == {"id-0007": 1}
    assert living.cards() == []
    assert said == ["ada: Round 1 of 1000000 begins: notes", "ada: Round 1 completed"]


async def test_what_it_claimed_when_its_line_broke_is_worked_on_at_once(
    living: LivingTown, server: RunningServer
) -> None:
    """Long before the lease of what it claimed would pass, and without counting against the message."""
    living.spawn("ada", "bob")
    with relay_to(server.socket_path) as relay, trio.fail_after(living.ground.settings.runtime.message_lease / 4):
        ground = survey(living.root, environ={**os.environ, "REDIS_URL": f"unix://{relay.address.path}"})
        async with serve(ground, announce=lambda _: None) as runtime:
            relay.lose(b"id-0000", b"id-0001")
            for number in range(4):
                living.send(number)
            while living.left():
                await trio.sleep(0.01)
            await runtime.drain()

    assert relay.lost in (1, 2), "both claims may be in one reply"
    assert living.handled() == {f"id-000{number}": 1 for number in range(4)}
    assert living.aside() == {"dlq": 0, "quarantine": 0}
    assert living.redis("HLEN", living.ground.keys("recoveries")) == 0


async def test_a_kill_is_obeyed_although_the_line_broke_when_it_was_heard(
    slow: LivingTown, server: RunningServer
) -> None:
    (ada,) = slow.agents
    limits = slow.ground.settings.limits
    with relay_to(server.socket_path) as relay, trio.fail_after(20):
        ground = survey(slow.root, environ={**os.environ, "REDIS_URL": f"unix://{relay.address.path}"})
        async with serve(ground, announce=lambda _: None) as runtime:
            slow.send(1)
            while not slow.handled():
                await trio.sleep(0.01)
            relay.lose(b'"kind"')

            async def stop(store: Store) -> None:
                control = Control(ControlKind.STOP, ada.incarnation)
                await store.commit(store.change().control(ada.id, control))

            slow.ask(lambda connection: stop(Store(connection, slow.ground.keys, limits)))
            await runtime.supervisor.empty()

    assert relay.lost == 1
    assert state_of(slow, "ada") is AgentState.STOPPED


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_on_a_line_that_breaks_now_and_then(
    living: LivingTown, server: RunningServer, seed: int
) -> None:
    dice = random.Random(seed)
    living.spawn("ada", "bob")
    with relay_to(server.socket_path) as relay, trio.fail_after(30):
        ground = survey(living.root, environ={**os.environ, "REDIS_URL": f"unix://{relay.address.path}"})
        async with serve(ground, announce=lambda _: None) as runtime:
            # Not in the greeting: the pause before the next try grows from one to the next.
            relay.loses = lambda reply: reply[:1] in b"*:$" and relay.lost < 5 and dice.random() < 0.15
            for number in range(200):
                living.send(number)
                await trio.sleep(0.005)
            while living.left():
                await trio.sleep(0.01)
            await runtime.drain()

    assert relay.lost == 5
    assert set(living.handled()) == {f"id-{number:04d}" for number in range(200)}
    assert living.aside() == {"dlq": 0, "quarantine": 0}
    assert living.redis("HLEN", living.ground.keys("recoveries")) == 0


# The end of a runtime that nobody sits in front of.


@pytest.mark.parametrize("retires", [True, False])
async def test_a_runtime_in_the_background_ends_when_it_had_no_agent_for_a_while(
    clock: MockClock, stage: Stage, retires: bool
) -> None:
    ada = await stage.agent(max_rounds=1)
    on_stage = await StageRuntime(stage).start()
    asked: list[float] = []

    async def retire() -> bool:
        asked.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        return retires or len(asked) > 1

    served = Runtime(on_stage.card, on_stage.supervisor, on_stage.scheduler, 30.0, retire)
    scope = trio.CancelScope()
    stage.nursery.start_soon(_end_when_idle, served, scope)
    await trio.sleep(100)
    assert not asked

    await stage.send(ada, "the last")
    while not scope.cancel_called:
        await trio.sleep(1)

    assert asked == ([100 + LINGER] if retires else [100 + LINGER, 100 + 2 * LINGER])
    await on_stage.end()
