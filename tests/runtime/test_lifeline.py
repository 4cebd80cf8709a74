"""The lifeline: what no bell told is found by a slow walk."""

from __future__ import annotations

import trio
from stage import Runtime, Stage, bad, good, numbered, settle_down, until
from trio.testing import MockClock

from tinytown.actors.drivers.text import TurnResult
from tinytown.ids import SUPERVISOR_ID
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.messages import Message, Priority, Work
from tinytown.transport.delivery import ControlKind, Fence


def by_hand(to: str, text: str) -> str:
    """What a person types after `redis-cli … RPUSH`."""
    return f'{{"to":"{to}","type":"task","description":"{text}"}}'


async def test_a_spawned_agent_is_adopted_at_its_bell(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    ada = await stage.agent("ada", host="here")
    await stage.store.commit(stage.store.change().ring(ada.id))
    await settle_down()

    assert ada.id in runtime.supervisor
    assert trio.current_time() == 0
    await runtime.end()


async def test_an_agent_whose_bell_was_lost_is_adopted_at_the_next_walk(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    ada = await stage.agent()
    await trio.sleep(5.1)

    assert ada.id in runtime.supervisor
    await runtime.end()


async def test_an_agent_spawned_elsewhere_is_first_left_to_a_runtime_there(clock: MockClock, stage: Stage) -> None:
    here = await Runtime(stage, host="here").start()
    there = await Runtime(stage, host="there").start()
    ada = await stage.agent("ada", host="there")
    await stage.store.commit(stage.store.change().ring(ada.id))
    await settle_down()

    assert (ada.id in here.supervisor, ada.id in there.supervisor) == (False, True)
    bob = await stage.agent("bob", host="nowhere")
    await stage.store.commit(stage.store.change().ring(bob.id))
    await trio.sleep(5.1)
    assert bob.id in {*here.supervisor, *there.supervisor}
    await here.end()
    await there.end()


async def test_a_message_pushed_by_hand_is_found_at_the_next_walk(clock: MockClock, stage: Stage) -> None:
    runtime = await Runtime(stage).start()
    ada = await stage.agent()
    await trio.sleep(6)
    await stage.town.ask("RPUSH", stage.town.keys("inbox", ada.id), by_hand(ada.id, "by hand"))
    await trio.sleep(5.1)

    assert stage.cli.worked == [["by hand"]]
    await runtime.end()


async def test_an_urgent_message_pushed_by_hand_cuts_a_turn(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.hang
    await stage.send(ada, "slow")
    await settle_down()
    stage.cli.behave = stage.cli.succeed
    await stage.town.ask("RPUSH", stage.town.keys("urgent", ada.id), by_hand(ada.id, "now"))
    await trio.sleep(5.1)

    assert stage.cli.runs[0].was_cut
    assert stage.cli.worked[1] == ["now", "slow"]
    await runtime.end()


async def test_a_message_whose_bell_was_lost_is_found_at_the_next_walk(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    lane = stage.town.keys("inbox", ada.id)
    message = Message(SUPERVISOR_ID, ada.id, Work("unheard"))
    await stage.wire.pipeline([("RPUSH", lane, message.encode()), ("SADD", stage.town.keys("ready"), ada.id)])
    await trio.sleep(5.1)

    assert stage.cli.worked == [["unheard"]]
    await runtime.end()


async def test_a_message_that_waits_for_its_time_comes_back(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    await stage.send(ada, "poison", "healthy")

    async def choke(run: object) -> TurnResult:
        await trio.lowlevel.checkpoint()
        return bad() if "poison" in stage.cli.runs[-1].texts and len(stage.cli.runs) < 4 else good()

    stage.cli.behave = choke
    runtime = await Runtime(stage).start()
    await until(lambda: len(stage.cli.runs) == 5)
    await settle_down()

    assert stage.cli.worked == [["poison", "healthy"]] * 2 + [["poison"], ["healthy"], ["poison"]]
    await runtime.end()


async def test_a_turn_that_slept_through_its_leases_keeps_its_messages(clock: MockClock, stage: Stage) -> None:
    """A laptop that was closed for eight hours: by the server's clock every lease has passed."""
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    stage.cli.behave = stage.cli.work_until_released
    await stage.send(ada, "long work")
    await settle_down()
    leases = stage.town.keys("leases", ada.id)
    (tag,) = await stage.town.ask("ZRANGE", leases, 0, -1)
    await stage.town.ask("ZADD", leases, 1, tag)
    await stage.town.ask("ZADD", stage.town.keys("runtimes"), 1, runtime.card.id)
    await trio.sleep(60)
    assert await stage.claimed(ada) == 1

    stage.cli.release.set()
    await trio.sleep(60)
    assert len(stage.cli.runs) == 1
    assert await stage.waiting(ada) == []
    await runtime.end()


async def test_a_claim_that_nobody_holds_any_more_comes_back(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    await settle_down()
    epoch = int(await stage.town.ask("HGET", stage.town.keys("epochs"), ada.id))
    await stage.town.ask("RPUSH", stage.town.keys("inbox", ada.id), by_hand(ada.id, "forgotten"))
    claim = await stage.town.claim(Fence(ada.id, epoch), lease=12)
    assert len(claim.deliveries) == 1
    await trio.sleep(20.1)

    assert stage.cli.worked == [["forgotten"]]
    await runtime.end()


async def test_a_paused_agent_with_messages_costs_a_look_and_no_round(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    await stage.change_agent(ada, lambda found: found.after(AgentEvent.PAUSE))
    await stage.send(ada, "later")
    await settle_down()
    before = len(stage.wire.commands)
    await trio.sleep(300)

    assert stage.cli.runs == []
    assert len(stage.wire.commands) - before < 60 * 8
    await stage.change_agent(ada, lambda found: found.resumed())
    await settle_down()
    assert stage.cli.worked == [["later"]]
    await runtime.end()


async def test_information_alone_costs_nothing_while_nothing_changes(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    runtime = await Runtime(stage).start()
    await stage.inform(ada, *numbered(3))
    await trio.sleep(20)
    before = [command for command in stage.wire.commands if ada.id in command]
    await trio.sleep(300)
    after = [command for command in stage.wire.commands if ada.id in command]

    assert stage.cli.runs == []
    # One sweep a walk, and not one claim.
    assert len(after) - len(before) <= 60
    await runtime.end()


async def test_a_store_that_is_gone_ends_no_lifeline_and_what_it_missed_is_found(
    clock: MockClock, stage: Stage
) -> None:
    runtime = await Runtime(stage).start()
    with stage.twin.outage():
        await trio.sleep(8)
    ada = await stage.agent()
    await trio.sleep(10)

    assert ada.id in runtime.supervisor
    await runtime.end()


async def test_walks_of_many_idle_agents_ask_a_bounded_number_of_things(clock: MockClock, stage: Stage) -> None:
    for number in range(600):
        await stage.agent(f"a{number}")
    runtime = await Runtime(stage).start()
    await trio.sleep(20)
    before = len(stage.wire.commands)
    await trio.sleep(50)

    # Ten walks of four commands each (the fourth looks for tasks that may go on), ten beats.
    assert len(stage.wire.commands) - before <= 60
    assert max(len(command) for command in stage.wire.commands[before:]) < 600
    await runtime.end()


async def test_every_mailbox_is_looked_at_in_turn(clock: MockClock, stage: Stage) -> None:
    agents = [await stage.agent(f"a{number}") for number in range(600)]
    runtime = await Runtime(stage).start()
    await trio.sleep(1)
    for agent in (agents[0], agents[300], agents[-1]):
        await stage.town.ask("RPUSH", stage.town.keys("inbox", agent.id), by_hand(agent.id, agent.name))
    await trio.sleep(11)

    assert sorted(text for texts in stage.cli.worked for text in texts) == ["a0", "a300", "a599"]
    await runtime.end()


async def test_an_ended_agent_is_not_adopted_and_its_messages_wait(clock: MockClock, stage: Stage) -> None:
    ada = await stage.agent()
    await stage.change_agent(ada, lambda found: found.after(AgentEvent.STOP), wake=False)
    runtime = await Runtime(stage).start()
    await stage.send(ada, "for later", priority=Priority.URGENT)
    await stage.control(ada, ControlKind.WAKE)
    await trio.sleep(30)

    assert len(runtime.supervisor) == 0
    assert (await stage.state(ada), stage.cli.runs) == (AgentState.STOPPED, [])
    assert await stage.waiting(ada) == ["for later"]
    await runtime.end()
