"""What agents write to each other: priorities, message types, and the message with its address.

On the wire, in Redis and in `--json`, a message is one flat JSON object: the fields of the address, the name of
its type under `type`, and the fields of that type beside them. `id` is always written first; the claim script
relies on it for speed, never for correctness.

Three ideas, three types: a *body* is what is said, a `Message` is a body with an address, a delivery
(`tinytown.transport.mailbox`) is one attempt to hand a message to its recipient.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from json.encoder import encode_basestring
from math import isfinite
from typing import ClassVar, TypeAlias, TypeGuard, cast

from tinytown import times
from tinytown.errors import BadMessage
from tinytown.ids import SUPERVISOR_ID, AgentId, MessageId, new_id
from tinytown.times import Timestamp

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
JsonObject: TypeAlias = "dict[str, JsonValue]"


class Priority(StrEnum):
    """The four lanes of a mailbox. Strict order between them, first come first served inside one."""

    URGENT = "urgent"
    """Cuts or steers the running turn."""
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    """Read only when nothing else waits."""


LANES: tuple[Priority, ...] = (Priority.URGENT, Priority.HIGH, Priority.NORMAL, Priority.LOW)
"""The lanes in the order in which they are read."""


class AckType(StrEnum):
    """What a confirmation says."""

    RECEIVED = "received"
    ACKNOWLEDGED = "acknowledged"
    THANKS = "thanks"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Work:
    """A request to do something (`task`)."""

    type: ClassVar[str] = "task"
    description: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question that expects an answer."""

    type: ClassVar[str] = "query"
    question: str


@dataclass(frozen=True, slots=True)
class Informational:
    """Something to know; asks for nothing."""

    type: ClassVar[str] = "informational"
    summary: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A receipt, an approval or a rejection; `reason` belongs to the rejection."""

    type: ClassVar[str] = "confirmation"
    ack_type: AckType
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class TaskAssign:
    """A task record is now the recipient's."""

    type: ClassVar[str] = "task_assign"
    task_id: str


@dataclass(frozen=True, slots=True)
class TaskDone:
    """A task was completed."""

    type: ClassVar[str] = "task_done"
    task_id: str
    result: str


@dataclass(frozen=True, slots=True)
class TaskFailed:
    """A task failed."""

    type: ClassVar[str] = "task_failed"
    task_id: str
    error: str


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """Asks for a status response."""

    type: ClassVar[str] = "status_request"


@dataclass(frozen=True, slots=True)
class StatusResponse:
    """Answers a status request."""

    type: ClassVar[str] = "status_response"
    state: str
    current_task: str | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a pong."""

    type: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class Pong:
    """Answers a ping."""

    type: ClassVar[str] = "pong"


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Asks an agent to end after its turn."""

    type: ClassVar[str] = "shutdown"


@dataclass(frozen=True, slots=True)
class Custom:
    """Anything else: `kind` names it, `payload` is text, usually JSON of the application's own."""

    type: ClassVar[str] = "custom"
    kind: str
    payload: str


Body: TypeAlias = (
    Work
    | Query
    | Informational
    | Confirmation
    | TaskAssign
    | TaskDone
    | TaskFailed
    | StatusRequest
    | StatusResponse
    | Ping
    | Pong
    | Shutdown
    | Custom
)

_BODIES: tuple[type[Body], ...] = (
    Work,
    Query,
    Informational,
    Confirmation,
    TaskAssign,
    TaskDone,
    TaskFailed,
    StatusRequest,
    StatusResponse,
    Ping,
    Pong,
    Shutdown,
    Custom,
)
BODY_TYPES: dict[str, type[Body]] = {body.type: body for body in _BODIES}
"""Every message type by its name on the wire."""

_SHOWN = 60
"""Characters of a wrong value that an error repeats; the reason of a quarantine stays short."""

# Looked up for every message, so made once; so are the JSON writer and reader, which `json.dumps` and `json.loads`
# with options make at every call, for as much again as their work costs.
_FIELDS = {body: tuple(item.name for item in fields(body)) for body in _BODIES}
_PRIORITIES: dict[str, Priority] = {lane.value: lane for lane in LANES}
_write = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_ACTIONABLE = (Work, Query, TaskAssign, StatusRequest, Ping, Shutdown, Custom)


