"""The mailbox as a machine that Hypothesis drives against a real server, beside a model of what must be there.

The model is plain: lists for lanes, a dictionary for what is claimed. After every step the whole of Redis is read
and compared with it. The names I1, I2, ... are those of the promises:

    I1   an accepted message is in exactly one place, byte for byte
    I2   what was acknowledged is never delivered again
    I3   who lost an actor changes nothing
    I4   claimed messages and leases are the same
    I5   failures and deaths are counted for unsettled messages only, and never beyond their limit
    I6   each lane is first come first served; what goes back goes to the head, in its old order
    I9   sending twice with one id is sending once
    I11  once `kill` has returned nothing is claimed
    I12  a paused agent claims nothing
    I16  every key is in the catalogue, with its type and under this town
    I17  counters and indexes say what the lists and hashes hold

The limits are tiny, because a bug behind a limit is only found where the limit is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha1
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from servers import RunningServer
from towns import Parts, snapshot, strays, work

from tinytown.config import Limits
from tinytown.errors import IllegalTransition, LeaseLost, MailboxFull, TownFull
from tinytown.ids import SUPERVISOR_ID, RuntimeId
from tinytown.lifecycle import AgentEvent, AgentState
from tinytown.messages import LANES, Informational, Message, Priority
from tinytown.records import Agent
from tinytown.transport.blocking import BlockingConnection, run_sync
from tinytown.transport.delivery import (
    Ack,
    Claim,
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
from tinytown.transport.store import Change

ATTEMPTS = 2
LIMITS = Limits(message_bytes=2000, inbox_messages=5, town_messages=8, max_recoveries=2, max_attempts=ATTEMPTS)
LEASE = 600.0
LATER = 600.0

AGENTS = st.sampled_from((0, 1))
MASKS = st.integers(1, 31)
"""Which of the claimed messages, by bits."""
VERBS = ("ack", "ack", "return", "quiet", "fail", "fail", "fail", "later", "snooze")
HELD = {AgentState.PAUSED, AgentState.DRAINING, AgentState.STOPPED, AgentState.ERROR}


def counter_of(raw: bytes) -> str:
    """Under what name a message is counted: its id, or what it is."""
    if raw.startswith(b'{"id":"'):
        return raw[7:43].decode()
    return f"sha1-{sha1(raw, usedforsecurity=False).hexdigest()}"


@dataclass
class Actor:
    """The model of one agent and its mailbox. Lanes hold bytes, head first; what is claimed stands by its tag."""

    agent: Agent
    fence: Fence
    lanes: list[list[bytes]] = field(default_factory=lambda: [[], [], [], []])
    claimed: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    prompted: set[int] = field(default_factory=set)
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    """What the living runtime knows of; a crash empties it."""
    stale: list[Fence] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    must_be_ready: bool = False

    @property
    def waiting(self) -> int:
        return sum(len(lane) for lane in self.lanes)


class MailboxMachine(RuleBasedStateMachine):
    """Two agents, two runtimes, one town."""

    server: ClassVar[RunningServer]

    def __init__(self) -> None:
        super().__init__()
        self.connection = BlockingConnection(self.server.address)
        run_sync(self.connection.execute("FLUSHDB"))
        self.town = Parts(self.connection, LIMITS)
        self.accepted: dict[str, Message] = {}
        self.unsettled: set[str] = set()
        """Ids of accepted messages that wait, are claimed or snoozed."""
        self.snoozed: dict[int, tuple[Actor, int, bytes]] = {}
        self.aside: dict[str, list[bytes]] = {"dlq": [], "quarantine": []}
        self.acked: set[bytes] = set()
        self.attempts: dict[str, int] = {}
        self.recoveries: dict[str, int] = {}
        self.pushed = 0

    def teardown(self) -> None:
        self.connection.close()

    @initialize()
    def a_town_with_two_agents(self) -> None:
        self.runtimes: list[RuntimeId] = [run_sync(self.town.begin(lease=LEASE)) for _ in range(2)]
        self.current = 0
        self.actors = []
        for name in ("ada", "bob"):
            agent = run_sync(self.town.agent(name))
            self.actors.append(Actor(agent, run_sync(self.town.fence(agent, self.runtimes[0]))))
            self.move(self.actors[-1], AgentEvent.READY)

    def having(self, what: Callable[[Actor], object]) -> list[int]:
        """The agents of which this is true."""
        return [place for place, actor in enumerate(getattr(self, "actors", [])) if what(actor)]

    # Messages come.

    @rule(to=AGENTS, priority=st.sampled_from(LANES), size=st.sampled_from((1, 1, 1, 700)), asks=st.booleans())
    def send(self, to: int, priority: Priority, size: int, asks: bool) -> None:
        actor = self.actors[to]
        message = work(actor.agent, "x" * size, priority)
        if not asks:
            message = replace(message, body=Informational("y" * size))
        full = actor.waiting >= LIMITS.inbox_messages
        town_full = len(self.unsettled) >= LIMITS.town_messages
        try:
            new = run_sync(self.town.mailbox.send(message))
        except MailboxFull:
            assert full, "I17: refused although the mailbox is not full"
            return
        except TownFull:
            assert town_full, "I17: refused although the town is not full"
            return
        assert new and not full and not town_full, "I17: accepted beyond a limit"
        self.accept(actor, message)

    def accept(self, actor: Actor, message: Message) -> None:
        self.accepted[message.id] = message
        self.unsettled.add(message.id)
        actor.lanes[LANES.index(message.priority)].append(message.encode())
        actor.must_be_ready |= message.is_actionable()

    @precondition(lambda self: self.accepted)
    @rule(data=st.data(), in_a_commit=st.booleans())
    def send_again(self, data: st.DataObject, in_a_commit: bool) -> None:
        message = self.accepted[data.draw(st.sampled_from(list(self.accepted)))]
        if in_a_commit:
            run_sync(self.town.store.commit(self.town.store.change().send(message)))
        else:
            assert run_sync(self.town.mailbox.send(message)) is False, "I9: accepted a second time"

    @rule(to=AGENTS, lane=st.sampled_from((0, 1, 2, 3)), head=st.booleans(), readable=st.booleans())
    def push_by_hand(self, to: int, lane: int, head: bool, readable: bool) -> None:
        actor = self.actors[to]
        self.pushed += 1
        raw = f'{{"to":"{actor.agent.id}","type":"task","description":"by hand {self.pushed}"}}'.encode()
        if not readable:
            raw = b"\xff %d" % self.pushed
        run_sync(self.town.ask("LPUSH" if head else "RPUSH", self.key(LANE_KEYS[lane], actor), raw))
        actor.lanes[lane].insert(0 if head else len(actor.lanes[lane]), raw)

    # Turns. In one piece, so that the search gets far within few steps, and the verbs one by one.

    @precondition(lambda self: self.having(lambda a: a.waiting and a.agent.state not in HELD))
    @rule(data=st.data(), count=st.integers(1, 5), verb=st.sampled_from(VERBS), prompted=st.booleans())
    def turn(self, data: st.DataObject, count: int, verb: str, prompted: bool) -> None:
        of = data.draw(st.sampled_from(self.having(lambda a: a.waiting and a.agent.state not in HELD)))
        self.glance(of)
        self.claim(of, count, 100_000)
        self.renew(of, prompted)
        self.settle(of, 31, verb)

    @precondition(lambda self: self.having(lambda a: a.waiting or a.controls))
    @rule(of=AGENTS, count=st.integers(1, 5), size=st.sampled_from((1, 1000, 100_000)))
    def claim(self, of: int, count: int, size: int) -> None:
        actor = self.actors[of]
        found = run_sync(self.town.claim(actor.fence, count=count, size=size, lease=LEASE))
        if actor.controls:
            assert (list(found.controls), found.deliveries) == (actor.controls, ())
            actor.controls = []
            return
        self.check_claim(actor, found, count, size)
        for delivery in found.deliveries:
            actor.deliveries[delivery.tag] = delivery
        if not actor.waiting:
            actor.must_be_ready = False

    def check_claim(self, actor: Actor, found: Claim, count: int, size: int) -> None:
        state = actor.agent.state
        assert found.held == (state in HELD)
        if state in HELD:
            promise = "I12: paused" if state is AgentState.PAUSED else "I11: killed"
            assert not found.deliveries, f"{promise}, and yet it claimed"
        wanted = [] if found.held else self.take(actor, count, size)
        assert [(LANES.index(d.lane), d.raw) for d in found.deliveries] == wanted, (
            "I6: not in the order of the lanes"
        )
        assert found.waiting == actor.waiting, "I17: the number that still waits"
        for (lane, raw), delivery in zip(wanted, found.deliveries, strict=True):
            assert raw not in self.acked, "I2: delivered after it was acknowledged"
            assert (delivery.message is None) == raw.startswith(b"\xff")
            counter = counter_of(raw)
            assert delivery.failures == self.attempts.get(counter, 0)
            assert delivery.recoveries == self.recoveries.get(counter, 0)
            actor.claimed[delivery.tag] = (lane, raw)

    @staticmethod
    def take(actor: Actor, count: int, size: int) -> list[tuple[int, bytes]]:
        """What a claim must give, taken out of the model's lanes."""
        taken: list[tuple[int, bytes]] = []
        for number, lane in enumerate(actor.lanes):
            if number == 3 and taken:
                break
            while (
                lane and len(taken) < count and (not taken or sum(len(r) for _, r in taken) + len(lane[0]) <= size)
            ):
                taken.append((number, lane.pop(0)))
            if lane or sum(len(raw) for _, raw in taken) >= size:
                break
        return taken

    @precondition(lambda self: self.having(lambda a: a.deliveries))
    @rule(of=AGENTS, mask=MASKS, verb=st.sampled_from(VERBS))
    def settle(self, of: int, mask: int, verb: str) -> None:
        actor = self.actors[of]
        chosen = [d for place, d in enumerate(actor.deliveries.values()) if mask >> place & 1]
        settled = [(delivery, self.outcome(delivery, verb)) for delivery in chosen]
        lost = run_sync(self.town.mailbox.settle(actor.fence, settled))
        assert lost == sorted((d for d in chosen if d.tag not in actor.claimed), key=lambda d: -d.tag)
        for delivery, outcome in sorted(settled, key=lambda pair: -pair[0].tag):
            del actor.deliveries[delivery.tag]
            if delivery not in lost:
                self.apply(actor, delivery, outcome)
        quiet = [d for d, outcome in settled if outcome == Return(quiet=True) and d not in lost]
        if quiet and actor.waiting == len(quiet) and not actor.controls:
            actor.must_be_ready = False

    @staticmethod
    def outcome(delivery: Delivery, verb: str) -> Outcome:
        if delivery.message is None:
            return Quarantine(delivery.fault)
        if verb in ("fail", "later"):
            if delivery.failures + 1 >= ATTEMPTS:
                return DeadLetter(f"failed {ATTEMPTS} times")
            return Retry(0.0 if verb == "fail" else LATER)
        return {"ack": Ack(), "return": Return(), "quiet": Return(quiet=True), "snooze": Snooze(LATER)}[verb]

    def apply(self, actor: Actor, delivery: Delivery, outcome: Outcome) -> None:
        """What an outcome does, in the model."""
        lane, raw = actor.claimed.pop(delivery.tag)
        actor.prompted.discard(delivery.tag)
        counter = counter_of(raw)
        match outcome:
            case Ack():
                self.acked.add(raw)
                self.forget(counter)
            case DeadLetter():
                self.aside["dlq"].append(raw)
                self.forget(counter)
            case Quarantine():
                self.aside["quarantine"].append(raw)
                self.forget(counter)
            case Retry(delay):
                self.attempts[counter] = self.attempts.get(counter, 0) + 1
                if delay:
                    self.snoozed[delivery.tag] = (actor, lane, raw)
                else:
                    self.back(actor, lane, raw)
            case Snooze():
                self.snoozed[delivery.tag] = (actor, lane, raw)
            case Return():
                self.back(actor, lane, raw)

    def back(self, actor: Actor, lane: int, raw: bytes) -> None:
        actor.lanes[lane].insert(0, raw)
        actor.must_be_ready = True

    def forget(self, counter: str) -> None:
        self.unsettled.discard(counter)
        self.attempts.pop(counter, None)
        self.recoveries.pop(counter, None)

    @precondition(lambda self: self.having(lambda a: a.deliveries))
    @rule(of=AGENTS, prompted=st.booleans())
    def renew(self, of: int, prompted: bool) -> None:
        actor = self.actors[of]
        held = run_sync(
            self.town.mailbox.renew(actor.fence, actor.deliveries.values(), lease=LEASE, prompted=prompted)
        )
        assert held == sum(tag in actor.claimed for tag in actor.deliveries)
        if prompted:
            actor.prompted |= {tag for tag in actor.deliveries if tag in actor.claimed}

    @precondition(lambda self: self.having(lambda a: a.controls or a.lanes[0]))
    @rule(of=AGENTS)
    def glance(self, of: int) -> None:
        actor = self.actors[of]
        assert run_sync(self.town.mailbox.glance(actor.fence)) == (tuple(actor.controls), len(actor.lanes[0]))
        actor.controls = []

    # Time passes.

    @precondition(lambda self: self.snoozed or self.having(lambda a: a.claimed))
    @rule()
    def sweep_too_early(self) -> None:
        woken, recovered, _ = run_sync(self.town.mailbox.sweep([actor.agent.id for actor in self.actors]))
        assert (woken, recovered) == (0, 0)

    @precondition(lambda self: self.snoozed)
    @rule()
    def snoozed_messages_fall_due(self) -> None:
        run_sync(self.town.pass_time())
        woken, recovered, waiting = run_sync(self.town.mailbox.sweep([actor.agent.id for actor in self.actors]))
        assert (woken, recovered) == (len(self.snoozed), 0)
        for tag in sorted(self.snoozed, reverse=True):
            self.back(*self.snoozed.pop(tag))
        assert waiting == {actor.agent.id: actor.waiting for actor in self.actors}, "I17: what waits"

    @precondition(lambda self: self.having(lambda a: a.claimed))
    @rule(of=AGENTS, mask=MASKS)
    def leases_pass(self, of: int, mask: int) -> None:
        actor = self.actors[of]
        tags = {tag for place, tag in enumerate(sorted(actor.claimed)) if mask >> place & 1}
        for tag in tags:
            run_sync(self.town.ask("ZADD", self.key("leases", actor), 1, tag))
        _, recovered, _ = run_sync(self.town.mailbox.sweep([actor.agent.id]))
        assert recovered == self.recover(actor, tags)[0]

    def recover(self, actor: Actor, tags: set[int]) -> tuple[int, int]:
        """Claimed messages go back, in the model; those that killed too often go to quarantine."""
        back = gone = 0
        for tag in sorted(tags, reverse=True):
            lane, raw = actor.claimed.pop(tag)
            counter = counter_of(raw)
            deaths = self.recoveries.get(counter, 0) + 1
            if tag not in actor.prompted:
                self.back(actor, lane, raw)
                back += 1
            elif deaths >= LIMITS.max_recoveries:
                self.aside["quarantine"].append(raw)
                self.forget(counter)
                gone += 1
            else:
                self.recoveries[counter] = deaths
                self.back(actor, lane, raw)
                back += 1
            actor.prompted.discard(tag)
        return back, gone

    # Runtimes die.

    @rule(of=AGENTS, known=st.booleans())
    def the_runtime_crashes_and_comes_back(self, of: int, known: bool) -> None:
        """`known`: what it had claimed is in the memory of a turn that has not noticed."""
        self.take_over(self.actors[of], self.runtimes[self.current], forget=not known)

    @rule(of=AGENTS)
    def a_living_runtime_keeps_its_agent(self, of: int) -> None:
        holder, other = self.runtimes[self.current], self.runtimes[1 - self.current]
        (placed,) = run_sync(self.town.place(self.actors[of].agent, runtime=other))
        assert (placed.fence, placed.holder) == (None, holder)

    @rule()
    def the_other_runtime_takes_over(self) -> None:
        dead, heir = self.runtimes[self.current], self.runtimes[1 - self.current]
        run_sync(self.town.ask("ZADD", self.town.keys("runtimes"), 1, dead))
        for actor in self.actors:
            self.take_over(actor, heir, forget=True)
        run_sync(self.town.placement.beat(dead, lease=LEASE))
        self.current = 1 - self.current

    def take_over(self, actor: Actor, runtime: RuntimeId, *, forget: bool) -> None:
        (placed,) = run_sync(self.town.place(actor.agent, runtime=runtime))
        assert placed.fence is not None
        assert placed.fence.epoch > actor.fence.epoch, "I3: epochs rise"
        assert (placed.recovered, placed.quarantined) == self.recover(actor, set(actor.claimed))
        actor.stale.append(actor.fence)
        actor.fence = placed.fence
        actor.must_be_ready |= actor.waiting > 0
        if forget:
            actor.deliveries = {}

    @precondition(lambda self: self.having(lambda a: a.claimed))
    @rule(of=AGENTS)
    def the_runtime_lets_go_and_takes_it_again(self, of: int) -> None:
        actor = self.actors[of]
        run_sync(self.town.placement.unplace(actor.fence, wanted=False))
        actor.prompted.clear()
        self.recover(actor, set(actor.claimed))
        self.take_over(actor, self.runtimes[self.current], forget=True)

    @precondition(lambda self: any(actor.stale for actor in self.actors))
    @rule(data=st.data(), verb=st.sampled_from(("claim", "settle", "renew", "glance", "commit", "unplace")))
    def somebody_acts_who_lost_the_actor(self, data: st.DataObject, verb: str) -> None:
        actor = data.draw(st.sampled_from([actor for actor in self.actors if actor.stale]))
        stale = data.draw(st.sampled_from(actor.stale))
        before = run_sync(snapshot(self.connection))
        try:
            self.act(verb, stale, self.any_deliveries(actor))
        except LeaseLost:
            pass
        assert run_sync(snapshot(self.connection)) == before, f"I3: {verb} under an old epoch changed something"

    def any_deliveries(self, actor: Actor) -> list[Delivery]:
        """Deliveries with tags that are claimed now, whoever claimed them."""
        return [Delivery(tag, LANES[lane], raw, None) for tag, (lane, raw) in actor.claimed.items()]

    def act(self, verb: str, fence: Fence, deliveries: list[Delivery]) -> None:
        mailbox, store = self.town.mailbox, self.town.store
        match verb:
            case "claim":
                run_sync(self.town.claim(fence, lease=LEASE))
            case "settle":
                run_sync(mailbox.settle(fence, [(delivery, Ack()) for delivery in deliveries]))
            case "renew":
                run_sync(mailbox.renew(fence, deliveries, lease=1.0, prompted=True))
            case "glance":
                run_sync(mailbox.glance(fence))
            case "commit":
                run_sync(store.update_agent(fence.id, lambda agent: replace(agent, nickname="stale"), fence=fence))
            case "unplace":
                run_sync(self.town.placement.unplace(fence, wanted=True))

    # People.

    @rule(of=AGENTS)
    def pause(self, of: int) -> None:
        self.move(self.actors[of], AgentEvent.PAUSE)

    @rule(of=AGENTS, event=st.sampled_from((AgentEvent.DRAIN, AgentEvent.STOP, AgentEvent.FAIL)))
    def kill(self, of: int, event: AgentEvent) -> None:
        self.move(self.actors[of], event)

    @precondition(lambda self: self.having(lambda a: a.agent.state in HELD))
    @rule(data=st.data())
    def resume_or_restart(self, data: st.DataObject) -> None:
        actor = self.actors[data.draw(st.sampled_from(self.having(lambda a: a.agent.state in HELD)))]
        for event in (AgentEvent.RESUME, AgentEvent.STOP, AgentEvent.RESTART, AgentEvent.READY):
            if actor.agent.state in HELD or event is AgentEvent.READY:
                self.move(actor, event)

    def move(self, actor: Actor, event: AgentEvent) -> None:
        control = Control(ControlKind.WAKE, 1)

        def also(change: Change, before: Agent, after: Agent) -> None:
            change.control(actor.agent.id, control)

        try:
            actor.agent = run_sync(
                self.town.store.update_agent(actor.agent.id, lambda agent: agent.after(event), also)
            )
        except IllegalTransition:
            return
        actor.controls.append(control)
        actor.must_be_ready = True

    @rule(of=AGENTS)
    def look(self, of: int) -> None:
        actor = self.actors[of]
        before = run_sync(snapshot(self.connection))
        seen = run_sync(self.town.mailbox.peek_with_bytes(actor.agent.id))
        wanted = [raw for _, (_, raw) in sorted(actor.claimed.items())] + [
            raw for lane in actor.lanes for raw in lane
        ]
        assert [raw for _, raw in seen] == wanted
        assert run_sync(self.town.mailbox.waiting(actor.agent.id)) == len(wanted), "I17: what waits"
        assert run_sync(snapshot(self.connection)) == before

    # What must be true after every step.

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        if not hasattr(self, "actors"):
            return
        found = run_sync(snapshot(self.connection))
        assert strays(found, self.town.keys) == [], "I16: a key that the catalogue does not know"
        self.messages_are_in_one_place(found)
        self.claims_have_leases(found)
        self.counters_are_of_unsettled_messages(found)
        self.indexes_say_what_is_there(found)

    def messages_are_in_one_place(self, found: dict[str, Any]) -> None:
        for actor in self.actors:
            lanes = [self.content(found, self.key(name, actor), []) for name in LANE_KEYS]
            assert sorted(map(sorted, lanes)) == sorted(map(sorted, actor.lanes)), "I1: the lanes"
            assert lanes == actor.lanes, "I6: the order in a lane"
            claimed = {
                int(tag): (int(value[:1]) - 1, value.partition(b"\n")[2])
                for tag, value in self.content(found, self.key("inflight", actor), {}).items()
            }
            assert claimed == actor.claimed, "I1: what is claimed"
        snoozed = sorted(member.partition(b"\n")[2] for member, _ in self.content(found, self.key("snoozed"), []))
        assert snoozed == sorted(raw for _, _, raw in self.snoozed.values()), "I1: what is snoozed"
        for name, wanted in self.aside.items():
            entries = [fields[fields.index(b"raw") + 1] for _, fields in self.content(found, self.key(name), [])]
            assert sorted(entries) == sorted(wanted), f"I1: {name}"

    def claims_have_leases(self, found: dict[str, Any]) -> None:
        for actor in self.actors:
            leases = {int(tag) for tag, _ in self.content(found, self.key("leases", actor), [])}
            assert leases == set(actor.claimed), "I4: leases"
            prompted = {int(tag) for tag in self.content(found, self.key("prompted", actor), set())}
            assert prompted == actor.prompted, "I4: what stands in a prompt"

    def counters_are_of_unsettled_messages(self, found: dict[str, Any]) -> None:
        raws = [raw for actor in self.actors for lane in actor.lanes for raw in lane]
        raws += [raw for actor in self.actors for _, raw in actor.claimed.values()]
        raws += [raw for _, _, raw in self.snoozed.values()]
        unsettled = {counter_of(raw) for raw in raws}
        for name, wanted, most in (
            ("attempts", self.attempts, ATTEMPTS),
            ("recoveries", self.recoveries, LIMITS.max_recoveries),
        ):
            counted = {
                counter.decode(): int(value.partition(b"|")[0])
                for counter, value in self.content(found, self.key(name), {}).items()
            }
            assert counted.keys() <= unsettled, f"I5: {name} of a message that is settled"
            assert all(count < most for count in counted.values()), f"I5: {name} beyond the limit"
            assert counted == wanted, f"I5: {name}"

    def indexes_say_what_is_there(self, found: dict[str, Any]) -> None:
        live = {member.decode() for member in self.content(found, self.key("live"), set())}
        assert live == self.unsettled, "I17: live"
        seen = {member.decode() for member, _ in self.content(found, self.key("seen"), [])}
        assert seen == set(self.accepted), "I17: seen"
        held = {member.decode() for member in self.content(found, self.key("held"), set())}
        assert held == {actor.agent.id for actor in self.actors if actor.agent.state in HELD}, "I17: held"
        ready = {member.decode() for member in self.content(found, self.key("ready"), set())}
        assert ready >= {actor.agent.id for actor in self.actors if actor.must_be_ready}, "I17: ready"

    def key(self, name: str, actor: Actor | None = None) -> str:
        return self.town.keys(name, actor.agent.id if actor else "")

    @staticmethod
    def content(found: dict[str, Any], key: str, default: Any) -> Any:
        return found[key][1] if key in found else default


def machine_on(server: RunningServer) -> Callable[[], MailboxMachine]:
    """What makes machines that run on this server."""

    class OnThisServer(MailboxMachine):
        pass

    OnThisServer.server = server
    return OnThisServer
