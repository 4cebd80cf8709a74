"""The mailbox as a machine that Hypothesis drives on a real server, beside the model of `mailbox_model`.

After every step the whole of Redis is read and compared with the model. The limits are tiny, because a bug behind
a limit is only found where the limit is reached; and whole turns are rules beside the single verbs, because what a
second failure or a second death does is found only by a search that gets that far.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mailbox_model import Actor, Model
from servers import Ear, RunningServer
from towns import Parts, snapshot, work

from tinytown.config import Limits
from tinytown.errors import Full, IllegalTransition, LeaseLost, MailboxFull, TownFull
from tinytown.ids import RuntimeId
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.messages import LANES, Informational, Message, Priority
from tinytown.records import Agent
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.delivery import (
    Ack,
    Control,
    ControlKind,
    DeadLetter,
    Delivery,
    Fence,
    Outcome,
    Quarantine,
    Retry,
    Return,
    Snooze,
)
from tinytown.transport.keys import LANE_KEYS
from tinytown.transport.mailbox import Mailbox
from tinytown.transport.store import Change

LIMITS = Limits(message_bytes=2000, inbox_messages=5, town_messages=8, max_recoveries=2, max_attempts=2)
LEASE = 600.0
LATER = 600.0

AGENTS = st.sampled_from((0, 1))
MASKS = st.integers(1, 31)
"""Which of the claimed messages, by bits."""
ALL = 31
SIZES = st.sampled_from((1, 1000, 100_000, 100_000))
"""How much one claim takes: one message, a large one or some small ones, everything."""
VERBS = ("ack", "return", "quiet", "fail", "later", "snooze")


class MailboxMachine(RuleBasedStateMachine):
    """Two agents, two runtimes, one town."""

    server: ClassVar[RunningServer]

    def __init__(self) -> None:
        super().__init__()
        self.connection = BlockingConnection(self.server.address)
        run_sync(self.connection.execute("FLUSHDB"))
        self.town = Parts(self.connection, LIMITS)
        self.mailbox = self.town.mailbox
        self.ear = Ear(self.server.socket_path)
        self.model = Model(LIMITS)
        self.runtimes: list[RuntimeId] = []
        self.current = 0
        self.pushed = 0
        self.listening = False

    def teardown(self) -> None:
        self.ear.close()
        self.connection.close()

    @initialize()
    def a_town_with_two_agents(self) -> None:
        self.runtimes = [run_sync(self.town.begin(lease=LEASE)) for _ in range(2)]
        self.listen(on=True)
        for name in ("ada", "bob"):
            agent = run_sync(self.town.agent(name))
            self.model.actors.append(Actor(agent, run_sync(self.town.fence(agent, self.runtimes[0]))))
            self.move(self.model.actors[-1], AgentEvent.READY)

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        if self.model.actors:
            self.model.compare(run_sync(snapshot(self.connection)), self.town.keys)

    def having(self, what: Callable[[Actor], object]) -> list[int]:
        """The agents of which this is true."""
        return [place for place, actor in enumerate(self.model.actors) if what(actor)]

    # Messages come.

    @rule(
        to=AGENTS,
        priority=st.sampled_from(LANES),
        sizes=st.lists(st.sampled_from((1, 1, 700)), min_size=1, max_size=3),
        asks=st.booleans(),
    )
    def send(self, to: int, priority: Priority, sizes: list[int], asks: bool) -> None:
        actor = self.model.actors[to]
        for size in sizes:
            message = work(actor.agent, "x" * size, priority)
            self.send_one(actor, message if asks else replace(message, body=Informational("y" * size)))

    def send_one(self, actor: Actor, message: Message) -> None:
        # What was pushed by hand counts only once the town has as many accepted messages as a mailbox may hold.
        full = min(actor.waiting, len(self.model.unsettled)) >= LIMITS.inbox_messages
        town_full = len(self.model.unsettled) >= LIMITS.town_messages
        try:
            new = run_sync(self.mailbox.send(message))
        except MailboxFull:
            assert full, "I17: refused although the mailbox is not full"
        except TownFull:
            assert town_full, "I17: refused although the town is not full"
        else:
            assert new, "I9: refused as sent before"
            assert not full, "I17: accepted beyond the limit of the mailbox"
            assert not town_full, "I17: accepted beyond the limit of the town"
            self.arrive([(actor, message)])

    def arrive(self, sent: list[tuple[Actor, Message]]) -> None:
        """Messages were accepted by one script: some are handed over at once, and are known if nothing gets lost."""
        if not self.listening:
            for actor, _ in sent:
                actor.stance = None
        wanted = self.model.accept(sent)
        found = [
            (agent_id, delivery) for payload in self.ear.heard() for agent_id, delivery in self.mailbox.handed(payload)
        ]
        assert sorted((agent_id, LANES.index(d.lane), d.raw) for agent_id, d in found) == sorted(
            (actor.agent.id, LANES.index(message.priority), message.encode()) for actor, message in wanted
        ), "I6: what was handed over"
        # Each mailbox has its order; between two there is none.
        for actor in self.model.actors:
            given = [delivery for agent_id, delivery in found if agent_id == actor.agent.id]
            raws = [message.encode() for other, message in wanted if other is actor]
            assert [delivery.raw for delivery in given] == raws, "I6: the order of what was handed"
            for delivery in given:
                self.model.claimed(actor, LANES.index(delivery.lane), delivery)

    def listen(self, *, on: bool) -> None:
        """Whether the runtimes hear what their actors are handed."""
        self.listening = on
        self.ear.listen([self.town.keys("handed", runtime) for runtime in self.runtimes], on=on)

    def boxes(self) -> Mailbox:
        """The mailboxes as the runtime that holds the actors sees them."""
        return Mailbox(self.connection, self.town.keys, LIMITS, runtime=self.runtimes[self.current])

    @precondition(lambda self: self.model.accepted)
    @rule(data=st.data(), in_a_commit=st.booleans())
    def send_again(self, data: st.DataObject, in_a_commit: bool) -> None:
        message = self.model.accepted[data.draw(st.sampled_from(list(self.model.accepted)))]
        try:
            if in_a_commit:
                run_sync(self.town.store.commit(self.town.store.change().send(message)))
            else:
                assert not run_sync(self.mailbox.send(message)), "I9: accepted a second time"
        except Full as error:
            raise AssertionError("I9: taken for a new message") from error

    @rule(to=AGENTS, lane=st.sampled_from((0, 1, 2, 3)), head=st.booleans(), readable=st.booleans())
    def push_by_hand(self, to: int, lane: int, head: bool, readable: bool) -> None:
        actor = self.model.actors[to]
        self.pushed += 1
        raw = f'{{"to":"{actor.agent.id}","type":"task","description":"by hand {self.pushed}"}}'.encode()
        if not readable:
            raw = b"\xff %d" % self.pushed
        key = self.town.keys(LANE_KEYS[lane], actor.agent.id)
        run_sync(self.town.ask("LPUSH" if head else "RPUSH", key, raw))
        actor.lanes[lane].insert(0 if head else len(actor.lanes[lane]), raw)

    # Whole turns.

    def can_work(self) -> list[int]:
        return self.having(lambda actor: actor.waiting and not actor.held)

    def begin_turn(self, data: st.DataObject, prompted: bool) -> int:
        of: int = data.draw(st.sampled_from(self.can_work()))
        self.glance(of)
        self.claim(of, data.draw(st.integers(1, 5)), data.draw(SIZES))
        self.renew(of, prompted)
        return of

    @precondition(can_work)
    @rule(data=st.data(), verb=st.sampled_from(("ack", "return", "quiet", "snooze")), mask=MASKS)
    def a_turn_ends(self, data: st.DataObject, verb: str, mask: int) -> None:
        self.settle(self.begin_turn(data, prompted=True), mask, verb)

    @precondition(can_work)
    @rule(data=st.data(), verb=st.sampled_from(("fail", "fail", "later")))
    def a_turn_fails(self, data: st.DataObject, verb: str) -> None:
        self.settle(self.begin_turn(data, prompted=True), ALL, verb)

    @precondition(can_work)
    @rule(
        data=st.data(),
        how=st.sampled_from(("crash", "crash", "let go", "lease", "lost", "lost")),
        prompted=st.booleans(),
    )
    def a_turn_is_cut_off(self, data: st.DataObject, how: str, prompted: bool) -> None:
        known = [dict(actor.deliveries) for actor in self.model.actors]
        of = self.begin_turn(data, prompted)
        match how:
            case "lost":
                self.disown(self.model.actors[of], known[of])
            case "crash":
                self.take_over(self.model.actors[of], self.runtimes[self.current], forget=True)
            case "let go":
                self.let_go(self.model.actors[of])
            case "lease":
                self.leases_pass(of, ALL)

    # The verbs one by one.

    @precondition(lambda self: self.having(lambda actor: actor.waiting or actor.controls))
    @rule(of=AGENTS, count=st.integers(1, 5), size=SIZES)
    def claim(self, of: int, count: int, size: int, stance: str | None = None) -> None:
        actor = self.model.actors[of]
        stand = stance is not None
        found = run_sync(self.boxes().claim(actor.fence, count=count, size=size, lease=LEASE, stand=stand))
        actor.stance = None
        if actor.controls:
            assert (list(found.controls), found.deliveries) == (actor.controls, ()), "I1: control comes first"
            actor.controls = []
            return
        assert found.held == actor.held, "I11, I12: told that it may claim"
        if actor.held:
            promise = "I12: paused" if actor.agent.state is AgentState.PAUSED else "I11: killed"
            assert not found.deliveries, f"{promise}, and yet it claimed"
        wanted = [] if actor.held else actor.take(count, size)
        assert [(LANES.index(d.lane), d.raw) for d in found.deliveries] == wanted, "I6: the order of a claim"
        assert found.waiting == actor.waiting, "I17: how many still wait"
        for (lane, _), delivery in zip(wanted, found.deliveries, strict=True):
            self.model.claimed(actor, lane, delivery)
        actor.must_be_ready &= actor.waiting > 0
        if stand and not actor.held and not actor.waiting:
            actor.stance = "" if wanted else stance
        assert found.stands == bool(actor.stance), "I17: told wrongly that it stands"

    @precondition(lambda self: self.having(lambda actor: actor.deliveries))
    @rule(of=AGENTS, mask=MASKS, verb=st.sampled_from(VERBS))
    def settle(self, of: int, mask: int, verb: str) -> None:
        actor = self.model.actors[of]
        chosen = [delivery for place, delivery in enumerate(actor.deliveries.values()) if mask >> place & 1]
        settled = [(delivery, outcome_of(delivery, verb)) for delivery in chosen]
        lost = run_sync(self.mailbox.settle(actor.fence, settled))
        falling = sorted(chosen, key=lambda delivery: -delivery.tag)
        assert lost == [d for d in falling if d.tag not in actor.claimed], "I1: what was not claimed any more"
        quiet = 0
        for delivery, outcome in sorted(settled, key=lambda pair: -pair[0].tag):
            del actor.deliveries[delivery.tag]
            if delivery not in lost:
                self.model.settle(actor, delivery.tag, outcome)
                quiet += outcome == Return(quiet=True)
        if quiet and quiet == actor.waiting and not actor.controls:
            actor.must_be_ready = False

    @precondition(lambda self: self.having(lambda actor: actor.deliveries))
    @rule(of=AGENTS, prompted=st.booleans())
    def renew(self, of: int, prompted: bool) -> None:
        actor = self.model.actors[of]
        still = {tag for tag in actor.deliveries if tag in actor.claimed}
        held = run_sync(self.mailbox.renew(actor.fence, actor.deliveries.values(), lease=LEASE, prompted=prompted))
        assert held == len(still), "I4: how many are still held"
        if prompted:
            actor.prompted |= still

    @precondition(lambda self: self.having(lambda actor: actor.controls or actor.lanes[0]))
    @rule(of=AGENTS)
    def glance(self, of: int) -> None:
        actor = self.model.actors[of]
        assert run_sync(self.mailbox.glance(actor.fence)) == (tuple(actor.controls), len(actor.lanes[0])), "I17: glance"
        actor.controls = []

    # Time passes.

    @precondition(lambda self: self.model.snoozed)
    @rule()
    def snoozed_messages_fall_due(self) -> None:
        run_sync(self.town.pass_time())
        woken, recovered, waiting = run_sync(self.mailbox.sweep([actor.agent.id for actor in self.model.actors]))
        assert (woken, recovered) == (self.model.wake(), 0), "I1: what fell due"
        assert waiting == {actor.agent.id: actor.waiting for actor in self.model.actors}, "I17: what waits"

    @precondition(lambda self: self.having(lambda actor: actor.claimed))
    @rule(of=AGENTS, mask=MASKS)
    def leases_pass(self, of: int, mask: int) -> None:
        actor = self.model.actors[of]
        tags = {tag for place, tag in enumerate(sorted(actor.claimed)) if mask >> place & 1}
        for tag in tags:
            run_sync(self.town.ask("ZADD", self.town.keys("leases", actor.agent.id), 1, tag))
        _, recovered, _ = run_sync(self.mailbox.sweep([actor.agent.id]))
        assert recovered == self.model.recover(actor, tags)[0], "I1: what the passed leases gave back"

    # Runtimes die.

    @rule(of=AGENTS, how=st.sampled_from(("forgets", "remembers", "lets go", "is replaced", "is replaced")))
    def the_runtime(self, of: int, how: str) -> None:
        """It loses its agents and takes them again, or another one does.

        One that `remembers` has turns that have not noticed, and go on with what they had claimed.
        """
        match how:
            case "forgets" | "remembers":
                self.take_over(self.model.actors[of], self.runtimes[self.current], forget=how == "forgets")
            case "lets go":
                self.let_go(self.model.actors[of])
            case "is replaced":
                self.replace_runtime()

    def replace_runtime(self) -> None:
        dead, heir = self.runtimes[self.current], self.runtimes[1 - self.current]
        run_sync(self.town.ask("ZADD", self.town.keys("runtimes"), 1, dead))
        for actor in self.model.actors:
            self.take_over(actor, heir, forget=True)
        run_sync(self.town.placement.beat(dead, lease=LEASE))
        self.current = 1 - self.current

    def let_go(self, actor: Actor) -> None:
        run_sync(self.town.placement.unplace(actor.fence, wanted=False))
        actor.prompted.clear()
        self.model.recover(actor, set(actor.claimed))
        self.take_over(actor, self.runtimes[self.current], forget=True)

    def disown(self, actor: Actor, known: dict[int, Delivery]) -> None:
        """The runtime has not heard of what it claimed since it knew of these."""
        unknown = set(actor.claimed) - set(known)
        actor.deliveries = known
        actor.prompted -= unknown
        back = run_sync(self.mailbox.disown(actor.fence, known.values()))
        assert (back, 0) == self.model.recover(actor, unknown), "I1: what was disowned"

    def take_over(self, actor: Actor, runtime: RuntimeId, *, forget: bool) -> None:
        (placed,) = run_sync(self.town.place(actor.agent, runtime=runtime))
        assert placed.fence is not None, "I3: kept by a runtime that is dead"
        assert placed.fence.epoch > actor.fence.epoch, "I3: the epoch did not rise"
        recovered = self.model.recover(actor, set(actor.claimed))
        assert (placed.recovered, placed.quarantined) == recovered, "I1: what the new placing gave back"
        actor.stale.append(actor.fence)
        actor.fence = placed.fence
        actor.stance = None
        actor.must_be_ready |= actor.waiting > 0
        if forget:
            actor.deliveries = {}

    @precondition(lambda self: self.having(lambda actor: actor.stale))
    @rule(
        data=st.data(),
        verb=st.sampled_from(("claim", "stand", "settle", "renew", "glance", "commit", "unplace", "disown")),
    )
    def somebody_acts_who_lost_the_actor(self, data: st.DataObject, verb: str) -> None:
        actor = self.model.actors[data.draw(st.sampled_from(self.having(lambda actor: actor.stale)))]
        stale = actor.stale[data.draw(st.integers(0, len(actor.stale) - 1))]
        claimed = [Delivery(tag, LANES[lane], raw, None) for tag, (lane, raw) in actor.claimed.items()]
        before = run_sync(snapshot(self.connection))
        with suppress(LeaseLost):
            self.act(verb, stale, claimed)
        assert run_sync(snapshot(self.connection)) == before, f"I3: {verb} under an old epoch changed something"

    def act(self, verb: str, fence: Fence, deliveries: list[Delivery]) -> None:
        match verb:
            case "claim":
                run_sync(self.town.claim(fence, lease=LEASE))
            case "stand":
                settled = [(delivery, Ack()) for delivery in deliveries]
                run_sync(self.boxes().settle_and_stand(fence, settled, count=1, size=1, lease=LEASE))
            case "settle":
                run_sync(self.mailbox.settle(fence, [(delivery, Ack()) for delivery in deliveries]))
            case "renew":
                run_sync(self.mailbox.renew(fence, deliveries, lease=1.0, prompted=True))
            case "glance":
                run_sync(self.mailbox.glance(fence))
            case "commit":
                decide = lambda agent: replace(agent, nickname="stale")  # noqa: E731
                run_sync(self.town.store.update_agent(fence.id, decide, fence=fence))
            case "unplace":
                run_sync(self.town.placement.unplace(fence, wanted=True))
            case "disown":
                run_sync(self.mailbox.disown(fence, []))

    # People.

    @rule(of=AGENTS, event=st.sampled_from((AgentEvent.PAUSE, AgentEvent.DRAIN, AgentEvent.STOP, AgentEvent.FAIL)))
    def hold(self, of: int, event: AgentEvent) -> None:
        """Pause or kill; what is claimed after that is claimed too late."""
        actor = self.model.actors[of]
        self.move(actor, event)
        while actor.controls:
            self.claim(of, 5, 100_000)
        self.claim(of, 5, 100_000)
        if event is AgentEvent.PAUSE:
            self.move(actor, AgentEvent.RESUME)

    @precondition(lambda self: self.having(lambda actor: actor.held))
    @rule()
    def resume_or_restart(self) -> None:
        for place in self.having(lambda actor: actor.held):
            for event in (AgentEvent.STOP, AgentEvent.RESTART, AgentEvent.READY):
                self.move(self.model.actors[place], event)

    def move(self, actor: Actor, event: AgentEvent) -> None:
        """A change of state with a control message, where the table has it."""
        control = Control(ControlKind.WAKE, 1)

        def also(change: Change, before: Agent, after: Agent) -> None:
            change.control(actor.agent.id, control)

        update = self.town.store.update_agent(actor.agent.id, lambda agent: agent.after(event), also)
        with suppress(IllegalTransition):
            actor.agent = run_sync(update)
            actor.controls.append(control)
            actor.must_be_ready = True
            actor.stance = None

    @rule(of=AGENTS)
    def whatever_only_looks(self, of: int) -> None:
        """Looking, sweeping before anything is due, placing what a living runtime holds: all change nothing."""
        actor = self.model.actors[of]
        agent_id = actor.agent.id
        before = run_sync(snapshot(self.connection))
        seen = [raw for _, raw in run_sync(self.mailbox.peek_with_bytes(agent_id))]
        wanted = [raw for _, (_, raw) in sorted(actor.claimed.items())] + [raw for lane in actor.lanes for raw in lane]
        assert seen == wanted, "I6: what a look shows"
        assert run_sync(self.mailbox.waiting(agent_id)) == len(wanted), "I17: what waits"
        assert run_sync(self.mailbox.sweep([agent_id])) == (0, 0, {agent_id: actor.waiting}), "I1: a sweep too early"
        (placed,) = run_sync(self.town.place(actor.agent, runtime=self.runtimes[1 - self.current]))
        assert placed.holder == self.runtimes[self.current], "I3: taken from a living runtime"
        assert run_sync(snapshot(self.connection)) == before, "looking changed something"


def outcome_of(delivery: Delivery, verb: str) -> Outcome:
    """What an actor that obeys the limits would say."""
    if delivery.message is None:
        return Quarantine(delivery.fault)
    if verb in ("fail", "later"):
        if delivery.failures + 1 >= LIMITS.max_attempts:
            return DeadLetter(f"failed {delivery.failures + 1} times")
        return Retry(0.0 if verb == "fail" else LATER)
    return {"ack": Ack(), "return": Return(), "quiet": Return(quiet=True), "snooze": Snooze(LATER)}[verb]


def machine_on(server: RunningServer, machine: type[MailboxMachine] = MailboxMachine) -> Callable[[], MailboxMachine]:
    """What makes machines that run on this server."""

    class OnThisServer(machine):  # type: ignore[misc, valid-type]
        pass

    OnThisServer.server = server
    return OnThisServer
