"""Messages on the wire: what comes back, what is refused, what may be left out."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown.errors import BadMessage
from tinytown.ids import SUPERVISOR_ID, AgentId, MessageId, is_id
from tinytown.messages import (
    BODY_TYPES,
    LANES,
    AckType,
    Body,
    Confirmation,
    Custom,
    Informational,
    JsonObject,
    Message,
    Ping,
    Pong,
    Priority,
    Query,
    Shutdown,
    StatusRequest,
    StatusResponse,
    TaskAssign,
    TaskDone,
    TaskFailed,
    Work,
    decode_json,
)
from tinytown.text import term_safe
from tinytown.times import seconds_of, timestamp

UNTIMED = settings(deadline=None)
"""The machine may be busy; how long an example takes says nothing."""

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
IDS = st.uuids(version=4).map(str)
BODIES: st.SearchStrategy[Body] = st.one_of(
    st.builds(Work, TEXT),
    st.builds(Query, TEXT),
    st.builds(Informational, TEXT),
    st.builds(Confirmation, st.sampled_from(AckType), st.none() | TEXT),
    st.builds(TaskAssign, TEXT),
    st.builds(TaskDone, TEXT, TEXT),
    st.builds(TaskFailed, TEXT, TEXT),
    st.just(StatusRequest()),
    st.builds(StatusResponse, TEXT, st.none() | TEXT),
    st.just(Ping()),
    st.just(Pong()),
    st.just(Shutdown()),
    st.builds(Custom, TEXT, TEXT),
)
MESSAGES = st.builds(
    Message,
    sender=IDS.map(AgentId),
    to=IDS.map(AgentId),
    body=BODIES,
    priority=st.sampled_from(Priority),
    correlation_id=st.none() | IDS.map(MessageId),
    id=IDS.map(MessageId),
    created_at=st.floats(0, 4e9).map(timestamp),
)
TO = "550e8400-e29b-41d4-a716-446655440000"


@UNTIMED
@given(MESSAGES)
def test_the_bytes_are_those_of_any_writer_of_json(message: Message) -> None:
    assert message.encode() == json.dumps(message.to_json(), ensure_ascii=False, separators=(",", ":")).encode()


@UNTIMED
@given(MESSAGES)
def test_every_message_comes_back_from_its_bytes(message: Message) -> None:
    assert Message.decode(message.encode()) == message


@UNTIMED
@given(MESSAGES)
def test_the_bytes_are_one_flat_json_object_that_begins_with_the_id(message: Message) -> None:
    raw = message.encode()
    assert raw.startswith(b'{"id":"')
    assert b"\n" not in raw
    value = json.loads(raw)
    assert value["from"] == message.sender
    assert value["type"] == message.body.type
    assert set(value) - {"ack_type"} <= {
        "id", "from", "to", "type", "priority", "created_at", "correlation_id",
        *(item.name for item in fields(message.body)),
    }  # fmt: skip


@UNTIMED
@given(MESSAGES, st.data())
def test_absent_and_null_are_the_same(message: Message, data: st.DataObject) -> None:
    value = message.to_json()
    optional = [
        key for key in ("correlation_id", "current_task", "priority", "id", "created_at", "from") if key in value
    ]
    key = data.draw(st.sampled_from(optional))
    without = {name: item for name, item in value.items() if name != key}
    fresh = {"id": message.id, "created_at": message.created_at}
    first, second = Message.from_json(without), Message.from_json({**without, key: None})
    assert replace(first, **fresh) == replace(second, **fresh)  # type: ignore[arg-type]


@UNTIMED
@given(MESSAGES, st.dictionaries(st.text(st.characters(codec="ascii"), min_size=20), TEXT, max_size=3))
def test_fields_of_later_versions_are_left_out(message: Message, more: dict[str, str]) -> None:
    assert Message.from_json({**message.to_json(), **more}) == message


def test_the_types_are_those_of_the_book() -> None:
    assert set(BODY_TYPES) == {
        "task", "query", "informational", "confirmation", "task_assign", "task_done", "task_failed",
        "status_request", "status_response", "ping", "pong", "shutdown", "custom",
    }  # fmt: skip
    assert {body.type: body for body in BODY_TYPES.values()} == BODY_TYPES
    assert [lane.value for lane in LANES] == ["urgent", "high", "normal", "low"]


def test_a_confirmation_looks_as_decided() -> None:
    message = Message(SUPERVISOR_ID, AgentId(TO), Confirmation(AckType.REJECTED, "too slow"))
    assert message.to_json()["ack_type"] == {"type": "rejected", "reason": "too slow"}
    assert "reason" not in message.to_json()


def test_a_message_pushed_by_hand_needs_to_type_and_the_fields_of_its_type_only() -> None:
    raw = f'{{"to": "{TO}", "type": "task", "description": "do it"}}'.encode()
    message = Message.decode(raw)
    assert message.body == Work("do it")
    assert (message.sender, message.to, message.priority) == (SUPERVISOR_ID, TO, Priority.NORMAL)
    assert message.correlation_id is None
    assert is_id(message.id)
    assert seconds_of(message.created_at) > 0
    assert Message.decode(raw).id != message.id


def minimal(**changed: object) -> bytes:
    value = {"to": TO, "type": "task", "description": "x", **changed}
    return json.dumps({key: item for key, item in value.items() if item is not None}).encode()


BAD = {
    "nothing": b"",
    "no JSON": b"hello",
    "cut short": minimal()[:-1],
    "two values": minimal() + b"{}",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "invalid UTF-8": b'{"to": "\xff"}',
    "overlong UTF-8": b'{"to": "\xc0\x80"}',
    "an encoded surrogate": b'{"to": "\xed\xa0\x80"}',
    "an escaped lone surrogate": minimal(description="LONE").replace(b"LONE", b"\\ud800"),
    "surrogates the wrong way round": minimal(description="LONE").replace(b"LONE", b"\\udc00\\ud800"),
    "a lone surrogate in an unknown field": minimal(other="LONE").replace(b"LONE", b"\\udfff"),
    "a raw control character": b'{"to": "a\nb", "type": "ping"}',
    "NaN": minimal(other="N").replace(b'"N"', b"NaN"),
    "Infinity": minimal(other="N").replace(b'"N"', b"-Infinity"),
    "a float that is infinite": minimal(other="N").replace(b'"N"', b"1e999"),
    "5,000 digits": minimal(other="N").replace(b'"N"', b"1" * 5000),
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep in an unknown field": minimal(other="N").replace(b'"N"', b"[" * 50_000 + b"]" * 50_000),
    "no recipient": minimal(to=None),
    "no type": minimal(type=None),
    "no field of the type": minimal(description=None),
    "a number for text": minimal(description=5),
    "a list for text": minimal(description=["x"]),
    "an object as recipient": minimal(to={}),
    "a number as id": minimal(id=7),
    "true as time": minimal(created_at=True),
    "an unknown type": minimal(type="order"),
    "the type of another case": minimal(type="Task"),
    "an unknown priority": minimal(priority="asap"),
    "a number as priority": minimal(priority=1),
    "a list as correlation": minimal(correlation_id=[]),
    "no confirmation": minimal(type="confirmation"),
    "a bare confirmation": minimal(type="confirmation", ack_type="thanks"),
    "an unknown confirmation": minimal(type="confirmation", ack_type={"type": "maybe"}),
    "a number as reason": minimal(type="confirmation", ack_type={"type": "rejected", "reason": 5}),
    "a number as current task": minimal(type="status_response", state="idle", current_task=5),
    "a huge unknown type": minimal(type="x" * 200_000),
    "a huge unknown priority": minimal(priority="x" * 200_000),
    "a huge unknown confirmation": minimal(type="confirmation", ack_type={"type": "x" * 200_000}),
    "an unknown type with escapes": minimal(type="\x1b[31m\u202e"),
}


@pytest.mark.parametrize("raw", BAD.values(), ids=BAD.keys())
def test_bytes_that_are_no_message_are_refused_with_a_short_harmless_reason(raw: bytes) -> None:
    with pytest.raises(BadMessage) as caught:
        Message.decode(raw)
    assert len(str(caught.value)) < 300
    assert term_safe(str(caught.value), lines=False) == str(caught.value)


def test_a_pair_of_escaped_surrogates_is_one_character() -> None:
    raw = minimal(description="PAIR").replace(b"PAIR", b"\\ud83d\\ude00")
    assert Message.decode(raw).body == Work("\U0001f600")


@UNTIMED
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BadMessage):
        Message.decode(raw)


JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "id",
        "from",
        "to",
        "type",
        "priority",
        "created_at",
        "correlation_id",
        "ack_type",
        "task_id",
        "state",
        "description",
    ]
)


def read_and_written(raw: bytes) -> str:
    """What becomes of bytes that are read, written and read again."""
    try:
        message = Message.decode(raw)
    except BadMessage:
        return "refused"
    return "the same" if Message.decode(message.encode()) == message else "another"


@UNTIMED
@given(FIELDS, JSON, st.sampled_from(sorted(BODY_TYPES)))
def test_a_wrong_value_is_refused_or_the_message_can_be_written_again(key: str, value: object, kind: str) -> None:
    given = {"to": TO, "type": kind, "description": "x", "task_id": "x", "state": "idle", key: value}
    assert read_and_written(json.dumps(given).encode()) in {"refused", "the same"}


@UNTIMED
@given(JSON)
def test_json_that_was_read_can_be_written_again(value: object) -> None:
    try:
        read = decode_json(json.dumps(value).encode())
    except BadMessage:
        return
    json.dumps(read, ensure_ascii=False, allow_nan=False).encode("utf-8")


def test_what_asks_for_work_starts_a_round_and_the_rest_rides_along() -> None:
    rides = {"informational", "confirmation", "task_done", "task_failed", "status_response", "pong"}
    examples: list[Body] = [
        Work(""), Query(""), Informational(""), Confirmation(AckType.THANKS), TaskAssign(""), TaskDone("", ""),
        TaskFailed("", ""), StatusRequest(), StatusResponse(""), Ping(), Pong(), Shutdown(), Custom("", ""),
    ]  # fmt: skip
    for body in examples:
        message = Message(SUPERVISOR_ID, AgentId(TO), body)
        assert message.is_informational_or_confirmation() == (body.type in rides)
        assert message.is_actionable() != message.is_informational_or_confirmation()
    assert {body.type for body in examples} == set(BODY_TYPES)


def test_a_copy_in_another_lane_or_as_an_answer_is_otherwise_the_same() -> None:
    message = Message(SUPERVISOR_ID, AgentId(TO), Ping())
    assert message.with_priority(Priority.URGENT) == replace(message, priority=Priority.URGENT)
    assert message.with_correlation(MessageId("x")) == replace(message, correlation_id=MessageId("x"))
    assert message.priority is Priority.NORMAL


def test_two_messages_never_share_an_id() -> None:
    assert len({Message(SUPERVISOR_ID, AgentId(TO), Ping()).id for _ in range(100)}) == 100


def test_a_message_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Message(SUPERVISOR_ID, AgentId(TO), Ping()).to = AgentId("x")  # type: ignore[misc]


def test_the_json_object_is_plain() -> None:
    value: JsonObject = Message(SUPERVISOR_ID, AgentId(TO), Work("x"), priority=Priority.HIGH).to_json()
    assert value["priority"] == "high"
    assert type(value["priority"]) is str
