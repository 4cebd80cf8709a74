"""The save file as somebody else may have written it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytown.errors import BadSnapshot
from tinytown.lifecycle import TaskState
from tinytown.records import Agent, Task
from tinytown.transport import snapshot_file
from tinytown.transport.connection import Value, pack
from tinytown.transport.keys import Keys
from tinytown.transport.snapshot import Snapshot, parse
from tinytown.transport.snapshot_content import Content, Place

KEYS = Keys("town")
ADA = Agent(name="ada", cli="any")
BOB = Agent(name="bob", cli="any")
TASK = Task("do it").assign(ADA.id)
SELECT = ("SELECT", "0")
LETTER: tuple[Value, ...] = (
    "agent", ADA.id, "lane", 3, "key", "some-id", "at", 1_700_000_000_000, "attempts", 2, "reason", "it failed",
    "raw", b"\xff",
)  # fmt: skip


def agent(record: Agent = ADA, **changed: object) -> tuple[Value, ...]:
    return ("SET", KEYS("agent", ADA.id), json.dumps(record.to_json() | changed))


def task(**changed: object) -> tuple[Value, ...]:
    return ("SET", KEYS("task", TASK.id), json.dumps(TASK.to_json() | changed))


def event(name: str, *words: Value) -> tuple[Value, ...]:
    return ("XADD", KEYS("events"), name, *(words or ("type", "town.said", "ms", 1)))


def letter(**changed: Value) -> tuple[Value, ...]:
    told = dict(zip(LETTER[::2], LETTER[1::2], strict=True)) | changed
    return ("XADD", KEYS("dlq"), "5-0", *(word for pair in told.items() for word in pair))


def file(*commands: tuple[Value, ...]) -> bytes:
    return b"".join(pack(command) for command in (SELECT, *commands, SELECT))


def read(*commands: tuple[Value, ...]) -> Snapshot:
    return parse(file(*commands), KEYS)


GOOD = file(
    agent(),
    task(),
    ("RPUSH", KEYS("inbox", ADA.id), b"\r\n*1\r\n$8\r\nFLUSHALL\r\n\xff\x00"),
    ("ZADD", KEYS("snoozed"), 1_700_000_000_000, f"{ADA.id} 0000000000000007 3 some-id\nraw"),
    ("HSET", KEYS("attempts"), "some-id", "2|7"),
    letter(),
    event("7-0"),
    event("7-1", "type", "a.b", "ms", 2, "detail", "ünïcode"),
    ("XSETID", KEYS("events"), "9-0", "ENTRIESADDED", 40, "MAXDELETEDID", "8-3"),
    ("HSET", KEYS("epochs"), ADA.id, 4, "scheduler", 2),
    ("SET", KEYS("schema"), 1),
)


def test_a_file_with_some_of_everything_is_read() -> None:
    snapshot = parse(GOOD, KEYS)

    assert snapshot.town == "town"
    assert snapshot.content.lists[Place("inbox", ADA.id)] == [b"\r\n*1\r\n$8\r\nFLUSHALL\r\n\xff\x00"]
    assert snapshot.content.streams[Place("events")].added == 40


HOSTILE: dict[str, tuple[tuple[Value, ...], str]] = {
    "flush": (("FLUSHALL",), "'FLUSHALL' is no command of a save"),
    "flush in small letters": (("flushall",), "'flushall' is no command"),
    "set in small letters": (("set", KEYS("schema"), 1), "'set' is no command"),
    "eval": (("EVAL", "return redis.call('FLUSHALL')", 0), "'EVAL' is no command"),
    "function": (("FUNCTION", "LOAD", "#!lua name=x"), "'FUNCTION' is no command"),
    "config": (("CONFIG", "SET", "dir", "/tmp"), "'CONFIG' is no command"),
    "module": (("MODULE", "LOAD", "/tmp/evil.so"), "'MODULE' is no command"),
    "replica": (("REPLICAOF", "evil", 6379), "'REPLICAOF' is no command"),
    "transaction": (("MULTI",), "'MULTI' is no command"),
    "delete": (("DEL", KEYS("names")), "'DEL' is no command"),
    "expiry": (("PEXPIREAT", KEYS("names"), 1), "'PEXPIREAT' is no command"),
    "name with escapes": (("\x1b[2J",), r"'\x1b[2J' is no command"),
    "endless name": (("A" * 1000,), "AAA... is no command"),
    "empty name": (("",), "'' is no command"),
    "another database": (("SELECT", 1), "database 0"),
    "another database in between": (("SELECT", "00"), "database 0"),
    "select of many": (("SELECT", 0, 0), "database 0"),
    "key of nobody": (("SET", "password", "x"), "'password' is not a key of a town"),
    "key of the server's user": (("SET", "tt:town", "x"), "'tt:town' is not a key of a town"),
    "glob": (("SET", "tt:*:schema", 1), "is not a key of a town"),
    "name that could be written shorter": (("SET", "tt:%61:schema", 1), "is not a key of a town"),
    "name that is no text": (("SET", "tt:%FF:schema", 1), "is not a key of a town"),
    "key that the catalogue lacks": (("SET", KEYS.prefix + "nonsense", 1), "is not a key of town 'town'"),
    "key without its last part": (("SET", KEYS.prefix + "agent:", "{}"), "is not a key of town"),
    "credential": (("HSET", KEYS("tokens"), ADA.id, "x"), "is never in a save: it is secret"),
    "identity": (("SET", KEYS("town_id"), "x"), "is never in a save"),
    "mark": (("SET", KEYS("incarnation"), "x"), "is never in a save"),
    "runtime": (("SET", KEYS("runtime", "r"), "{}"), "is never in a save: it tells of running processes"),
    "claim": (("HSET", KEYS("inflight", ADA.id), 1, "3 x\nraw"), "is never in a save: it is saved as waiting"),
    "control": (("RPUSH", KEYS("control", ADA.id), "{}"), "is never in a save"),
    "wrong type": (("SADD", KEYS("schema"), 1), "SADD is not for 'tt:town:schema', which is a string"),
    "list for a stream": (("RPUSH", KEYS("events"), "x"), "RPUSH is not for"),
    "set without value": (("SET", KEYS("schema")), "SET lacks a word"),
    "set with an option": (("SET", KEYS("schema"), 1, "EX", 1), "SET has a wrong number of words"),
    "odd hash": (("HSET", KEYS("epochs"), ADA.id, 1, BOB.id), "HSET has a wrong number"),
    "option of a sorted set": (("ZADD", KEYS("seen"), "NX", 1, "x"), "ZADD has a wrong number"),
    "score that is none": (("ZADD", KEYS("seen"), "inf", "x"), "'inf' is no whole number"),
    "negative score": (("ZADD", KEYS("seen"), -1, "x"), "'-1' is no whole number"),
    "huge score": (("ZADD", KEYS("seen"), 9_999_999_999_999_999, "x"), "a score is beyond"),
    "member twice": (("SADD", KEYS("live"), "x", "x"), "'x' is said twice"),
    "field twice": (("HSET", KEYS("attempts"), "x", "1|1", "x", "1|1"), "'x' is said twice"),
    "scored twice": (("ZADD", KEYS("seen"), 1, "x", 2, "x"), "'x' is said twice"),
    "entry of the server's choice": (event("*"), "'*' is no id of an entry"),
    "entry beyond time": (event("18446744073709551615-0"), "is no id of an entry"),
    "entry after the year 2100": (event("4102444800001-0"), "is no id of an entry"),
    "entry at nought": (event("0-0"), "does not come after"),
    "entry without type": (event("1-0", "ms", 1), "has no 'type'"),
    "entry without time": (event("1-0", "type", "x"), "has no 'ms'"),
    "entry with a time that is none": (event("1-0", "type", "x", "ms", "soon"), "has no 'ms'"),
    "entry with a strange field": (event("1-0", "type", "x", "ms", 1, "A b", 1), "name that cannot be"),
    "entry that is cut": (event("1-0", "type"), "XADD has a wrong number of words"),
    "entry without anything": (("XADD", KEYS("events"), "1-0"), "XADD has a wrong number of words"),
    "trim": (("XADD", KEYS("events"), "MAXLEN", 0, "1-0", "x", "y", "z", "z"), "for an empty stream only"),
    "end of no stream": (
        ("XSETID", KEYS("events"), "1-0", "ENTRIESADDED", 1, "MAXDELETEDID", "0-0"),
        "XSETID without the XADD",
    ),
    "dead letter for no agent": (letter(agent="../x"), "has no 'agent'"),
    "dead letter of no lane": (letter(lane=5), "has no 'lane'"),
    "dead letter of no name": (letter(key="a b"), "has no 'key'"),
    "dead letter at no time": (letter(at="now"), "has no 'at'"),
    "record that is none": (("SET", KEYS("agent", ADA.id), b"\xff"), "not readable as JSON"),
    "record of a list": (("SET", KEYS("agent", ADA.id), "[]"), "is a JSON object"),
    "record in no state": (agent(state="omnipotent"), "'state' cannot be 'omnipotent'"),
    "record of another": (agent(id=BOB.id), "'id' cannot be"),
    "agent of a bad name": (agent(name="../../etc"), "Agent name '../../etc' cannot be used"),
    "agent of a reserved name": (agent(name="supervisor"), "is reserved"),
    "agent made at no time": (agent(created_at="yesterday"), "'created_at' cannot be 'yesterday'"),
    "agent seen on no day": (agent(last_heartbeat="2026-02-31T00:00:00.000Z"), "'last_heartbeat' cannot be"),
    "agent at no task": (agent(current_task="x:y"), "'current_task' cannot be 'x:y'"),
    "agent of countless lives": (agent(incarnation=1 << 60), "'incarnation' cannot be"),
    "agent of less than no rounds": (agent(max_rounds=-1), "'max_rounds' cannot be -1"),
    "task of nobody": (task(assigned_to="x"), "'assigned_to' cannot be 'x'"),
    "task made at no time": (task(created_at="2026-13-01T00:00:00.000Z"), "'created_at' cannot be"),
    "agent whose id is none": (("SET", KEYS.prefix + "agent:ada", "{}"), "its last part is no id"),
    "mailbox whose id is none": (("RPUSH", KEYS.prefix + "inbox:a:b", "x"), "its last part is no id"),
    "state that is none": (("SADD", KEYS.prefix + "tasks:eternal", TASK.id), "there is no such state"),
    "index of names": (("HSET", KEYS("names"), "ada", "x"), "names: it holds 'x'"),
    "backlog of nothing": (("RPUSH", KEYS("backlog"), "x"), "backlog: it holds 'x'"),
    "snoozed that no script can read": (("ZADD", KEYS("snoozed"), 1, "x"), "snoozed: it holds 'x'"),
    "snoozed for no lane": (("ZADD", KEYS("snoozed"), 1, f"{ADA.id} 1 9 x\nraw"), "snoozed: it holds"),
    "failures that no script can read": (("HSET", KEYS("attempts"), "x", "many"), "attempts: it holds 'many'"),
    "epoch that cannot rise": (("HSET", KEYS("epochs"), ADA.id, (1 << 63) - 1), "epochs: it holds"),
    "epoch of nobody": (("HSET", KEYS("epochs"), "A B", 1), "epochs: it holds 'A B'"),
    "tag that cannot rise": (("SET", KEYS("tags"), (1 << 63) - 1), "tags: it holds"),
    "layout that is none": (("SET", KEYS("schema"), "x"), "schema: it holds 'x'"),
}


@pytest.mark.parametrize(("command", "said"), HOSTILE.values(), ids=HOSTILE)
def test_what_no_save_holds_is_refused_and_named(command: tuple[Value, ...], said: str) -> None:
    with pytest.raises(BadSnapshot) as refusal:
        read(command)

    assert said in refusal.value.message
    assert refusal.value.message.startswith("The save file cannot be used: ")
    assert refusal.value.message.isprintable()
    assert len(refusal.value.message) < 300


def test_the_place_of_what_is_refused_is_told_to_the_byte() -> None:
    good = file(agent())[: -len(pack(SELECT))]

    with pytest.raises(BadSnapshot, match=f"byte {len(good)}: 'FLUSHALL' is no command"):
        parse(good + pack(("FLUSHALL",)) + pack(SELECT), KEYS)


def test_keys_of_two_towns_in_one_file_are_refused() -> None:
    with pytest.raises(BadSnapshot, match="'tt:other:schema' is not a key of town 'town'"):
        read(("SET", KEYS("schema"), 1), ("SET", Keys("other")("schema"), 1))


def test_a_town_whose_name_begins_alike_is_another() -> None:
    theirs = file(("SET", Keys("town:b")("schema"), 1))

    with pytest.raises(BadSnapshot, match="of town 'town:b', and this is town 'town'"):
        parse(theirs, KEYS)
    assert parse(theirs, KEYS, rename=True).town == "town:b"


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ((agent(), agent()), "said twice"),
        ((agent(), ("SET", KEYS("agent", BOB.id), json.dumps(BOB.to_json() | {"name": "ada"}))), "a second agent"),
        ((event("2-0"), event("1-0")), "does not come after"),
        ((event("2-0"), event("2-0")), "said twice"),
        ((event("2-0"), ("XADD", KEYS("events"), "MAXLEN", 0, "3-0", "x", "y")), "for an empty stream only"),
        ((event("2-0"), ("XSETID", KEYS("events"), "1-0", "ENTRIESADDED", 1, "MAXDELETEDID", "0-0")), "last id"),
        ((event("2-0"), ("XSETID", KEYS("events"), "2-0", "ENTRIESADDED", 0, "MAXDELETEDID", "0-0")), "fewer"),
        ((event("2-0"), ("XSETID", KEYS("events"), "2-0", "ENTRIESADDED", 1, "MAXDELETEDID", "3-0")), "last id"),
        ((event("2-0"), ("XSETID", KEYS("events"), "2-0", "ENTRIESADDED", "x", "MAXDELETEDID", "0-0")), "whole"),
        ((event("2-0"), ("XSETID", KEYS("events"), "2-0")), "other words"),
        ((("XADD", KEYS("events"), "MAXLEN", 0, "0-0", "x", "y"),), "last id"),
        (
            (
                event("2-0"),
                ("XSETID", KEYS("events"), "2-0", "ENTRIESADDED", 1, "MAXDELETEDID", "0-0"),
                event("3-0"),
            ),
            "XADD after the XSETID",
        ),
        ((SELECT, agent()), "behind the one that ends it"),
    ],
)
def test_what_contradicts_itself_is_refused(commands: tuple[tuple[Value, ...], ...], said: str) -> None:
    with pytest.raises(BadSnapshot, match=said):
        read(*commands)


FRAMES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is empty"),
    "a dump of Redis": (b"REDIS0011\xfa\x09redis-ver", "binary dump (RDB)"),
    "a dump of Valkey": (b"VALKEY080\xfa", "binary dump (RDB)"),
    "a dump before commands": (b"REDIS0011" + GOOD, "binary dump (RDB)"),
    "a page": (b"<html>", "byte 0: '<html>' is no beginning"),
    "an inline command": (b"FLUSHALL\r\n", "byte 0: 'FLUSHALL\\\\r\\\\n' is no beginning"),
    "a mark of a server": (b"#TS:1700000000\r\n" + GOOD, "byte 0: '#TS:"),
    "a length of thousands of digits": (b"*" + b"9" * 5000 + b"\r\n", "beyond all sense"),
    "a word of 931 GiB": (b"*1\r\n$999999999999\r\nx", "byte 4: a length beyond all sense"),
    "a word of 954 MiB": (b"*1\r\n$999999999\r\nx", "byte 4: a word of 999,999,999 bytes"),
    "a thousand million words": (b"*999999999\r\n", "byte 0: a command of 999,999,999 words"),
    "less than no words": (b"*-1\r\n", "byte 0: '*-1\\\\r\\\\n' is no beginning"),
    "no words": (b"*0\r\n", "byte 0: '*0\\\\r\\\\n' is no beginning"),
    "less than no bytes": (b"*1\r\n$-1\r\n", "byte 4: '$-1\\\\r\\\\n' is no beginning"),
    "a padded length": (b"*1\r\n$008\r\nFLUSHALL\r\n", "byte 4: '$008"),
    "a signed length": (b"*+1\r\n", "byte 0: '*+1"),
    "a number for a word": (b"*1\r\n:1\r\n", "byte 4: ':1"),
    "a word too long for its length": (b"*1\r\n$3\r\nSELECT\r\n", "byte 11: a word does not end"),
    "a word too short for its length": (b"*2\r\n$9\r\nSELECT\r\n$1\r\n0\r\n", "byte 17: a word does not end"),
    "other line ends": (GOOD.replace(b"\r\n", b"\n"), "byte 0: its line ends were changed"),
    "a conflict of a merge": (file(agent()) + b"<<<<<<< HEAD\n", "a merge in git left its conflict"),
    "a tail": (GOOD + b"\x00", f"byte {len(GOOD)}: '"),
    "no end": (pack(SELECT), "cut short between two commands"),
    "no beginning": (pack(agent()) + pack(SELECT), "before the SELECT that begins a save"),
}


@pytest.mark.parametrize(("data", "said"), FRAMES.values(), ids=FRAMES)
def test_what_is_no_file_of_plain_commands_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(BadSnapshot) as refusal:
        parse(data, KEYS)

    assert said.replace("\\\\", "\\") in refusal.value.message
    assert len(refusal.value.message) < 300


def test_a_file_that_was_cut_short_anywhere_is_refused() -> None:
    for length in range(len(GOOD)):
        with pytest.raises(BadSnapshot, match=f"byte {length}: it is cut short|it is empty"):
            parse(GOOD[:length], KEYS)


def test_a_file_beyond_the_limits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_file, "MOST_COMMANDS", 3)
    with pytest.raises(BadSnapshot, match="more than 3 commands"):
        parse(GOOD, KEYS)

    monkeypatch.setattr(snapshot_file, "MOST_BYTES", 1000)
    with pytest.raises(BadSnapshot, match="a save may have 1,000"):
        parse(GOOD, KEYS)


def same(data: bytes) -> Content:
    return parse(data, KEYS).content


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_means_something_and_nothing_else_ever_happens(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(GOOD)))
    cut = data.draw(st.integers(0, 12))
    damaged = GOOD[:at] + data.draw(st.binary(max_size=8)) + GOOD[at + cut :]

    try:
        content = same(damaged)
    except BadSnapshot:
        return
    assert same(snapshot_file.write(content, KEYS)) == content


def test_the_indexes_of_a_file_are_not_believed() -> None:
    lost = Task("not in the file")
    snapshot = read(
        agent(state="working", in_round=True, current_task=TASK.id),
        task(state="running"),
        ("HSET", KEYS("names"), "mallory", ADA.id),
        ("SADD", KEYS("tasks_in", TaskState.COMPLETED), TASK.id, lost.id),
        ("ZADD", KEYS("tasks"), 1, lost.id),
        ("SADD", KEYS("held"), BOB.id),
        ("RPUSH", KEYS("backlog"), lost.id, TASK.id, TASK.id),
        ("SADD", KEYS("live"), "some-id"),
    )

    content = snapshot.content
    assert content.hashes[Place("names")] == {b"ada": ADA.id.encode()}
    assert content.sets == {
        Place("tasks_in", TaskState.ASSIGNED): {TASK.id.encode()},
        Place("agent_tasks", ADA.id): {TASK.id.encode()},
        Place("held"): {ADA.id.encode()},
    }
    assert list(content.zsets[Place("tasks")]) == [TASK.id.encode()]
    assert content.lists[Place("backlog")] == [TASK.id.encode()]
    found = Agent.decode(content.strings[Place("agent", ADA.id)])
    assert (found.state.value, found.in_round, found.current_task) == ("stopped", False, None)
    assert Task.decode(content.strings[Place("task", TASK.id)]).state is TaskState.ASSIGNED


@pytest.mark.parametrize("state", ["starting", "idle", "working", "paused", "draining", "stopped"])
def test_an_agent_comes_back_stopped(state: str) -> None:
    content = read(agent(state=state)).content

    assert Agent.decode(content.strings[Place("agent", ADA.id)]).state.value == "stopped"


def test_an_agent_in_error_comes_back_in_error_with_its_reason() -> None:
    content = read(agent(state="error", reason="no such CLI")).content

    found = Agent.decode(content.strings[Place("agent", ADA.id)])
    assert (found.state.value, found.reason) == ("error", "no such CLI")
