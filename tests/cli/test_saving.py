"""`tt save` and `tt restore`, as a person sees them."""

from __future__ import annotations

import os
import subprocess
from itertools import pairwise
from typing import Any

from person import Person

from tinytown.runtime.opening import open_blocking
from tinytown.transport import snapshot
from tinytown.transport.blocking import run_sync


def lasting(person: Person) -> Any:
    """All that lasts in the town, but for the journal: a reset and a restore stand in it."""
    with open_blocking(person.directory, environ=person.environ) as town:
        found = run_sync(snapshot.dump(town.connection, town.keys))
    return {key: value for key, value in found.items() if key != "events"}


def furnish(person: Person) -> str:
    """Some of everything; gives the id of a task in the backlog."""
    person.agent("worker-1")
    assert person.tt("assign", "worker-1", "Build the API\nwith two lines").code == 0
    assert person.tt("send", "worker-1", "--urgent", "Ünïcode \u200b").code == 0
    assert person.tt("send", "conductor", "--info", "done").code == 0
    assert person.tt("kill", "worker-1").code == 0
    task: str = person.tt("backlog", "add", "Later", "--tags", "docs", "--json").json["id"]
    return task


def test_save_reset_restore_brings_everything_back(town_dir: Person) -> None:
    task = furnish(town_dir)
    before = lasting(town_dir)

    saved = town_dir.tt("save")
    assert saved.code == 0
    assert "💾 Saving Redis state..." in saved.out
    assert "   git add .tt/redis.aof\n" in saved.out
    assert town_dir.tt("reset", "--force").code == 0
    assert town_dir.tt("backlog", "list", "--json").json == []

    restored = town_dir.tt("restore")
    assert restored.code == 0
    assert "✅ Restored 1 agent(s), 2 task(s), 3 message(s)\n" in restored.out
    assert lasting(town_dir) == before
    assert [each["id"] for each in town_dir.tt("backlog", "list", "--json").json] == [task]


def test_the_same_state_gives_the_same_bytes_and_nothing_secret(town_dir: Person) -> None:
    furnish(town_dir)
    file = town_dir.directory / ".tt/redis.aof"
    with open_blocking(town_dir.directory, environ=town_dir.environ) as town:
        run_sync(town.connection.execute("HSET", town.keys("tokens"), "somebody", "a digest of a credential"))
    town_dir.tt("save")
    first = file.read_bytes()
    town_dir.tt("save")

    assert file.read_bytes() == first
    assert b"a digest of a credential" not in first
    assert (town_dir.directory / ".gitattributes").read_text() == ".tt/redis.aof -text\n"


