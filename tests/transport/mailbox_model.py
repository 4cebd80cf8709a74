"""A plain model of the mailboxes of one town: lists for lanes, dictionaries for what is claimed and counted.

It does in memory what the scripts must do in Redis, and `compare` says what differs, by the name of the promise:

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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

from towns import Snapshot, strays

from tinytown.config import Limits
from tinytown.lifecycle import AgentState
from tinytown.messages import LANES, Message, Priority
from tinytown.records import Agent
from tinytown.transport.delivery import (
    Ack,
    Control,
    DeadLetter,
    Delivery,
    Fence,
    Outcome,
    Quarantine,
    Retry,
    Snooze,
)
from tinytown.transport.keys import LANE_KEYS, Keys

HELD = {AgentState.PAUSED, AgentState.DRAINING, AgentState.STOPPED, AgentState.ERROR}


def counter_of(raw: bytes) -> str:
    """Under what name a message is counted: its id, or what it is."""
    if raw.startswith(b'{"id":"'):
        return raw[7:43].decode()
    return f"sha1-{sha1(raw, usedforsecurity=False).hexdigest()}"


def takes(actor: Actor, message: Message, given: list[bytes], *, low: bool) -> bool:
    """Whether the actor can be handed the message behind what it is given by the same script."""
    if not actor.stance:
        return False
    _, _, count, size = actor.stance.split()
    raw = message.encode()
    if not given:
        return True
    fits = len(given) < int(count) and sum(map(len, given)) + len(raw) <= int(size)
    return fits and not low and message.priority is not Priority.LOW


@dataclass
class Actor:
    """One agent and its mailbox. Lanes hold bytes, head first; what is claimed stands by its tag."""

    agent: Agent
    fence: Fence
    lanes: list[list[bytes]] = field(default_factory=lambda: [[], [], [], []])
    claimed: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    prompted: set[int] = field(default_factory=set)
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    """What the living runtime knows of; a crash empties it."""
    stale: list[Fence] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    stance: str | None = None
    """How it stands: None while there may be something that it was not handed, empty while its hands are full, else
    its runtime and how much it takes."""
    must_be_ready: bool = False
    """Something asks for it that no claim has looked at. It may be ready without: a look too many does no harm."""

    @property
    def waiting(self) -> int:
        """How many messages lie in its lanes."""
        return sum(len(lane) for lane in self.lanes)

    @property
    def held(self) -> bool:
        """It may claim nothing now."""
        return self.agent.state in HELD

    def back(self, lane: int, raw: bytes) -> None:
        """To the head of its lane."""
        self.lanes[lane].insert(0, raw)
        self.must_be_ready = True
        self.stance = None

    def take(self, count: int, size: int) -> list[tuple[int, bytes]]:
        """What a claim must give, taken out of the lanes."""
        taken: list[tuple[int, bytes]] = []
        room = size
        for number, lane in enumerate(self.lanes):
            if number == 3 and taken:
                break
            while lane and len(taken) < count and (not taken or len(lane[0]) <= room):
                taken.append((number, lane.pop(0)))
                room -= len(taken[-1][1])
            if lane or room <= 0:
                break
        return taken


class Model:
    """The whole town."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.actors: list[Actor] = []
        self.accepted: dict[str, Message] = {}
        self.unsettled: set[str] = set()
        """Ids of accepted messages that wait, are claimed or snoozed."""
        self.snoozed: dict[int, tuple[Actor, int, bytes]] = {}
        self.aside: dict[str, list[bytes]] = {"dlq": [], "quarantine": []}
        self.acked: set[bytes] = set()
        self.attempts: dict[str, int] = {}
        self.recoveries: dict[str, int] = {}

    def accept(self, sent: Sequence[tuple[Actor, Message]]) -> list[tuple[Actor, Message]]:
        """Messages were sent in one script; gives those that must have been handed over."""
        handed: list[tuple[Actor, Message]] = []
        closed: set[str] = set()
        for actor, message in sent:
            self.accepted[message.id] = message
            self.unsettled.add(message.id)
            given = [each.encode() for other, each in handed if other is actor]
            low = any(each.priority is Priority.LOW for other, each in handed if other is actor)
            if actor.agent.id not in closed and message.rings() and takes(actor, message, given, low=low):
                handed.append((actor, message))
                continue
            closed.add(actor.agent.id)
            actor.lanes[LANES.index(message.priority)].append(message.encode())
            actor.must_be_ready |= message.is_actionable()
        for actor, _ in handed:
            actor.stance = ""
        for actor, _ in sent:
            if actor.agent.id in closed:
                actor.stance = None
        return handed

    def claimed(self, actor: Actor, lane: int, delivery: Delivery) -> None:
        """A message was claimed; the delivery must tell its history."""
        raw, counter = delivery.raw, counter_of(delivery.raw)
        assert raw not in self.acked, "I2: delivered after it was acknowledged"
        assert (delivery.message is None) == raw.startswith(b"\xff")
        assert delivery.failures == self.attempts.get(counter, 0), "I5: the failures of a delivery"
        assert delivery.recoveries == self.recoveries.get(counter, 0), "I5: the deaths of a delivery"
        actor.claimed[delivery.tag] = (lane, raw)
        actor.deliveries[delivery.tag] = delivery

    def settle(self, actor: Actor, tag: int, outcome: Outcome) -> None:
        """What became of a claimed message."""
        lane, raw = actor.claimed.pop(tag)
        actor.prompted.discard(tag)
        counter = counter_of(raw)
        match outcome:
            case Ack():
                self.acked.add(raw)
                self.forget(counter)
            case DeadLetter() | Quarantine():
                self.aside["dlq" if isinstance(outcome, DeadLetter) else "quarantine"].append(raw)
                self.forget(counter)
            case Retry(delay):
                self.attempts[counter] = self.attempts.get(counter, 0) + 1
                if delay:
                    self.snoozed[tag] = (actor, lane, raw)
                else:
                    actor.back(lane, raw)
            case Snooze():
                self.snoozed[tag] = (actor, lane, raw)
            case _:
                actor.back(lane, raw)

    def recover(self, actor: Actor, tags: set[int]) -> tuple[int, int]:
        """Claims end without a word; gives how many messages went back, and how many had killed too often."""
        back = gone = 0
        for tag in sorted(tags, reverse=True):
            lane, raw = actor.claimed.pop(tag)
            counter = counter_of(raw)
            deaths = self.recoveries.get(counter, 0) + (tag in actor.prompted)
            if tag in actor.prompted and deaths >= self.limits.max_recoveries:
                self.aside["quarantine"].append(raw)
                self.forget(counter)
                gone += 1
            else:
                if tag in actor.prompted:
                    self.recoveries[counter] = deaths
                actor.back(lane, raw)
                back += 1
            actor.prompted.discard(tag)
        return back, gone

    def wake(self) -> int:
        """What is snoozed is due, the longest first; gives how many."""
        tags = sorted(self.snoozed, reverse=True)
        for tag in tags:
            actor, lane, raw = self.snoozed.pop(tag)
            actor.back(lane, raw)
        return len(tags)

    def forget(self, counter: str) -> None:
        """Nothing is counted for it any more."""
        self.unsettled.discard(counter)
        self.attempts.pop(counter, None)
        self.recoveries.pop(counter, None)

    # The comparison.

    def compare(self, found: Snapshot, keys: Keys) -> None:
        """Fail when Redis holds anything else."""
        assert strays(found, keys) == [], "I16: a key that the catalogue does not know"
        seen = _Found(found, keys)
        for actor in self.actors:
            self._compare_mailbox(seen, actor)
        self._compare_outside_of_mailboxes(seen)
        self._compare_counters(seen)
        self._compare_indexes(seen)

    def _compare_mailbox(self, seen: _Found, actor: Actor) -> None:
        lanes = [seen(name, actor, []) for name in LANE_KEYS]
        assert [sorted(lane) for lane in lanes] == [sorted(lane) for lane in actor.lanes], "I1: what lies in the lanes"
        assert lanes == actor.lanes, "I6: the order in a lane"
        claimed = {
            int(tag): (int(value[:1]) - 1, value.partition(b"\n")[2])
            for tag, value in seen("inflight", actor, {}).items()
        }
        assert claimed == actor.claimed, "I1: what is claimed"
        assert {int(tag) for tag, _ in seen("leases", actor, [])} == set(actor.claimed), "I4: leases"
        assert {int(tag) for tag in seen("prompted", actor, set())} == actor.prompted, "I4: what stands in a prompt"
        assert [Control.decode(raw) for raw in seen("control", actor, [])] == actor.controls, "I1: control"

    def _compare_outside_of_mailboxes(self, seen: _Found) -> None:
        snoozed = [member.partition(b"\n")[2] for member, _ in seen("snoozed", None, [])]
        assert sorted(snoozed) == sorted(raw for _, _, raw in self.snoozed.values()), "I1: what is snoozed"
        for name, wanted in self.aside.items():
            entries = [flat[flat.index(b"raw") + 1] for _, flat in seen(name, None, [])]
            assert sorted(entries) == sorted(wanted), f"I1: {name}"

    def _compare_counters(self, seen: _Found) -> None:
        raws = [raw for actor in self.actors for lane in actor.lanes for raw in lane]
        raws += [raw for actor in self.actors for _, raw in actor.claimed.values()]
        raws += [raw for _, _, raw in self.snoozed.values()]
        unsettled = {counter_of(raw) for raw in raws}
        for name, wanted, most in (
            ("attempts", self.attempts, self.limits.max_attempts),
            ("recoveries", self.recoveries, self.limits.max_recoveries),
        ):
            counted = {
                counter.decode(): int(value.partition(b"|")[0]) for counter, value in seen(name, None, {}).items()
            }
            assert counted.keys() <= unsettled, f"I5: {name} of a message that is settled"
            assert all(count < most for count in counted.values()), f"I5: {name} beyond the limit"
            assert counted == wanted, f"I5: {name}"

    def _compare_indexes(self, seen: _Found) -> None:
        assert {member.decode() for member in seen("live", None, set())} == self.unsettled, "I17: live"
        assert {member.decode() for member, _ in seen("seen", None, [])} == set(self.accepted), "I17: seen"
        standing = {actor.agent.id: actor.stance for actor in self.actors if actor.stance is not None}
        found = {name.decode(): words.decode() for name, words in seen("standing", None, {}).items()}
        assert found == standing, "I17: who stands ready"
        held = {actor.agent.id for actor in self.actors if actor.held}
        assert {member.decode() for member in seen("held", None, set())} == held, "I17: held"
        ready = {actor.agent.id for actor in self.actors if actor.must_be_ready}
        assert {member.decode() for member in seen("ready", None, set())} >= ready, "I17: ready"


class _Found:
    """What was found in Redis, by the names of the catalogue."""

    def __init__(self, found: Snapshot, keys: Keys) -> None:
        self._found = found
        self._keys = keys

    def __call__(self, name: str, actor: Actor | None, default: Any) -> Any:
        found = self._found.get(self._keys(name, actor.agent.id if actor else ""))
        return default if found is None else found[1]
