"""What an older version left in Redis becomes part of the town, whole, and of no other."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from leftovers import bodies, dump, mail
from runtime_parts import add, happened, worker

from tinytown.errors import Forbidden
from tinytown.ids import SUPERVISOR_ID, AgentId, TaskId, new_id
from tinytown.lifecycle import AgentState, TaskState
from tinytown.messages import Message, TaskAssign, Work
from tinytown.runtime.operations.agents import Restart, restart
from tinytown.runtime.operations.backlog import backlog_of
from tinytown.runtime.operations.migrating import AS_IT_IS, Migrate, Migrated, migrate
from tinytown.runtime.town import Town
from tinytown.transport import snapshot
from tinytown.transport.blocking import run_sync
from tinytown.transport.keys import OLD_KINDS, Keys

WHEN = "2025-11-02T10:20:30.123456789+00:00"
ADA, RUNS, DONE, LATER = (new_id() for _ in range(4))


@pytest.fixture
def old(town: Town) -> Iterator[Town]:
    """A town on a Redis in which an older version was at work."""
    agent = {"id": ADA, "name": "ada", "agent_type": "worker", "state": "working", "cli": "claude"}
    agent |= {"created_at": WHEN, "last_heartbeat": WHEN, "current_task": RUNS, "tasks_completed": 2}
    write(town, f"tt:agent:{ADA}", agent)
    task = {"description": "dig\nand dig", "assigned_to": ADA, "created_at": WHEN, "updated_at": WHEN}
    write(town, f"tt:task:{RUNS}", {"id": RUNS, "state": "running", **task})
    write(town, f"tt:task:{DONE}", {"id": DONE, "state": "completed", "result": "ok", **task})
    write(town, f"tt:task:{LATER}", {"id": LATER, "state": "pending", "description": "later", "verify": ["evil"]})
    for name, texts in (("inbox", ("one", "two")), ("urgent", ("now",))):
        for text in texts:
            ask(town, "RPUSH", f"tt:{name}:{ADA}", Message(SUPERVISOR_ID, AgentId(ADA), Work(text)).encode())
    ask(town, "RPUSH", f"tt:inbox:{SUPERVISOR_ID}", Message(AgentId(ADA), SUPERVISOR_ID, Work("help")).encode())
    ask(town, "RPUSH", "tt:backlog", LATER)
    ask(town, "RPUSH", f"tt:activity:{ADA}", "was busy")
    ask(town, "SET", f"tt:stop:{ADA}", "1")
    yield town
    for key in town_keys(town):
        if not key.startswith(town.keys.prefix):
            ask(town, "DEL", key)


def ask(town: Town, *words: str | bytes) -> object:
    return run_sync(town.connection.execute(*words))


def write(town: Town, key: str, record: dict[str, object]) -> None:
    ask(town, "SET", key, json.dumps(record))


def town_keys(town: Town) -> set[str]:
    found = dump(town)
    assert isinstance(found, dict)
    return set(found)


def migrated(town: Town, *, dry_run: bool = False) -> Migrated:
    return run_sync(migrate(town, Migrate(dry_run)))


def test_a_preview_names_every_key_and_changes_not_a_byte(old: Town) -> None:
    before = dump(old)

    found = migrated(old, dry_run=True)

    assert dump(old) == before
    assert len(found.moved) == 10
    assert found.kept == ()
    first = found.moved[0]
    assert (first.old, first.new, first.note) == (f"tt:agent:{ADA}", f"tt:demo:agent:{ADA}", None)


def test_everything_is_in_the_town_and_can_be_used(old: Town) -> None:
    previewed = migrated(old, dry_run=True)

    assert migrated(old).moved == previewed.moved

    ada = run_sync(old.store.find_agent("ada"))
    assert (ada.id, ada.state, ada.current_task, ada.tasks_completed) == (ADA, AgentState.STOPPED, None, 2)
    assert ada.created_at == "2025-11-02T10:20:30.123Z"
    assert [body.description for body in bodies(old, ada) if isinstance(body, Work)] == ["now", "one", "two"]
    # The original had taken its message out of the mailbox.
    assert bodies(old, ada)[-1] == TaskAssign(TaskId(RUNS))
    assert run_sync(old.store.task(TaskId(RUNS))).state is TaskState.ASSIGNED
    assert [task.id for task in run_sync(old.store.tasks(TaskState.COMPLETED))] == [DONE]
    assert run_sync(backlog_of(old).ids()) == [LATER]
    assert run_sync(old.store.task(TaskId(LATER))).verify == ()
    assert [message.body for message in mail(old, SUPERVISOR_ID)] == [Work("help")]
    assert not [key for key in town_keys(old) if key.split(":")[1] in (*OLD_KINDS, "backlog")]
    assert "town.migrated" in happened(old)
    assert run_sync(restart(old, Restart("ada", runtime=False))).agent.state is AgentState.STARTING


def test_a_second_run_finds_nothing_and_changes_nothing(old: Town) -> None:
    migrated(old)
    before = dump(old)

    assert migrated(old) == Migrated("demo", dry_run=False, moved=(), kept=(), neighbours=())

    assert dump(old) == before


def test_the_town_can_be_saved_afterwards(old: Town) -> None:
    migrated(old)
    found = snapshot.parse(run_sync(snapshot.take(old.connection, old.keys)), old.keys)
    assert (found.counts().agents, found.counts().tasks, found.counts().messages) == (1, 3, 5)


def test_towns_that_are_called_like_a_kind_of_key_are_not_touched(old: Town) -> None:
    theirs = [Keys(kind)(name, part) for kind in OLD_KINDS for name, part in (("town_id", ""), ("agent", ADA))]
    theirs += [Keys("agent")("backlog"), Keys("agent")("events"), "tt:agent:of-a-later-version"]
    for key in theirs:
        ask(old, "SET", key, "theirs")

    found = migrated(old)

    assert found.neighbours == tuple(sorted(OLD_KINDS))
    assert set(theirs) <= town_keys(old)
    assert [ask(old, "GET", key) for key in theirs] == [b"theirs"] * len(theirs)


def test_nothing_that_is_there_is_overwritten(old: Town) -> None:
    there = old.keys("task", DONE)
    ask(old, "SET", there, "mine")

    found = migrated(old)

    assert [each.key for each in found.kept] == [f"tt:task:{DONE}"]
    assert ask(old, "GET", there) == b"mine"
    assert ask(old, "EXISTS", f"tt:task:{DONE}") == 1
    assert [each.key for each in migrated(old).kept] == [f"tt:task:{DONE}"]
    ask(old, "DEL", there)


def test_a_mailbox_that_is_there_gets_the_old_messages_behind_its_own(old: Town) -> None:
    bob = add(old, "bob")
    run_sync(old.mailbox.send(Message(SUPERVISOR_ID, bob.id, Work("new"))))
    ask(old, "RPUSH", f"tt:inbox:{bob.id}", Message(SUPERVISOR_ID, bob.id, Work("old")).encode())

    migrated(old)

    assert bodies(old, bob) == [Work("new"), Work("old")]


def test_a_name_that_is_taken_gets_an_ending(old: Town) -> None:
    add(old, "ada")
    migrated(old)
    assert {agent.name for agent in run_sync(old.store.agents())} == {"ada", f"ada-{ADA[:8]}"}


def test_what_cannot_be_read_is_moved_as_it_is(old: Town) -> None:
    ask(old, "SET", "tt:agent:abc123", "no record")
    ask(old, "SET", f"tt:task:{SUPERVISOR_ID}", "{}")
    ask(old, "SADD", f"tt:inbox:{DONE}", "no list")

    found = migrated(old)

    assert {each.old for each in found.moved if each.note == AS_IT_IS} == {
        "tt:agent:abc123",
        f"tt:task:{SUPERVISOR_ID}",
        f"tt:activity:{ADA}",
        f"tt:stop:{ADA}",
    }
    assert ask(old, "GET", "tt:demo:agent:abc123") == b"no record"
    assert [each.key for each in found.kept] == [f"tt:inbox:{DONE}"]
    assert [agent.name for agent in run_sync(old.store.agents())] == ["ada"]
    ask(old, "DEL", "tt:demo:agent:abc123", old.keys("task", SUPERVISOR_ID))


def test_workers_may_not(old: Town) -> None:
    with pytest.raises(Forbidden):
        run_sync(migrate(worker(old, add(old, "bob")), Migrate(dry_run=True)))
