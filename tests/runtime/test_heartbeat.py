"""The heartbeat: leases renewed, the fence in time, taking over and coming back."""

from __future__ import annotations

import pytest
import trio
from stage import Runtime, Stage, settle_down, until
from trio.testing import MockClock

from tinytown.lifecycle import TaskState
from tinytown.transport.scripts import BEAT, source


async def lease_left(stage: Stage, runtime: Runtime) -> float:
    """Seconds until the lease of a runtime passes, by the server's clock."""
    seconds, micros = await stage.town.ask("TIME")
    score = await stage.town.ask("ZSCORE", stage.town.keys("runtimes"), runtime.card.id)
    return float(score) / 1000 - int(seconds) - int(micros) / 1e6


async def test_the_lease_is_renewed_every_third_of_it(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    left = []
    for _ in range(300):
        await trio.sleep(1)
        left.append(await lease_left(stage, runtime))

    assert 9.9 < min(left) <= 11.1
    assert max(left) <= 15.1
    await runtime.end()


async def test_one_command_renews_for_all_agents(clock: MockClock, stage: Stage) -> None:
    for number in range(50):
        await stage.agent(f"a{number}")
    runtime = await Runtime(stage).start()
    await trio.sleep(6)
    before = len(stage.wire.commands)
    await trio.sleep(50)
    beats = [command for command in stage.wire.commands[before:] if runtime.card.id in command]

    assert len(beats) == 10
    await runtime.end()


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_runtime_without_renewals_for_two_thirds_of_its_lease_cuts_all_turns_in_time(
    clock: MockClock, stage: Stage, hangs: bool
) -> None:
    """Whether the store is gone or only hangs: what runs has ended before another runtime may begin it again."""
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "a")
    await trio.sleep(12)
    last = trio.current_time() + await lease_left(stage, runtime) - 15
    if hangs:
        text = source(BEAT.name)
        stage.wire.keeps_back = lambda command: runtime.card.id in command or text in command
    else:
        stage.twin.is_up = False
    await until(lambda: stage.cli.runs[0].was_cut)

    (run,) = stage.cli.runs
    assert run.ended - last == pytest.approx(10, abs=0.1)
    # The steps of the CLI's end fit into what is left of the lease.
    assert run.ladder.interrupt_s + run.ladder.terminate_s < 5
    stage.twin.is_up = True
    stage.wire.keeps_back = lambda _: False
    stage.wire.release.set()
    await runtime.end()


async def test_a_start_of_the_server_that_takes_long_does_not_keep_the_fence_from_falling(
    clock: MockClock, stage: Stage
) -> None:
    ada = await stage.agent()
    runtime = Runtime(stage)
    runtime.heals = trio.sleep_forever
    await runtime.start()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "a")
    await settle_down()
    stage.twin.is_up = False
    await until(lambda: stage.cli.runs[0].was_cut)

    assert stage.cli.runs[0].ended == pytest.approx(10, abs=0.1)
    stage.twin.is_up = True
    await runtime.end()


async def test_a_fenced_runtime_comes_back_and_goes_on_where_it_was(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    (task,) = await stage.assign(ada, "a")
    await settle_down()
    with stage.twin.outage():
        await until(lambda: stage.cli.runs[0].was_cut)
        await trio.sleep(120)
        assert len(runtime.supervisor) == 0
    stage.cli.behave = stage.cli.succeed
    began = trio.current_time()
    await until(lambda: len(stage.cli.runs) == 2)
    await settle_down()

    assert trio.current_time() - began < 11
    assert (await stage.store.task(task.id)).state is TaskState.COMPLETED
    assert [each.id for each in await stage.town.placement.runtimes()] == [runtime.card.id]
    assert "all turns are cut: no renewal of the lease for 10 s" in runtime.reports
    # That was an outage of the store, not the death of a runtime.
    assert await stage.town.ask("HLEN", stage.town.keys("recoveries")) == 0
    await runtime.end()


async def test_an_outage_shorter_than_the_fence_cuts_nothing(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(ada, "a")
    await trio.sleep(5.5)
    with stage.twin.outage():
        await trio.sleep(8)
    await trio.sleep(60)
    stage.cli.release.set()
    await settle_down()

    assert not stage.cli.runs[0].was_cut
    assert len(stage.cli.runs) == 1
    assert runtime.healed >= 1
    await runtime.end()


async def test_a_runtime_that_died_is_replaced_within_twenty_five_seconds(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    first = await Runtime(stage, host="one").start()
    second = await Runtime(stage, host="two").start()
    stage.cli.behave = stage.cli.hang
    (task,) = await stage.assign(ada, "a")
    await trio.sleep(30)
    await first.kill()
    died = trio.current_time()
    stage.cli.behave = stage.cli.succeed
    await until(lambda: len(stage.cli.runs) == 2)
    await settle_down()

    assert trio.current_time() - died <= 25
    assert ada.id in second.supervisor
    done = await stage.store.task(task.id)
    assert (done.state, done.attempts) == (TaskState.COMPLETED, 2)
    assert [each.id for each in await stage.town.placement.runtimes()] == [second.card.id]
    await second.end()


async def test_a_runtime_that_was_taken_for_dead_adopts_nobody_until_it_is_registered_again(
    clock: MockClock, stage: Stage
) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "a")
    await settle_down()
    await stage.town.ask("ZREM", stage.town.keys("runtimes"), runtime.card.id)
    await until(lambda: stage.cli.runs[0].was_cut)
    await settle_down()

    assert len(runtime.supervisor) == 0
    assert await runtime.supervisor.adopt([ada.id]) == 0
    stage.cli.behave = stage.cli.succeed
    await trio.sleep(6)
    assert ada.id in runtime.supervisor
    assert len(stage.cli.runs) == 2
    assert any("another runtime took its place" in report for report in runtime.reports)
    await runtime.end()


async def test_two_runtimes_that_lose_the_store_share_the_agents_again_and_no_work_is_lost(
    clock: MockClock, stage: Stage
) -> None:
    agents = [await stage.agent(f"a{number}") for number in range(6)]
    runtimes = [await Runtime(stage, host=host).start() for host in ("one", "two")]
    stage.cli.behave = stage.cli.hang
    for agent in agents:
        await stage.send(agent, agent.name)
    await settle_down()
    with stage.twin.outage():
        await trio.sleep(60)
    stage.cli.behave = stage.cli.succeed
    await trio.sleep(60)

    held = [set(runtime.supervisor) for runtime in runtimes]
    assert held[0] | held[1] == {agent.id for agent in agents}
    assert not held[0] & held[1]
    assert [await stage.waiting(agent) for agent in agents] == [[]] * 6
    assert await stage.dead_letters() == []
    assert await stage.town.entries("quarantine") == []
    for runtime in runtimes:
        await runtime.end()


async def test_a_connection_that_broke_is_mended_at_once(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    runtime.heartbeat.wake()
    await settle_down()

    assert runtime.healed == 1
    assert trio.current_time() == 0
    await runtime.end()
