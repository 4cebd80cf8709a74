"""The supervisor: one for one, intensity, the end of patience, outages, leaving."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from stage import Run, Runtime, Stage, bad, good, settle_down, until
from trio.testing import MockClock

from tinytown import times
from tinytown.actors.actor import Actor, Bell
from tinytown.actors.drivers.text import TurnResult
from tinytown.errors import RedisUnreachable
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentEvent, AgentState, TaskState
from tinytown.messages import Informational
from tinytown.records import Agent
from tinytown.transport.delivery import ControlKind, Fence
from tinytown.transport.placement import new_runtime_id


class Crashes:
    """Makes actors whose rounds break down, as a bug of ours would, for some agents."""

    def __init__(self, stage: Stage, *agents: Agent) -> None:
        self._stage = stage
        self._ids = {agent.id for agent in agents}
        self.lives: list[tuple[str, float]] = []

    def __call__(self, fence: Fence, bell: Bell) -> Actor:
        self.lives.append((fence.id, trio.current_time()))
        return self._stage.make_actor(fence, bell, self._break if fence.id in self._ids else None)

    async def _break(self, *_: object) -> TurnResult:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("a bug")

    def times(self, agent: Agent) -> list[float]:
        """When the actors of this agent began."""
        return [at for agent_id, at in self.lives if agent_id == agent.id]


async def test_every_agent_that_is_there_gets_an_actor(clock: MockClock, stage: Stage) -> None:
    agents = [await stage.agent(f"a{number}") for number in range(600)]
    runtime = await Runtime(stage).start()
    await settle_down()

    assert len(runtime.supervisor) == 600
    assert set(runtime.supervisor) == {agent.id for agent in agents}
    assert {agent.state for agent in await stage.store.agents()} == {AgentState.IDLE}
    await runtime.end()


async def test_a_crash_is_no_business_of_the_others(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    runtime = Runtime(stage)
    runtime.make_actor = crashes = Crashes(stage, ada)
    stage.cli.behave = stage.cli.work_until_released
    await runtime.start()
    await stage.send(bob, "slow work")
    await stage.send(ada, "break")
    await until(lambda: len(crashes.times(ada)) >= 4)
    stage.cli.release.set()
    await settle_down()

    assert crashes.times(bob) == [0]
    assert stage.cli.worked == [["slow work"]]
    assert not stage.cli.runs[0].was_cut
    assert any("ZeroDivisionError: a bug" in report for report in runtime.reports)
    await runtime.end()


async def test_a_child_that_crashes_is_restarted_at_once_then_ever_later_then_no_more(
    clock: MockClock, stage: Stage
) -> None:
    ada = await stage.agent()
    runtime = Runtime(stage)
    runtime.make_actor = crashes = Crashes(stage, ada)
    await runtime.start()
    (task,) = await stage.assign(ada, "break")
    await until(lambda: not len(runtime.supervisor))

    assert [round(at) for at in crashes.times(ada)] == [0, 0, 5, 15, 35, 75]
    after = await stage.record(ada)
    assert after.state is AgentState.ERROR
    assert after.reason == "its actor crashed 6 times; last: ZeroDivisionError: a bug"
    assert await stage.waiting(ada) == ["task_assign"]
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    (told,) = await stage.mailbox.peek(SUPERVISOR_ID)
    assert isinstance(told.body, Informational)
    assert "crashed 6 times" in told.body.summary
    assert [event.agent for event in await stage.events("agent.failed")] == [ada.id]
    assert await stage.town.placement.holders([ada.id]) == {}
    await trio.sleep(3600)
    assert len(crashes.times(ada)) == 6
    await runtime.end()


async def test_a_runtime_that_starts_anew_goes_on_counting_crashes(clock: MockClock, stage: Stage) -> None:
    """Else a crash that takes its runtime with it, or a person who starts it again and again, would never end."""
    ada = await stage.agent()
    await stage.send(ada, "break")
    lives = []
    for _ in range(3):
        runtime = Runtime(stage)
        runtime.make_actor = crashes = Crashes(stage, ada)
        await runtime.start()
        before = len((await stage.record(ada)).crashed_at)
        await until(lambda c=crashes, r=runtime: len(c.times(ada)) == 3 or not len(r.supervisor))
        lives.append(len((await stage.record(ada)).crashed_at) - before)
        await runtime.kill()

    after = await stage.record(ada)
    assert sum(lives) == 6
    assert (after.state, after.reason) == (
        AgentState.ERROR,
        "its actor crashed 6 times; last: ZeroDivisionError: a bug",
    )


async def test_crashes_of_long_ago_and_what_is_no_time_do_not_count(clock: MockClock, stage: Stage) -> None:
    old = tuple(times.timestamp(times.seconds_of(times.now()) - ago) for ago in (4000, 3000, 2000, 1000, 601))
    ada = await stage.agent(crashed_at=(*old, times.Timestamp("yesterday")))
    runtime = Runtime(stage)
    runtime.make_actor = crashes = Crashes(stage, ada)
    await runtime.start()
    await stage.send(ada, "break")
    await until(lambda: not len(runtime.supervisor))

    assert len(crashes.times(ada)) == 6
    assert len((await stage.record(ada)).crashed_at) == 6
    await runtime.end()


async def test_a_crash_counts_for_no_message(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = Runtime(stage)
    runtime.make_actor = Crashes(stage, ada)
    await runtime.start()
    await stage.send(ada, "a")
    await until(lambda: not len(runtime.supervisor))

    await runtime.end()
    (entry,) = await stage.mailbox.peek(ada.id)
    assert await stage.town.ask("HGET", stage.town.keys("attempts"), entry.id) is None
    assert await stage.town.ask("HGET", stage.town.keys("recoveries"), entry.id) is None


async def test_a_damaged_record_ends_its_actor_and_nobody_else(clock: MockClock, stage: Stage) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    await stage.town.ask("SET", stage.town.keys("agent", ada.id), b"{damaged")
    runtime = await Runtime(stage).start()
    await until(lambda: ada.id not in runtime.supervisor)
    await stage.send(bob, "go on")
    await settle_down()

    assert bob.id in runtime.supervisor
    assert stage.cli.worked == [["go on"]]
    assert any("could not be recorded" in report for report in runtime.reports)
    await runtime.end()


async def test_a_store_that_is_gone_for_a_moment_is_no_crash_and_no_death(clock: MockClock, stage: Stage) -> None:
    """Six outages, each in the middle of a turn's end: more than a crash counter or a quarantine would forgive."""
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    for number in range(6):
        stage.cli.release = trio.Event()
        stage.cli.behave = stage.cli.work_until_released
        if number == 0:
            await stage.send(ada, "a")
        await until(lambda n=number: len(stage.cli.runs) == n + 1)
        with stage.twin.outage():
            stage.cli.release.set()
            await trio.sleep(3)
    stage.cli.behave = stage.cli.succeed
    with trio.fail_after(60):
        while await stage.mailbox.waiting(ada.id):
            await trio.sleep(1)

    assert ada.id in runtime.supervisor
    assert not any("crashed" in report for report in runtime.reports)
    assert await stage.town.entries("quarantine") == []
    assert await stage.dead_letters() == []
    assert (await stage.record(ada)).state is AgentState.IDLE
    await runtime.end()


