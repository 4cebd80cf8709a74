"""`tt backlog`, as a person and as an agent."""

from __future__ import annotations

import re
import time

from person import Person

EVIL = "\x1b]0;owned\x07\u202egpj"


def added(person: Person, text: str, *more: str) -> str:
    said = person.tt("backlog", "add", text, *more, "--json")
    assert said.code == 0, said.err
    task: str = said.json["id"]
    return task


def test_an_item_is_added_listed_and_claimed(town_dir: Person) -> None:
    town_dir.agent("backend")
    said = town_dir.tt("backlog", "add", "Investigate flaky auth integration test", "--tags", "test,auth, backend")
    match = re.fullmatch(r"📋 Added task ([0-9a-f-]{36}) to backlog\n", said.out)
    assert match is not None
    docs = added(town_dir, "Document token refresh behavior")

    assert town_dir.tt("backlog", "list").out == (
        "📋 Backlog (2 tasks):\n"
        f"   {match[1]} - Investigate flaky auth integration test [test, auth, backend]\n"
        f"   {docs} - Document token refresh behavior\n"
    )
    assert [task["id"] for task in town_dir.tt("backlog", "list", "--agent", "backend", "--json").json] == [match[1]]
    assert "   📋 Backlog:   2\n" in town_dir.tt("status", "--tasks").out
    claimed = town_dir.tt("backlog", "claim", match[1], "backend")
    assert claimed.out == f"📋 Claimed task {match[1]} from backlog for agent 'backend'\n"
    assert "[T] conductor: Investigate flaky" in town_dir.tt("inbox", "backend").out


def test_a_misspelt_agent_loses_nothing(town_dir: Person) -> None:
    task = added(town_dir, "dig")
    said = town_dir.tt("backlog", "claim", task, "backnd")

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("Error: Agent not found: backnd\n")
    assert [each["id"] for each in town_dir.tt("backlog", "list", "--json").json] == [task]


def test_all_go_to_one_agent(town_dir: Person) -> None:
    town_dir.agent("backend")
    assert town_dir.tt("backlog", "assign-all", "backend").out == "📋 Backlog is empty.\n"
    one, two = added(town_dir, "one"), added(town_dir, "two")

    assert town_dir.tt("backlog", "assign-all", "backend").out == (
        f"📋 Assigned 2 backlog task(s) to agent 'backend'\n   → {one}\n   → {two}\n"
    )
    assert town_dir.tt("backlog", "list").out == "📋 Backlog is empty.\n"
    found = town_dir.tt("backlog", "assign-all", "backend", "--json").json
    assert found == {"tasks": [], "agent": "backend", "left": 0}


def test_an_item_can_be_removed_once(town_dir: Person) -> None:
    one, two = added(town_dir, "one"), added(town_dir, "two")

    assert town_dir.tt("backlog", "remove", one[:8]).out == f"🗑️  Removed task {one} from backlog\n"
    again = town_dir.tt("backlog", "remove", one)
    assert (again.code, again.err.splitlines()[0]) == (1, f"Error: Task not found: {one}")
    assert town_dir.tt("backlog", "remove", two, "--json").json == {"removed": True, "task_id": two}
    assert town_dir.tt("task", "list", "--json").json == []


def test_a_text_can_come_from_standard_input_and_reaches_no_terminal_raw(town_dir: Person) -> None:
    said = town_dir.tt("backlog", "add", "-", "--json", text=f"line one\n{EVIL}\n")
    assert said.json["description"] == f"line one\n{EVIL}"

    out = town_dir.tt("backlog", "list").out
    assert "line one" in out
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_wrong_usage_is_told(town_dir: Person) -> None:
    assert town_dir.tt("backlog").code == 2
    assert town_dir.tt("backlog", "add", " ").code == 2
    said = town_dir.tt("backlog", "claim", added(town_dir, "dig"))
    assert said.code == 2
    assert "tt backlog claim TASK AGENT" in said.err


def test_an_idle_agent_takes_what_suits_it_by_itself(town_dir: Person) -> None:
    with (town_dir.directory / "tinytown.toml").open("a") as config:
        config.write("\n[backlog]\nauto_claim = true\n")
    assert town_dir.tt("spawn", "worker-1", "--cli", "fake", "--role", "backend").code == 0
    other = added(town_dir, "write the manual", "--tags", "docs")
    task = added(town_dir, "dig", "--tags", "backend")

    waited = town_dir.tt("wait", "--task", task, "--timeout", "30")

    assert (waited.code, waited.out) == (0, f"✅ Task {task} completed\n   Result: done\n")
    assert [each["id"] for each in town_dir.tt("backlog", "list", "--json").json] == [other]


def test_an_idle_agent_that_an_item_suits_is_told_and_runs(town_dir: Person) -> None:
    assert town_dir.tt("spawn", "worker-1", "--cli", "fake", "--role", "backend").code == 0
    deadline = time.monotonic() + 30
    while town_dir.tt("list", "--json").json[0]["state"] != "idle":
        assert time.monotonic() < deadline

    said = town_dir.tt("backlog", "add", "dig", "--tags", "backend")
    assert "   🔔 Idle agents it suits: worker-1\n" in said.out

    while town_dir.tt("list", "--json").json[0]["rounds_completed"] == 0:
        assert time.monotonic() < deadline
    assert len(town_dir.tt("backlog", "list", "--json").json) == 1
