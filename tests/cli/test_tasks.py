"""`tt assign` and `tt task`, as a person and as an agent."""

from __future__ import annotations

import re

from person import Person


def test_assign_says_which_task_and_whose(town_dir: Person) -> None:
    town_dir.agent("worker-1")

    said = town_dir.tt("assign", "worker-1", "Implement the login API")

    assert said.code == 0
    assert re.fullmatch(r"📋 Assigned task [0-9a-f-]{36} to agent 'worker-1'\n", said.out)


def test_a_task_of_many_lines_is_kept_whole(town_dir: Person) -> None:
    town_dir.agent("bob")
    text = "Create POST /users that:\n- accepts {email}\n- returns {id}"
    by_argument = town_dir.tt("assign", "bob", text, "--json").json
    by_input = town_dir.tt("assign", "bob", "-", "--json", text=text + "\n").json

    assert by_argument["description"] == by_input["description"] == text
    shown = town_dir.tt("task", "show", by_argument["id"]).out
    assert "   Description: Create POST /users that:\n      - accepts {email}\n      - returns {id}\n" in shown


def test_show_says_what_the_book_says(town_dir: Person) -> None:
    town_dir.agent("backend-1")
    task = town_dir.tt("assign", "backend-1", "Fix authentication bug", "--tags", "backend, auth", "--json").json

    lines = town_dir.tt("task", "show", task["id"][:8]).out.splitlines()

    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
    assert lines[0] == f"📋 Task: {task['id']}"
    assert lines[1:4] == [
        "   Description: Fix authentication bug",
        "   State: Assigned",
        "   Assigned to: backend-1",
    ]
    assert re.fullmatch(f"   Created: {moment}", lines[5])
    assert re.fullmatch(f"   Updated: {moment}", lines[6])
    assert lines[7] == "   Tags: backend, auth"


def test_list_shows_each_task_on_a_line(town_dir: Person) -> None:
    assert town_dir.tt("task", "list").out == "No tasks. Run 'tt assign <agent> <task>' to create one.\n"
    town_dir.agent("bob")
    first = town_dir.tt("assign", "bob", "Fix authentication bug", "--json").json["id"]
    second = town_dir.tt("assign", "bob", "Update API endpoints", "--json").json["id"]
    town_dir.tt("task", "fail", second, "--error", "no API")

    assert town_dir.tt("task", "list").out == (
        "📋 Tasks (2):\n"
        f"   📌 {first[:8]}-... - Fix authentication bug [bob]\n"
        f"   ❌ {second[:8]}-... - Update API endpoints [bob]\n"
    )
    assert [task["id"] for task in town_dir.tt("task", "list", "--state", "Failed", "--json").json] == [second]
    assert town_dir.tt("task", "list", "--state", "running").out == "No running tasks.\n"


def test_complete_says_what_the_book_says_and_only_once(town_dir: Person) -> None:
    town_dir.agent("bob")
    task = town_dir.tt("assign", "bob", "Fix authentication bug", "--json").json["id"]

    said = town_dir.tt("task", "complete", task, "--result", "Fixed the bug")
    again = town_dir.tt("task", "complete", task)

    assert said.out == (
        f"✅ Task {task} marked as completed\n   Description: Fix authentication bug\n   Result: Fixed the bug\n"
    )
    assert (again.code, again.out) == (1, "")
    assert "is completed" in again.err
    assert town_dir.tt("task", "show", task, "--json").json["result"] == "Fixed the bug"


def test_fail_and_cancel_keep_the_reason(town_dir: Person) -> None:
    town_dir.agent("bob")
    failed, cancelled = (town_dir.tt("assign", "bob", "work", "--json").json["id"] for _ in range(2))

    assert town_dir.tt("task", "fail", failed, "--error", "no way").out == (
        f"❌ Task {failed} marked as failed\n   Description: work\n   Error: no way\n"
    )
    assert town_dir.tt("task", "cancel", cancelled, "--reason", "not needed").out == (
        f"🚫 Task {cancelled} marked as cancelled\n   Description: work\n   Reason: not needed\n"
    )


def test_current_says_when_there_is_nothing(town_dir: Person) -> None:
    town_dir.agent("bob")

    assert town_dir.tt("task", "current", "bob").out == "Agent 'bob' has no current task.\n"
    assert town_dir.tt("task", "current", "bob", "--json").out == "null\n"


def test_an_unknown_task_is_named(town_dir: Person) -> None:
    said = town_dir.tt("task", "show", "deadbeef")

    assert said.code == 1
    assert said.err == "Error: Task not found: deadbeef\nHint: See what is there with: tt task list\n"


def test_nothing_from_a_task_reaches_the_terminal_raw(town_dir: Person) -> None:
    town_dir.agent("bob")
    evil = "\x1b]0;owned\x07\x1b[2J\u202egpj"
    task = town_dir.tt("assign", "bob", evil, "--json").json["id"]
    town_dir.tt("task", "complete", task, "--result", evil)

    for line in ("task list", f"task show {task}", "inbox bob", "inbox --all", "status --tasks", "events"):
        out = town_dir.tt(*line.split()).out

        assert not {"\x1b", "\x07", "\u202e"} & set(out), line
