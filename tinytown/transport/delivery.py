"""One attempt to hand a message to its recipient, and what may become of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from tinytown.errors import BadMessage
from tinytown.messages import Message, Priority, decode_json

if TYPE_CHECKING:
    from tinytown.ids import AgentId, TaskId


@dataclass(frozen=True, slots=True)
class Ack:
    """Done with."""


@dataclass(frozen=True, slots=True)
class Return:
    """Back to the head of its lane, as if it had never been taken. `quiet`: do not wake the agent for it."""

    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Back, and counted as a failed turn. `delay` in seconds; 0 is the head of its lane at once.

    `successes` is how many turns of the agent have succeeded so far. It is kept from the first failure, so that
    later one can tell whether others succeeded while this message failed.
    """

    delay: float = 0.0
    successes: int = 0


@dataclass(frozen=True, slots=True)
class Snooze:
    """Back after `seconds`, nothing counted."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Never again by itself; a person finds it, with the reason, among the dead letters."""

    reason: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Out of the way, with its bytes: it cannot be read, or it kills."""

    reason: str


Outcome: TypeAlias = Ack | Return | Retry | Snooze | DeadLetter | Quarantine


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed message. `tag` is the token that settles it; tags rise with every claim of the town.

    `message` is None when the bytes are none (`fault` says why). `failures` counts the turns that failed with it,
    `successes_before` the agent's successful turns at the first of them, `recoveries` the runtimes that died.
    """

    tag: int
    lane: Priority
    raw: bytes
    message: Message | None
    fault: str = ""
    failures: int = 0
    successes_before: int = 0
    recoveries: int = 0

    @property
    def attempt(self) -> int:
        """Which attempt this is, beginning with 1."""
        return 1 + self.failures + self.recoveries


def delivery(tag: int, lane: Priority, raw: bytes, attempts: bytes = b"", recoveries: bytes = b"") -> Delivery:
    """The delivery of one message that a script has claimed, with what the script says of its past."""
    failures, _, before = attempts.partition(b"|")
    deaths, _, _ = recoveries.partition(b"|")
    message, fault = None, ""
    try:
        message = Message.decode(raw)
    except BadMessage as error:
        fault = str(error)
    return Delivery(tag, lane, raw, message, fault, int(failures or 0), int(before or 0), int(deaths or 0))


class ControlKind(StrEnum):
    """What an actor can be told past its lanes."""

    WAKE = "wake"
    """Look at your record: its state was changed (paused, resumed, draining)."""
    STOP = "stop"
    """End now; cut the turn."""
    CUT = "cut"
    """Cut the turn, then look at your record."""
    DROP = "drop"
    """Cut the turn if it works on this task: that was cancelled."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control message. It is for one life of an agent: a successor refuses it.

    One about a `task` is for whichever life works on that, and for no other turn.
    """

    kind: ControlKind
    incarnation: int = 0
    by: str = ""
    task: str = ""

    @classmethod
    def drop(cls, task: TaskId, by: str) -> Control:
        """What an agent is told when a task that it works on is cancelled."""
        return cls(ControlKind.DROP, by=by, task=task)

    def encode(self) -> bytes:
        """The bytes in the agent's control list."""
        about = {"task": self.task} if self.task else {}
        return json.dumps({"kind": self.kind, "incarnation": self.incarnation, "by": self.by, **about}).encode()

    @classmethod
    def decode(cls, raw: bytes) -> Control:
        """The control message of these bytes; `BadMessage` for anything else."""
        value = decode_json(raw)
        if isinstance(value, dict):
            kind, incarnation = value.get("kind"), value.get("incarnation")
            by, task = value.get("by", ""), value.get("task", "")
            if isinstance(kind, str) and isinstance(incarnation, int) and isinstance(by, str) and isinstance(task, str):
                try:
                    return cls(ControlKind(kind), incarnation, by, task)
                except ValueError:
                    pass
        raise BadMessage("not a control message")


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim gave. `waiting` is how many messages still lie in the lanes.

    `held`: the agent may take nothing now, because it is paused or ending. `stands`: there was nothing, and the actor
    stands ready to be handed what comes.
    """

    deliveries: tuple[Delivery, ...] = ()
    controls: tuple[Control, ...] = ()
    waiting: int = 0
    held: bool = False
    stands: bool = False


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to act for an agent: its id and the epoch under which it was placed, the fencing token."""

    id: AgentId
    epoch: int