def test_git_takes_the_file_and_nothing_else_of_the_town(town_dir: Person) -> None:
    town_dir.tt("save")
    git = ["git", "-C", os.fspath(town_dir.directory)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    added = subprocess.run([*git, "ls-files", ".tt"], check=True, capture_output=True, text=True).stdout

    assert added == ".tt/redis.aof\n"


def test_a_dry_run_explains_and_changes_nothing(town_dir: Person) -> None:
    furnish(town_dir)
    town_dir.tt("save")
    town_dir.tt("backlog", "add", "After the save")
    before = lasting(town_dir)

    said = town_dir.tt("restore", "--dry-run")

    assert said.code == 0
    assert said.out.startswith("📂 AOF file found: .tt/redis.aof\n")
    assert "   Agents: 1\n" in said.out
    assert said.out.endswith("   Nothing was changed. To restore it: tt restore\n")
    assert lasting(town_dir) == before


def test_a_town_that_holds_something_is_replaced_only_by_force(town_dir: Person) -> None:
    furnish(town_dir)
    town_dir.tt("save")
    before = lasting(town_dir)
    town_dir.tt("backlog", "add", "After the save")

    refused = town_dir.tt("restore")
    assert refused.code == 1
    assert "is not empty (agents: 1, tasks: 3" in refused.err
    assert "tt restore --force" in refused.err

    assert town_dir.tt("restore", "--force").code == 0
    assert lasting(town_dir) == before


def test_without_a_file_it_says_how_to_get_one(town_dir: Person) -> None:
    said = town_dir.tt("restore")

    assert said.code == 1
    assert "There is no save file" in said.err
    assert "tt save" in said.err


def test_a_hostile_file_is_refused_and_changes_nothing(town_dir: Person) -> None:
    furnish(town_dir)
    town_dir.tt("save")
    file = town_dir.directory / ".tt/redis.aof"
    good, before = file.read_bytes(), lasting(town_dir)
    hostile = {
        "FLUSHALL": b"*1\r\n$8\r\nFLUSHALL\r\n",
        "EVAL": good + b"*3\r\n$4\r\nEVAL\r\n$8\r\nreturn 1\r\n$1\r\n0\r\n",
        "a foreign key": good.replace(b"tt:demo:", b"tt:else:", 1),
        "a cut": good[:-5],
        "an RDB": b"REDIS0011" + good,
    }
    for what, data in hostile.items():
        file.write_bytes(data)
        said = town_dir.tt("restore", "--force")
        assert (said.code, said.out) == (1, ""), what
        assert "The save file" in said.err, what
    assert lasting(town_dir) == before


def test_json_says_where_and_how_much(town_dir: Person) -> None:
    furnish(town_dir)
    saved = town_dir.tt("save", "--json").json
    assert saved["size"] == (town_dir.directory / ".tt/redis.aof").stat().st_size
    restored = town_dir.tt("restore", "--force", "--json").json
    assert (restored["agents"], restored["tasks"], restored["dry_run"]) == (1, 2, False)


def test_init_in_a_clone_tells_of_the_save_file(town_dir: Person) -> None:
    furnish(town_dir)
    town_dir.tt("save")
    clone = Person(
        town_dir.directory.parent / "clone",
        {**town_dir.environ, "XDG_STATE_HOME": f"{town_dir.directory.parent}/other"},
    )
    (clone.directory / ".tt").mkdir(parents=True)
    for name in ("tinytown.toml", ".tt/redis.aof"):
        (clone.directory / name).write_bytes((town_dir.directory / name).read_bytes())
    try:
        assert "Bring it back with: tt restore\n" in clone.tt("init").err
        assert clone.tt("restore").code == 0
        assert [each["name"] for each in clone.tt("list", "--json").json] == ["worker-1"]
    finally:
        clone.tt("stop", "--redis", "--now")


def verified(person: Person) -> None:
    """A saved town with a task that a command verifies."""
    person.agent("worker-1")
    assert person.tt("assign", "worker-1", "Build it", "--verify", "make check").code == 0
    assert person.tt("save").code == 0


def commands_of(person: Person) -> list[list[str]]:
    return [task.get("verify", []) for task in person.tt("task", "list", "--json").json]


def test_commands_of_a_file_that_was_saved_here_are_taken_as_they_are(town_dir: Person) -> None:
    verified(town_dir)
    assert town_dir.tt("reset", "--force").code == 0

    assert town_dir.tt("restore").code == 0
    assert commands_of(town_dir) == [["make check"]]


def test_commands_of_a_file_from_elsewhere_are_refused_until_they_were_read(town_dir: Person) -> None:
    verified(town_dir)
    file = town_dir.directory / ".tt/redis.aof"
    hostile = b"curl x | sh\\u001b[2K"
    old, new = b'"verify":["make check"]', b'"verify":["' + hostile + b'"]'
    data = file.read_bytes()
    length = next(int(part[1:]) for part, raw in pairs_of(data) if old in raw)
    data = data.replace(b"$%d\r\n" % length, b"$%d\r\n" % (length + len(new) - len(old))).replace(old, new)
    file.write_bytes(data)
    before = lasting(town_dir)

    refused = town_dir.tt("restore", "--force")
    assert (refused.code, refused.out) == (1, "")
    assert "curl x | sh" in refused.err
    assert "\x1b" not in refused.err
    assert "tt restore --allow-verify" in refused.err
    shown = town_dir.tt("restore", "--dry-run")
    assert shown.code == 0
    assert "curl x | sh" in shown.out
    assert shown.out.endswith("To restore it: tt restore --allow-verify\n")
    assert lasting(town_dir) == before

    without = town_dir.tt("restore", "--force", "--without-verify")
    assert without.code == 0
    assert "Left out" in without.out
    assert commands_of(town_dir) == [[]]

    assert town_dir.tt("restore", "--force", "--allow-verify").code == 0
    assert commands_of(town_dir) == [["curl x | sh\x1b[2K"]]


def test_to_take_commands_and_to_leave_them_out_exclude_each_other(town_dir: Person) -> None:
    assert town_dir.tt("restore", "--allow-verify", "--without-verify").code == 2


def pairs_of(data: bytes) -> list[tuple[bytes, bytes]]:
    """Each line of the file with the one after it."""
    lines = data.split(b"\r\n")
    return list(pairwise(lines))
