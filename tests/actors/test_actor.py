"""The actor's loop: bells, turns, leases, cuts, and what goes back."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise

import pytest
import trio
from stage import Life, Stage, numbered, settle_down
from towns import snapshot
from trio.testing import MockClock

from tinytown.actors.actor import Actor, Bell, Pace, Turn
from tinytown.errors import LeaseLost, RedisUnreachable
from tinytown.messages import Priority
from tinytown.records import Agent
from tinytown.transport.delivery import Ack, Control, ControlKind, Outcome, Retry, Return
from tinytown.transport.scripts import CLAIM, GLANCE, SETTLE, Script, source

Handle = Callable[[Turn], Awaitable[Mapping[int, Outcome]]]


class Worker(Actor):
    """An actor whose turns do what the test says; at first they accept everything."""

    do: Handle

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.turns: list[Turn] = []
        self.obeyed: list[tuple[Control, bool]] = []
        self.concluded: list[str] = []
        self.was_held = 0
        self.do = self.accept

    async def accept(self, turn: Turn) -> Mapping[int, Outcome]:
        await trio.lowlevel.checkpoint()
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    async def handle(self, turn: Turn) -> Mapping[int, Outcome]:
        self.turns.append(turn)
        return await self.do(turn)

    async def conclude(self, turn: Turn) -> None:
        self.concluded.append(turn.cut_by)

    async def obey(self, control: Control, turn: Turn | None) -> None:
        self.obeyed.append((control, turn is not None))
        await super().obey(control, turn)

    async def held(self) -> None:
        self.was_held += 1

    @property
    def taken(self) -> list[list[str]]:
        """The texts of each turn."""
        return [texts_of(turn) for turn in self.turns]


def texts_of(turn: Turn) -> list[str]:
    found = []
    for delivery in turn.deliveries:
        assert delivery.message is not None
        found.append(delivery.message.body.description)  # type: ignore[union-attr]
    return found


async def hang(turn: Turn) -> Mapping[int, Outcome]:
    await trio.sleep_forever()
    raise AssertionError


async def employ(stage: Stage, do: Handle | None = None, *, pace: Pace | None = None) -> tuple[Agent, Worker, Life]:
    """A new agent and its worker, which waits at the mailbox."""
    agent = await stage.agent()
    worker = Worker(await stage.town.fence(agent), stage.mailbox, Bell(), Pace())
    if do is not None:
        worker.do = do
    life = stage.run(worker)
    await settle_down()
    return agent, worker, life


async def employ_at(stage: Stage, *texts: str) -> tuple[Agent, Worker]:
    """A new agent whose worker has taken these messages and does not come to an end."""
    agent = await stage.agent()
    await stage.send(agent, *texts)
    worker = Worker(await stage.town.fence(agent), stage.mailbox, Bell(), Pace())
    worker.do = hang
    stage.run(worker)
    await settle_down()
    assert worker.taken == [list(texts)]
    return agent, worker


def is_run_of(script: Script) -> Callable[[tuple[object, ...]], bool]:
    """Whether a command runs this script."""
    text = source(script.name)
    forms = {text, hashlib.sha1(text.encode()).hexdigest()}
    return lambda command: command[0] in ("EVAL", "EVALSHA") and command[1] in forms


# Bells.


async def test_a_bell_that_rang_before_anybody_waited_is_heard() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()

    await bell.wait()
    bell.take()

    with trio.move_on_after(0) as scope:
        await bell.wait()
    assert scope.cancelled_caught


async def test_a_message_that_comes_during_a_claim_causes_another_claim(clock: MockClock, stage: Stage) -> None:
    agent = await stage.agent()
    worker = Worker(await stage.town.fence(agent), stage.mailbox, Bell(), Pace())
    stage.wire.keeps_back = is_run_of(CLAIM)
    stage.run(worker)
    await stage.wire.kept.wait()  # it has looked and found nothing; the reply is on its way

    await stage.send(agent, "just missed")
    stage.wire.release.set()
    await settle_down()

    assert worker.taken == [["just missed"]]


async def test_a_message_that_comes_during_a_turn_is_taken_by_the_next(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage, hang)
    await stage.send(agent, "first")
    await settle_down()
    await stage.send(agent, "second")
    await settle_down()
    assert worker.taken == [["first"]]

    worker.do = worker.accept
    await stage.control(agent, ControlKind.CUT)
    await settle_down()

    assert worker.taken == [["first"], ["first", "second"]]


async def test_an_actor_without_work_asks_nothing(clock: MockClock, stage: Stage) -> None:
    await employ(stage)
    before = len(stage.wire.commands)

    await trio.sleep(20 * 3600)

    assert len(stage.wire.commands) == before


# Turns.


async def test_everything_that_waits_is_one_turn_and_then_settled(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    await stage.send(agent, "a", "b")
    await settle_down()
    await stage.send(agent, *numbered(60))
    await settle_down()

    assert sorted(text for taken in worker.taken for text in taken) == ["a", "b", *numbered(60)]
    assert max(len(taken) for taken in worker.taken) <= 50
    assert (await stage.waiting(agent), await stage.claimed(agent)) == ([], 0)


async def test_what_a_turn_claimed_is_settled_when_it_has_ended_and_not_before(clock: MockClock, stage: Stage) -> None:
    ended = trio.Event()

    async def work(turn: Turn) -> Mapping[int, Outcome]:
        await ended.wait()
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    agent, worker = await employ_at(stage, "a", "b")
    worker.do = work
    await stage.control(agent, ControlKind.CUT)
    await settle_down()
    assert await stage.claimed(agent) == 2

    ended.set()
    await settle_down()
    assert await stage.claimed(agent) == 0


async def test_what_a_turn_says_nothing_about_goes_back_uncounted(clock: MockClock, stage: Stage) -> None:
    once = [True]

    async def work(turn: Turn) -> Mapping[int, Outcome]:
        if once:
            once.pop()
            return {turn.deliveries[0].tag: Ack()}
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    agent, worker, _ = await employ(stage, work)
    await stage.send(agent, *numbered(3))
    await settle_down()

    again = [delivery for turn in worker.turns[1:] for delivery in turn.deliveries]
    assert {delivery.failures for delivery in again} == {0}
    assert await stage.waiting(agent) == []


async def test_messages_that_go_back_quietly_wait_for_the_next_bell_and_cost_nothing(
    clock: MockClock, stage: Stage
) -> None:
    async def decline(turn: Turn) -> Mapping[int, Outcome]:
        return {delivery.tag: Return(quiet=True) for delivery in turn.deliveries}

    agent, worker, _ = await employ(stage, decline)
    await stage.send(agent, "not now")
    await settle_down()
    turns, commands = len(worker.turns), len(stage.wire.commands)

    await trio.sleep(3600)

    assert (len(worker.turns), len(stage.wire.commands)) == (turns, commands)
    await stage.send(agent, "and this")
    await settle_down()
    assert worker.taken[-1] == ["not now", "and this"]


async def test_a_message_that_comes_while_others_go_back_quietly_is_not_left_lying(
    clock: MockClock, stage: Stage
) -> None:
    seen = trio.Event()

    async def decline(turn: Turn) -> Mapping[int, Outcome]:
        if len(turn.deliveries) > 1:
            return {delivery.tag: Ack() for delivery in turn.deliveries}
        await seen.wait()
        return {delivery.tag: Return(quiet=True) for delivery in turn.deliveries}

    agent, worker, _ = await employ(stage, decline)
    await stage.send(agent, "first")
    await settle_down()
    await stage.send(agent, "second")
    await settle_down()  # its bell has been heard by the turn that runs
    seen.set()
    await settle_down()

    assert worker.taken == [["first"], ["first", "second"]]


async def test_a_turn_that_raises_ends_the_actor_with_that_error_and_its_messages_wait_uncounted(
    clock: MockClock, stage: Stage
) -> None:
    async def break_down(turn: Turn) -> Mapping[int, Outcome]:
        raise ZeroDivisionError

    agent, worker, life = await employ(stage, break_down)
    await stage.send(agent, "a", "b")
    await life.over.wait()

    assert isinstance(life.error, ZeroDivisionError)
    assert await stage.waiting(agent) == ["a", "b"]
    assert worker.concluded == [""]
    claim = await stage.town.claim(await stage.town.fence(agent))
    assert [delivery.attempt for delivery in claim.deliveries] == [1, 1]


async def test_what_failed_comes_back_in_its_old_order_and_counted(clock: MockClock, stage: Stage) -> None:
    async def fail_once(turn: Turn) -> Mapping[int, Outcome]:
        worker.do = worker.accept
        return {delivery.tag: Retry(0.0, 7) for delivery in turn.deliveries}

    agent = await stage.agent()
    await stage.send(agent, *numbered(12))
    worker = Worker(await stage.town.fence(agent), stage.mailbox, Bell(), Pace())
    worker.do = fail_once
    stage.run(worker)
    await settle_down()

    assert worker.taken == [numbered(12), numbered(12)]
    assert {(each.failures, each.successes_before) for each in worker.turns[1].deliveries} == {(1, 7)}


# Urgent and control messages.


async def test_an_urgent_message_cuts_the_turn_goes_first_and_the_rest_keeps_its_order(
    clock: MockClock, stage: Stage
) -> None:
    agent, worker = await employ_at(stage, "1", "2", "3")
    worker.do = worker.accept

    await stage.send(agent, "now!", priority=Priority.URGENT)
    await settle_down()

    assert worker.taken == [["1", "2", "3"], ["now!", "1", "2", "3"]]
    assert worker.concluded == ["an urgent message"]
    assert {delivery.attempt for delivery in worker.turns[1].deliveries} == {1}
    assert await stage.waiting(agent) == []


async def test_a_turn_that_is_urgent_already_is_not_cut_by_another_urgent_message(
    clock: MockClock, stage: Stage
) -> None:
    agent, worker, _ = await employ(stage, hang)
    await stage.send(agent, "fire", priority=Priority.URGENT)
    await settle_down()
    await stage.send(agent, "flood", priority=Priority.URGENT)
    await settle_down()

    assert worker.taken == [["fire"]]
    assert worker.turns[0].is_urgent
    assert worker.turns[0].cut_by == ""


async def test_a_message_that_is_not_urgent_cuts_nothing(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage, hang)
    await stage.send(agent, "a")
    await settle_down()
    for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW):
        await stage.send(agent, "b", priority=priority)
    await settle_down()

    assert len(worker.turns) == 1
    assert not worker.turns[0].scope.cancel_called


@pytest.mark.parametrize(
    ("kind", "cuts"), [(ControlKind.STOP, True), (ControlKind.CUT, True), (ControlKind.WAKE, False)]
)
async def test_a_control_message_cuts_a_running_turn_or_does_not(
    clock: MockClock, stage: Stage, kind: ControlKind, cuts: bool
) -> None:
    agent, worker, _ = await employ(stage, hang)
    await stage.send(agent, "a")
    await settle_down()

    await stage.control(agent, kind)
    await settle_down()

    assert worker.turns[0].scope.cancel_called is cuts
    assert [during for _, during in worker.obeyed] == [True]
    assert worker.turns[0].cut_by == (f"{kind} by a person" if cuts else "")


async def test_control_messages_go_before_everything_that_waits_and_are_taken_once(
    clock: MockClock, stage: Stage
) -> None:
    agent = await stage.agent()
    await stage.send(agent, "a", priority=Priority.URGENT)
    await stage.control(agent, ControlKind.WAKE)
    worker = Worker(await stage.town.fence(agent), stage.mailbox, Bell(), Pace())
    stage.run(worker)
    await settle_down()

    assert [control.kind for control, _ in worker.obeyed] == [ControlKind.WAKE]
    assert worker.taken == [["a"]]
    assert await stage.town.ask("EXISTS", stage.town.keys("control", agent.id)) == 0


async def test_a_control_message_is_obeyed_though_its_turn_ended_while_it_was_fetched(
    clock: MockClock, stage: Stage
) -> None:
    ended = trio.Event()

    async def work(turn: Turn) -> Mapping[int, Outcome]:
        await ended.wait()
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    agent, worker, _ = await employ(stage, work)
    await stage.send(agent, "a")
    await settle_down()
    stage.wire.keeps_back = is_run_of(GLANCE)
    await stage.control(agent, ControlKind.STOP)
    await stage.wire.kept.wait()  # Redis has given it away; the reply is on its way

    ended.set()
    await settle_down()
    stage.wire.release.set()
    await settle_down()

    assert [control.kind for control, _ in worker.obeyed] == [ControlKind.STOP]
    assert await stage.claimed(agent) == 0


async def test_a_held_agent_is_given_nothing(clock: MockClock, stage: Stage) -> None:
    agent, worker, _ = await employ(stage)
    await stage.town.ask("SADD", stage.town.keys("held"), agent.id)

    await stage.send(agent, "a")
    await settle_down()

    assert (worker.turns, worker.was_held) == ([], 1)
    assert await stage.waiting(agent) == ["a"]


# Leases.


async def test_the_leases_of_a_turn_are_renewed_four_times_in_a_lease(clock: MockClock, stage: Stage) -> None:
    agent, _, _ = await employ(stage, hang)
    await stage.send(agent, "a")
    await settle_down()
    left = []
    for _ in range(600):
        await trio.sleep(1)
        seconds, micros = await stage.town.ask("TIME")
        ((_, deadline),) = await stage.town.ask("ZRANGE", stage.town.keys("leases", agent.id), 0, -1, "WITHSCORES")
        left.append(float(deadline) / 1000 - int(seconds) - int(micros) / 1e6)

    assert 44.9 < min(left) < 46.1
    assert 58.9 < max(left) <= 60.1
    renewals = sum(later > earlier for earlier, later in pairwise(left))
    assert renewals == pytest.approx(600 / 15, abs=1)


async def test_a_turn_outlives_an_outage_of_the_store_that_is_shorter_than_its_lease(
    clock: MockClock, stage: Stage
) -> None:
    ended = trio.Event()

    async def work(turn: Turn) -> Mapping[int, Outcome]:
        await ended.wait()
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    agent, worker, life = await employ(stage, work)
    await stage.send(agent, "a")
    await settle_down()
    with stage.twin.outage():
        await trio.sleep(44)
        worker.bell.ring()
        await settle_down()
    await trio.sleep(60)
    assert (await stage.mailbox.sweep([agent.id]))[1] == 0

    ended.set()
    await settle_down()

    assert not life.over.is_set()
    assert (await stage.waiting(agent), await stage.claimed(agent)) == ([], 0)


async def test_an_actor_that_was_placed_elsewhere_changes_nothing_and_ends(clock: MockClock, stage: Stage) -> None:
    agent, worker, life = await employ(stage, hang)
    await stage.send(agent, "a", "b")
    await settle_down()
    successor = await stage.take_over(agent)
    await stage.town.claim(successor)
    before = await snapshot(stage.town.connection)

    await trio.sleep(20)

    assert life.over.is_set()
    assert worker.turns[0].cut_by == "its placement was lost"
    assert await snapshot(stage.town.connection) == before


async def test_a_fenced_actor_whose_turn_ends_well_changes_nothing(clock: MockClock, stage: Stage) -> None:
    ended = trio.Event()

    async def work(turn: Turn) -> Mapping[int, Outcome]:
        await ended.wait()
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    agent, worker, life = await employ(stage, work)
    await stage.send(agent, "a")
    await settle_down()
    await stage.take_over(agent)
    before = await snapshot(stage.town.connection)

    ended.set()
    await life.over.wait()

    assert (worker.ended, life.error) == (True, None)
    assert await snapshot(stage.town.connection) == before


async def test_a_fenced_actor_that_wakes_up_ends(clock: MockClock, stage: Stage) -> None:
    agent, worker, life = await employ(stage)
    await stage.take_over(agent)
    worker.bell.ring()

    await life.over.wait()

    assert isinstance(life.error, LeaseLost)


async def test_a_fenced_actor_that_hears_a_bell_in_its_turn_ends_it(clock: MockClock, stage: Stage) -> None:
    agent, worker, life = await employ(stage, hang)
    await stage.send(agent, "a")
    await settle_down()
    await stage.take_over(agent)

    worker.bell.ring()
    await settle_down()

    assert life.over.is_set()
    assert worker.concluded == ["its placement was lost"]


# Ends.


async def test_a_cancelled_actor_gives_back_what_it_had_taken_as_if_it_never_had(
    clock: MockClock, stage: Stage
) -> None:
    agent, worker, life = await employ(stage, hang)
    await stage.send(agent, *numbered(5))
    await settle_down()

    await life.end()

    assert await stage.waiting(agent) == numbered(5)
    assert await stage.claimed(agent) == 0
    claim = await stage.town.claim(await stage.town.fence(agent))
    assert [delivery.attempt for delivery in claim.deliveries] == [1] * 5
    assert worker.turn is None


async def test_an_actor_that_leaves_ends_its_turn_first_and_takes_no_other(clock: MockClock, stage: Stage) -> None:
    ended = trio.Event()

    async def work(turn: Turn) -> Mapping[int, Outcome]:
        await ended.wait()
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    agent, worker, life = await employ(stage, work)
    await stage.send(agent, "a")
    await settle_down()
    worker.leave()
    await stage.send(agent, "b")
    await settle_down()
    assert not life.over.is_set()

    ended.set()
    await life.over.wait()

    assert worker.taken == [["a"]]
    assert (worker.ended, life.error) == (False, None)
    assert await stage.waiting(agent) == ["b"]


async def test_an_actor_at_rest_leaves_at_once(clock: MockClock, stage: Stage) -> None:
    _, worker, life = await employ(stage)

    worker.leave()
    await settle_down()

    assert life.over.is_set()


async def test_a_store_that_is_gone_when_a_turn_ends_leaves_the_actor_to_be_placed_anew(
    clock: MockClock, stage: Stage
) -> None:
    ended = trio.Event()

    async def work(turn: Turn) -> Mapping[int, Outcome]:
        await ended.wait()
        return {delivery.tag: Ack() for delivery in turn.deliveries}

    agent, _, life = await employ(stage, work)
    await stage.send(agent, "a")
    await settle_down()
    with stage.twin.outage():
        ended.set()
        await life.over.wait()

    assert isinstance(life.error, RedisUnreachable)
    assert await stage.claimed(agent) == 1


async def test_a_store_that_hangs_when_a_turn_ends_does_not_pass_for_a_settled_turn(
    clock: MockClock, stage: Stage
) -> None:
    agent, _, life = await employ(stage)
    stage.wire.keeps_back = is_run_of(SETTLE)
    await stage.send(agent, "a")

    await life.over.wait()

    assert isinstance(life.error, RedisUnreachable)


async def test_a_store_that_is_gone_when_a_turn_breaks_does_not_hide_why_it_broke(
    clock: MockClock, stage: Stage
) -> None:
    async def break_down(turn: Turn) -> Mapping[int, Outcome]:
        stage.twin.is_up = False
        raise ZeroDivisionError

    agent, _, life = await employ(stage, break_down)
    await stage.send(agent, "a")
    await life.over.wait()
    stage.twin.is_up = True

    assert isinstance(life.error, ZeroDivisionError)