@dataclass(frozen=True, slots=True)
class Message:
    """A body with its address. `id` is the idempotency key: sending one twice delivers it once.

    `sender` is `from` on the wire. `correlation_id` names the message that this one answers.
    """

    sender: AgentId
    to: AgentId
    body: Body
    priority: Priority = Priority.NORMAL
    correlation_id: MessageId | None = None
    id: MessageId = field(default_factory=lambda: MessageId(new_id()))
    created_at: Timestamp = field(default_factory=times.now)

    def with_priority(self, priority: Priority) -> Message:
        """The same message in another lane."""
        return replace(self, priority=priority)

    def with_correlation(self, message_id: MessageId) -> Message:
        """The same message as an answer to another."""
        return replace(self, correlation_id=message_id)

    def is_actionable(self) -> bool:
        """It asks for work."""
        return isinstance(self.body, _ACTIONABLE)

    def is_informational_or_confirmation(self) -> bool:
        """It asks for nothing; unless it is urgent it rides along in the next round and never starts one."""
        return not self.is_actionable()

    def starts_a_round(self) -> bool:
        """Its recipient is woken for it: it asks for work, or it is urgent and shall be known now."""
        return self.priority is Priority.URGENT or self.is_actionable()

    def rings(self) -> bool:
        """Its recipient's actor hears of it at once: it may start a round. A conductor decides that for itself."""
        return self.to == SUPERVISOR_ID or self.starts_a_round()

    def to_json(self) -> JsonObject:
        """The flat object of the wire."""
        out: JsonObject = {"id": self.id, "from": self.sender, "to": self.to, "type": self.body.type}
        if isinstance(self.body, Confirmation):
            ack: JsonObject = {"type": self.body.ack_type.value}
            if self.body.reason is not None:
                ack["reason"] = self.body.reason
            out["ack_type"] = ack
        else:
            for name in _FIELDS[type(self.body)]:
                value = getattr(self.body, name)
                if value is not None:
                    out[name] = value
        out["priority"] = self.priority.value
        out["created_at"] = self.created_at
        if self.correlation_id is not None:
            out["correlation_id"] = self.correlation_id
        return out

    def encode(self) -> bytes:
        """The bytes that lie in a lane."""
        flat = self.to_json()
        if isinstance(self.body, Confirmation):
            return _write(flat).encode()
        # All values are text: to make the general writer anew for each message would cost twice as much.
        pairs = [f'"{key}":{encode_basestring(text)}' for key, text in cast("dict[str, str]", flat).items()]
        return f"{{{','.join(pairs)}}}".encode()

    @classmethod
    def from_json(cls, value: JsonValue) -> Message:
        """The message of a flat object; `BadMessage` says what is wrong with it.

        Absent and null are the same. Without `id` or `created_at` new ones are made, without `priority` it is
        normal, without `from` it comes from the supervisor: a message pushed by hand needs `to`, `type` and the
        fields of its type only.
        """
        if not isinstance(value, dict):
            raise BadMessage("a message is a JSON object")
        taken: JsonObject = {key: item for key, item in value.items() if item is not None}
        named = _text(taken, "priority", Priority.NORMAL)
        priority = _PRIORITIES.get(named)
        if priority is None:
            raise BadMessage(f"unknown priority {named[:_SHOWN]!r}")
        correlation = _text(taken, "correlation_id", "")
        return cls(
            id=MessageId(_text(taken, "id", "") or new_id()),
            sender=AgentId(_text(taken, "from", "00000000-0000-0000-0000-000000000001")),
            to=AgentId(_text(taken, "to")),
            body=_body(taken),
            priority=priority,
            created_at=Timestamp(_text(taken, "created_at", "") or times.now()),
            correlation_id=MessageId(correlation) if correlation else None,
        )

    @classmethod
    def decode(cls, raw: bytes) -> Message:
        """The message that these bytes hold; `BadMessage` for anything else."""
        return cls.from_json(decode_json(raw))


def decode_json(raw: bytes) -> JsonValue:
    """The JSON value of bytes from outside; `BadMessage` for all that we could not write again.

    That is more than bad syntax: invalid UTF-8, lone surrogates, NaN and infinities, nesting beyond the stack,
    integers of thousands of digits (each seen to pass or to crash some JSON reader; Lua's accepts most).
    """
    try:
        text = raw.decode("utf-8")
        value = cast("JsonValue", _read(text))
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not readable as JSON: {error}") from None
    return value


def _refuse_constant(name: str) -> JsonValue:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not isfinite(value):
        raise ValueError("a number is too large")
    return value


def _is_text(value: JsonValue) -> TypeGuard[str]:
    return isinstance(value, str)


_read = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode


def _text(taken: JsonObject, key: str, default: str | None = None) -> str:
    value = taken.get(key, default)
    if isinstance(value, str):
        return value
    raise BadMessage(f"'{key}' is missing" if value is None else f"'{key}' must be text")


def _body(taken: JsonObject) -> Body:
    kind = _text(taken, "type")
    body = BODY_TYPES.get(kind)
    if body is None:
        raise BadMessage(f"unknown message type {kind[:_SHOWN]!r}")
    if body is Confirmation:
        return _confirmation(taken)
    given: dict[str, str] = {}
    for name in _FIELDS[body]:
        optional = name == "current_task"
        if optional and name not in taken:
            continue
        given[name] = _text(taken, name)
    return body(**given)  # type: ignore[arg-type]


def _confirmation(taken: JsonObject) -> Confirmation:
    ack = taken.get("ack_type")
    if not isinstance(ack, dict):
        raise BadMessage("'ack_type' must be an object with a 'type'")
    kind = _text(ack, "type")
    try:
        ack_type = AckType(kind)
    except ValueError:
        raise BadMessage(f"unknown confirmation {kind[:_SHOWN]!r}") from None
    reason = ack.get("reason")
    if reason is not None and not _is_text(reason):
        raise BadMessage("'reason' must be text")
    return Confirmation(ack_type, reason)
