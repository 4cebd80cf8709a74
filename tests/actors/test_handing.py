"""What an actor that waits is handed, and what happens when that gets lost."""

from __future__ import annotations

from collections.abc import Mapping

import trio
from hypothesis import given
from hypothesis import strategies as st
from stage import Stage, settle_down
from test_actor import Worker, employ, hang, is_run_of
from towns import texts, work
from trio.testing import MockClock

from tinytown.actors.actor import Bell, Pace, Turn
from tinytown.config import Limits
from tinytown.messages import LANES, Priority
from tinytown.records import Agent
from tinytown.transport.delivery import ControlKind, DeadLetter, Delivery, Outcome
from tinytown.transport.keys import Keys
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.scripts import CLAIM
from tinytown.transport.shelves import Shelves


def claims(stage: Stage) -> int:
    """How often anybody has looked into a mailbox."""
    return sum(map(is_run_of(CLAIM), stage.wire.commands))


async def test_an_actor_that_waits_is_handed_what_comes_and_need_not_look(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    looks = claims(stage)

    for text in ("a", "b", "c"):
        await stage.send(agent, text)
        await settle_down()

    assert worker.taken == [["a"], ["b"], ["c"]]
    assert claims(stage) == looks
    assert await stage.claimed(agent) == 0


async def test_messages_of_one_change_are_handed_in_the_order_of_the_lanes(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    change = stage.store.change()
    for text, lane in (("n1", Priority.NORMAL), ("u", Priority.URGENT), ("n2", Priority.NORMAL), ("low", Priority.LOW)):
        change.send(work(agent, text, lane))

    await stage.store.commit(change)
    await settle_down()

    assert worker.taken == [["u", "n1", "n2"], ["low"]]


async def test_what_only_informs_is_not_handed_and_rides_along(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)

    await stage.inform(agent, "for your information")
    await settle_down()
    assert worker.turns == []

    await stage.send(agent, "work")
    await settle_down()
    (turn,) = worker.turns
    assert len(turn.deliveries) == 2


async def test_what_was_handed_and_got_lost_is_found_at_the_next_look(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    stage.deaf = True
    await stage.send(agent, "lost")
    await settle_down()
    assert (worker.taken, await stage.waiting(agent)) == ([], ["lost"])

    stage.deaf = False
    worker.bell.ring()
    await settle_down()

    assert worker.taken == [["lost"]]
    assert await stage.claimed(agent) == 0


async def test_what_comes_behind_a_lost_one_does_not_overtake_it(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    stage.deaf = True
    await stage.send(agent, "first")
    stage.deaf = False

    await stage.send(agent, "second")
    await settle_down()

    assert worker.taken == [["first", "second"]]


async def test_what_arrives_while_a_look_has_found_it_is_worked_on_once(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    stage.deaf = True
    await stage.send(agent, "late")
    (raw,) = [message.encode() for message in await stage.mailbox.peek(agent.id)]
    stage.wire.keeps_back = is_run_of(CLAIM)
    worker.bell.ring()
    await stage.wire.kept.wait()  # it was found; the reply is on its way, and so is what was handed

    worker.bell.hand(Delivery(1, Priority.NORMAL, raw, work(agent, "late")))
    stage.wire.release.set()
    await settle_down()

    assert worker.taken == [["late"]]


async def test_what_is_handed_right_behind_a_look_that_found_nothing_is_kept(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    stage.wire.keeps_back = is_run_of(CLAIM)
    worker.bell.ring()
    await stage.wire.kept.wait()

    await stage.send(agent, "just behind")
    stage.wire.release.set()
    await settle_down()

    assert worker.taken == [["just behind"]]


async def test_a_stop_that_comes_with_a_message_cuts_its_turn_at_once(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage, hang)

    await stage.send(agent, "work")
    await stage.control(agent, ControlKind.STOP)
    await settle_down()

    assert worker.concluded == ["stop by a person"]
    assert [(control.kind, in_turn) for control, in_turn in worker.obeyed] == [(ControlKind.STOP, True)]


async def test_a_new_life_does_not_work_on_what_an_earlier_one_was_handed(clock: MockClock, stage: Stage) -> None:
    agent, worker, life = await employ(stage)
    stage.deaf = True
    await stage.send(agent, "once")
    (raw,) = [message.encode() for message in await stage.mailbox.peek(agent.id)]
    await life.end()

    bell = Bell()
    bell.hand(Delivery(1, Priority.NORMAL, raw, work(agent, "once")))
    heir = Worker(await stage.town.fence(agent), stage.mailbox, bell, Pace())
    stage.deaf = False
    stage.run(heir)
    await settle_down()

    assert (worker.taken, heir.taken) == ([], [["once"]])


async def test_an_actor_that_ends_gives_back_what_it_was_handed(clock: MockClock, stage: Stage) -> None:
    agent, worker, life = await employ(stage)
    await stage.send(agent, "too late")
    worker.leave()
    await life.over.wait()
    await stage.town.placement.unplace(worker.fence, wanted=True)

    assert (worker.taken, await stage.waiting(agent)) == ([], ["too late"])
    assert await stage.claimed(agent) == 0


async def test_nothing_is_handed_to_a_runtime_that_does_not_listen(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    await stage.wire.unsubscribe(stage.town.keys("handed", stage.channel))

    await stage.send(agent, "a", "b")
    await settle_down()

    assert [text for taken in worker.taken for text in taken] == ["a", "b"]
    assert await stage.claimed(agent) == 0


async def test_a_large_message_waits_in_its_lane(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    looks = claims(stage)

    await stage.send(agent, "x" * 20_000)
    await settle_down()

    assert worker.taken == [["x" * 20_000]]
    assert claims(stage) > looks


async def test_a_message_of_several_lines_that_is_tried_again_arrives_whole(clock: MockClock, stage: Stage) -> None:
    async def give_up(turn: Turn) -> Mapping[int, Outcome]:
        await trio.lowlevel.checkpoint()
        return {delivery.tag: DeadLetter("no") for delivery in turn.deliveries}

    agent, worker, _ = await employ(stage, give_up)
    raw = f'{{"to":"{agent.id}",\n"type":"task",\n"description":"by hand"}}'
    await stage.town.ask("RPUSH", stage.town.keys("inbox", agent.id), raw)
    worker.bell.ring()
    await settle_down()
    worker.do = worker.accept

    await retry_all(stage)
    await settle_down()

    assert worker.taken == [["by hand"], ["by hand"]]


async def retry_all(stage: Stage) -> None:
    """Put the dead letters back, as `tt dlq retry` does."""
    shelves = Shelves(stage.wire, stage.town.keys, stage.town.limits)
    await shelves.redeliver([letter async for letter in shelves.all()], by="a person")


async def test_two_that_wait_are_handed_their_own(clock: MockClock, stage: Stage) -> None:
    ada, at_ada, _ = await employ(stage)
    bob = await stage.agent("bob")
    at_bob = Worker(await stage.town.fence(bob), stage.mailbox, Bell(), Pace())
    stage.run(at_bob)
    await settle_down()
    change = stage.store.change()
    for place, agent in enumerate((ada, bob, ada, bob)):
        change.send(work(agent, f"{agent.name} {place}"))

    await stage.store.commit(change)
    await settle_down()

    assert (at_ada.taken, at_bob.taken) == ([["ada 0", "ada 2"]], [["bob 1", "bob 3"]])


@given(payload=st.binary(max_size=200) | st.from_regex(rb"[0-9]{1,3}(\n[a-z]*\n-?[0-9]\n[^\n]*){0,3}", fullmatch=True))
def test_whatever_is_published_on_the_channel_of_a_runtime_harms_nobody(payload: bytes) -> None:
    mailbox = Mailbox(None, Keys("t"), Limits())  # type: ignore[arg-type]

    for agent_id, delivery in mailbox.handed(payload):
        assert isinstance(agent_id, str)
        assert delivery.lane in LANES


def test_a_bell_gives_what_was_handed_once_and_in_the_order_of_reading() -> None:
    agent, bell = Agent(name="ada", cli="any"), Bell()
    for tag, lane in ((1, Priority.NORMAL), (2, Priority.LOW), (3, Priority.URGENT), (4, Priority.NORMAL)):
        bell.hand(Delivery(tag, lane, b"", work(agent, str(tag), lane)))

    assert texts(bell.take_handed()) == ["3", "1", "4", "2"]
    assert bell.take_handed() == ()