async def test_a_store_that_answers_with_errors_is_asked_with_pauses(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = Runtime(stage)
    lives: list[float] = []

    class Refused(Actor):
        async def live(self) -> None:
            lives.append(trio.current_time())
            await trio.lowlevel.checkpoint()
            raise RedisUnreachable("some error of the server")

    runtime.make_actor = lambda fence, bell: Refused(fence, stage.mailbox, bell, stage.pace)
    await runtime.start()
    await trio.sleep(60)

    assert ada.id in runtime.supervisor
    assert 10 < len(lives) < 30
    await runtime.end()


async def test_an_agent_that_is_held_elsewhere_is_left_there(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    first = await Runtime(stage, host="one").start()
    second = await Runtime(stage, host="two").start()
    await trio.sleep(60)

    assert (ada.id in first.supervisor, ada.id in second.supervisor) == (True, False)
    assert await stage.town.placement.holders([ada.id]) == {ada.id: first.card.id}
    await first.end()
    await second.end()


async def test_an_agent_that_was_placed_elsewhere_is_let_go(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "a")
    await settle_down()
    other = new_runtime_id()
    await stage.town.ask("ZREM", stage.town.keys("runtimes"), runtime.card.id)
    (placed,) = await stage.town.placement.place(other, [ada.id])
    assert placed.fence is not None
    await stage.town.ask("ZADD", stage.town.keys("runtimes"), 1e15, other)
    await trio.sleep(30)

    assert ada.id not in runtime.supervisor
    assert stage.cli.runs[0].was_cut
    assert await stage.town.placement.holders([ada.id]) == {ada.id: other}
    await runtime.end()


async def test_the_conductors_mailbox_gets_no_actor(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()

    assert await runtime.supervisor.adopt([SUPERVISOR_ID]) == 0
    assert len(runtime.supervisor) == 0
    await runtime.end()


async def test_an_agent_that_has_ended_leaves_no_child(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent(max_rounds=1)
    runtime = await Runtime(stage).start()
    await stage.send(ada, "only this")
    await settle_down()

    assert len(runtime.supervisor) == 0
    assert not runtime.supervisor.ring(ada.id)
    assert await stage.town.placement.unplaced() == []
    await runtime.supervisor.empty()
    await runtime.end()


async def test_an_agent_that_is_restarted_while_its_actor_ends_lives_again_at_once(
    clock: MockClock, stage: Stage
) -> None:
    ada = await stage.agent(max_rounds=1)
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(ada, "a")
    await settle_down()
    stage.wire.keeps_back = lambda command: b"ack" in command or "ack" in command
    stage.cli.release.set()
    await stage.wire.kept.wait()  # it has stopped; the actor still settles

    seen = await stage.store.see_agent(ada.id)
    reborn = replace(seen.record.after(AgentEvent.RESTART), incarnation=2, rounds_completed=0)
    await stage.store.commit(stage.store.change().replace_agent(seen, reborn).ring(ada.id))
    await stage.send(ada, "again")
    began = trio.current_time()
    stage.wire.keeps_back = lambda _: False
    stage.wire.release.set()
    await settle_down()

    assert trio.current_time() == began
    assert await stage.town.placement.unplaced() == []
    assert stage.cli.worked[-1] == ["again"]
    await runtime.end()


# Leaving.


async def test_a_runtime_that_leaves_lets_turns_end_and_keeps_the_agents_for_the_next(
    clock: MockClock, stage: Stage
) -> None:
    ada, bob = await stage.agent("ada"), await stage.agent("bob")
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(ada, "slow")
    await settle_down()

    runtime.supervisor.leave_all(trio.current_time() + 30)
    await settle_down()
    assert list(runtime.supervisor) == [ada.id]
    assert await runtime.supervisor.adopt([bob.id]) == 0
    stage.cli.release.set()
    await runtime.supervisor.empty()

    assert not stage.cli.runs[0].was_cut
    assert await stage.waiting(ada) == []
    assert sorted(await stage.town.placement.unplaced()) == sorted([ada.id, bob.id])
    assert {agent.state for agent in await stage.store.agents()} == {AgentState.IDLE}
    await runtime.end()


async def test_a_turn_that_outlasts_the_grace_is_cut_and_waits_for_the_next_runtime(
    clock: MockClock, stage: Stage
) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    (task,) = await stage.assign(ada, "endless")
    await settle_down()
    began = trio.current_time()

    runtime.supervisor.leave_all(trio.current_time() + 30)
    await runtime.supervisor.empty()

    assert trio.current_time() - began == 30
    assert stage.cli.runs[0].was_cut
    assert await stage.waiting(ada) == ["task_assign"]
    assert (await stage.store.task(task.id)).state is TaskState.ASSIGNED
    await runtime.end()

    stage.cli.behave = stage.cli.succeed
    successor = await Runtime(stage).start()
    await settle_down()
    assert (await stage.store.task(task.id)).state is TaskState.COMPLETED
    assert "Attempt" not in stage.cli.runs[1].prompt
    await successor.end()


@pytest.mark.parametrize(("step", "hurried"), [(2.0, False), (0.0, True)])
async def test_a_second_signal_cuts_all_turns_and_a_third_kills(
    clock: MockClock, stage: Stage, step: float, hurried: bool
) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "endless")
    await settle_down()
    runtime.supervisor.leave_all(trio.current_time() + 30)

    runtime.supervisor.drop_all(step=step)
    await runtime.supervisor.empty()

    (run,) = stage.cli.runs
    assert run.was_cut
    assert (run.ladder.interrupt_s, run.ladder.hurried) == (step, hurried)
    await runtime.end()


async def test_a_kill_now_and_a_restart_are_obeyed_by_a_supervised_agent(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "a")
    await settle_down()
    await stage.control(ada, ControlKind.STOP)
    await settle_down()

    assert await stage.state(ada) is AgentState.STOPPED
    assert len(runtime.supervisor) == 0
    await runtime.end()


async def test_failures_of_the_cli_are_no_crashes(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    results = [bad(), bad(), good()]

    async def replay(run: Run) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return results.pop(0)

    stage.cli.behave = replay
    runtime = await Runtime(stage).start()
    await stage.send(ada, "a")
    await until(lambda: not results)
    await settle_down()

    assert runtime.reports == []
    assert await stage.waiting(ada) == []
    await runtime.end()
